# SPDX-License-Identifier: Apache-2.0
"""What is cut off an image's sides."""

import numpy as np
import pytest

from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import EncodingError


@pytest.mark.parametrize(
    ("text", "crop"),
    [("", Crop()), (" ", Crop()), ("0, 2, 0, 0", Crop(0, 2, 0, 0)), ("1 2 3 4", Crop(1, 2, 3, 4))],
)
def test_a_text_says_top_bottom_left_and_right(text, crop) -> None:
    assert Crop.parse(text) == crop


@pytest.mark.parametrize("text", ["2", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,3,-4", "1.5,0,0,0", "\n\n1"])
def test_any_other_text_is_refused_with_an_example(text) -> None:
    with pytest.raises(ValueError, match="is no crop: four numbers of 0 or more are needed, for example '0, 2, 0, 0'"):
        Crop.parse(text)


def test_the_rest_is_a_view() -> None:
    image = np.arange(5 * 6 * 3).reshape(5, 6, 3)
    rest = Crop(1, 2, 3, 1).apply(image)
    assert np.array_equal(rest, image[1:3, 3:5])
    assert np.shares_memory(rest, image)
    assert Crop().apply(image) is image


@pytest.mark.parametrize("crop", [Crop(3, 2), Crop(0, 0, 6, 0), Crop(99, 0, 0, 0)])
def test_a_crop_that_leaves_nothing_is_refused(crop) -> None:
    with pytest.raises(EncodingError, match="the image is 6x5: nothing is left of it"):
        crop.apply(np.zeros((5, 6)))
