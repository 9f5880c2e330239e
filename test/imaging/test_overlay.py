# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from segmif_ros.imaging.overlay import draw_overlay

PALETTE = np.array([[0, 0, 0], [200, 100, 0]], np.uint8)
GREY = np.full((1, 2, 3), 100, np.uint8)


def test_a_coloured_class_is_blended_into_the_image() -> None:
    drawn = draw_overlay(GREY, np.array([[1, 1]], np.uint8), PALETTE, alpha=0.5)
    assert drawn[0, 0].tolist() == [150, 100, 50]


def test_a_black_class_leaves_the_image_as_it_is() -> None:
    drawn = draw_overlay(GREY, np.array([[0, 7]], np.uint8), PALETTE)
    np.testing.assert_array_equal(drawn, GREY)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="same size"):
        draw_overlay(GREY, np.zeros((2, 2), np.uint8), PALETTE)
