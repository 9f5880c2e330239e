# SPDX-License-Identifier: Apache-2.0
"""Fusion by a pixel rule."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.imaging.fusion_rules import laplacian_pyramid, with_fused_luma


def test_a_fused_luma_keeps_the_chroma_of_the_rgb_image():
    rgb = np.full((4, 5, 3), (120, 60, 30), np.uint8)
    fused = with_fused_luma(rgb, lambda luma: np.minimum(luma + 40, 255).astype(np.uint8))
    assert np.abs(fused[0, 0].astype(int) - (160, 100, 70)).max() <= 2


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**31))
def test_a_pyramid_of_one_image_twice_gives_it_back(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    assert np.array_equal(laplacian_pyramid(image, image), image)


def test_a_pyramid_keeps_the_details_of_both_images():
    infrared, visible = np.full((64, 64), 100, np.uint8), np.full((64, 64), 100, np.uint8)
    infrared[10:14, 10:14] = 200
    visible[40:44, 40:44] = 20
    fused = laplacian_pyramid(infrared, visible)
    assert fused[12, 12] > 180
    assert fused[42, 42] < 40
    assert abs(int(fused[60, 60]) - 100) <= 8


def test_a_pyramid_takes_the_mean_of_two_even_images():
    dark, bright = np.full((33, 47), 50, np.uint8), np.full((33, 47), 150, np.uint8)
    assert np.all(laplacian_pyramid(dark, bright) == 100)


def test_the_pyramid_that_a_network_is_measured_against_stays_what_it_is():
    rows, columns = np.arange(24), np.arange(20)
    a = (np.add.outer(rows**2, 7 * columns) % 256).astype(np.uint8)
    b = (3 * np.multiply.outer(rows, columns) % 256).astype(np.uint8)
    pinned = [[0, 0, 0, 4], [4, 79, 181, 31], [21, 197, 205, 249], [0, 17, 38, 65]]
    assert np.allclose(laplacian_pyramid(a, b)[::6, ::5].astype(int), pinned, atol=1)
