# SPDX-License-Identifier: Apache-2.0
"""Cross-modal agreement: edges of either sign agree where they coincide, and a flat image agrees with nothing."""

import cv2
import numpy as np
import pytest

from segmif_ros.rig.agreement import agreement, edge_orientations, make_tiles, peak


def shapes(seed=0, size=(160, 120)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full(size[::-1], 100, np.uint8)
    for _ in range(25):
        (x, y), (w, h) = rng.integers(0, size), rng.integers(8, 40, 2)
        cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), int(rng.integers(0, 255)), -1)
    return image


def moved(image, dx, dy) -> np.ndarray:
    move = np.float32([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(image, move, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def surface_of(infrared, rgb, reach=12):
    tiles = make_tiles(rgb.shape[1], rgb.shape[0], 1, 1, margin_px=reach)
    return agreement(edge_orientations(infrared), edge_orientations(rgb), tiles, reach)[0]


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (5, -3), (-7, 8)])
def test_the_peak_is_where_infrared_content_lies_even_with_edges_of_the_other_sign(dx, dy) -> None:
    image = shapes()
    found_x, found_y, height = peak(surface_of(255 - moved(image, dx, dy), image))
    assert (found_x, found_y) == pytest.approx((dx, dy), abs=0.3)
    assert height > 0.5


def test_a_displacement_of_half_a_pixel_is_found() -> None:
    image = shapes(3)
    assert peak(surface_of(moved(image, 2.5, 0), image))[0] == pytest.approx(2.5, abs=0.3)


def test_brightness_contrast_and_depth_of_the_counts_do_not_matter() -> None:
    image = shapes(1)
    counts = 7000 + 12 * image.astype(np.uint16)
    np.testing.assert_allclose(surface_of(counts, image), surface_of(image, image), atol=0.05)


def test_a_flat_image_agrees_with_nothing() -> None:
    assert not surface_of(np.full((120, 160), 128, np.uint8), shapes()).any()


def test_each_tile_tells_its_own_displacement() -> None:
    image = shapes(5)
    half = moved(image, 4, 0)
    half[:, 80:] = moved(image, -2, 0)[:, 80:]
    left, right = agreement(edge_orientations(half), edge_orientations(image), make_tiles(160, 120, 1, 2, 8), 8)
    assert peak(left)[0] == pytest.approx(4, abs=0.5)
    assert peak(right)[0] == pytest.approx(-2, abs=0.5)
