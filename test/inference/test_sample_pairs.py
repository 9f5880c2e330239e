# SPDX-License-Identifier: Apache-2.0
"""Pairs come from folders, spread over them, or are a reproducible pattern."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.inference.sample_pairs import PairsError, pattern_pairs, read_pairs


def test_pairs_are_read_by_equal_names_as_rgb_of_the_asked_size(tmp_path: Path) -> None:
    for side in ("infrared", "visible"):
        (tmp_path / side).mkdir()
    cv2.imwrite(str(tmp_path / "infrared" / "a.png"), np.full((20, 30), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "visible" / "a.png"), np.full((20, 30, 3), (1, 2, 3), np.uint8))  # blue first
    cv2.imwrite(str(tmp_path / "visible" / "alone.png"), np.zeros((20, 30, 3), np.uint8))
    ((infrared, rgb),) = read_pairs(tmp_path, 10, 12)
    assert infrared.shape == (10, 12)
    assert (infrared[0, 0], tuple(rgb[0, 0])) == (7, (3, 2, 1))


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="no pairs: put images of the same names"):
        read_pairs(tmp_path, 10, 12)


def test_a_large_folder_is_sampled_evenly(tmp_path: Path) -> None:
    for side in ("infrared", "visible"):
        (tmp_path / side).mkdir()
        for level in range(9):
            cv2.imwrite(str(tmp_path / side / f"{level}.png"), np.full((4, 5, 3), level, np.uint8))
    assert [int(infrared[0, 0]) for infrared, _ in read_pairs(tmp_path, 4, 5, most=3)] == [0, 3, 6]


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    for side in ("infrared", "visible"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.png").write_bytes(b"no")
    with pytest.raises(PairsError, match=r"a\.png: is no readable image"):
        read_pairs(tmp_path, 4, 5)


def test_patterns_are_the_same_every_time() -> None:
    for first, second in zip(pattern_pairs(20, 30), pattern_pairs(20, 30), strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
