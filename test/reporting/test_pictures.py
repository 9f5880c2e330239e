# SPDX-License-Identifier: Apache-2.0
"""The encoder of pictures: what is kept exactly, and how large it gets."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.reporting.pictures import data_uri, encode, picture_uri, write_picture

COLOUR = np.tile(np.uint8([[200, 100, 50], [10, 20, 30]]), (8, 8, 1))


def decoded(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_flat_picture_is_kept_exactly() -> None:
    assert np.array_equal(decoded(encode(COLOUR, flat=True))[..., ::-1], COLOUR)


@pytest.mark.parametrize("flat", [False, True])
def test_a_wide_picture_is_scaled_down_in_its_proportions(flat: bool) -> None:
    wide = np.full((100, 400), 7, np.uint8)
    content = base64.b64decode(picture_uri(wide, flat=flat, width=100).partition(",")[2])
    assert decoded(content).shape == (25, 100)


def test_a_narrow_picture_keeps_its_size() -> None:
    assert decoded(encode(COLOUR, width=100)).shape == COLOUR.shape


def test_an_image_becomes_an_address_that_holds_it() -> None:
    assert data_uri("png", b"abc") == "data:image/png;base64,YWJj"


def test_a_picture_that_can_not_be_encoded_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(0, 4\) can't be encoded"):
        encode(np.zeros((0, 4), np.uint8))


def test_a_png_file_holds_the_picture(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", COLOUR)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], COLOUR)
