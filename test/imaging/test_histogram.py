# SPDX-License-Identifier: Apache-2.0
import numpy as np

from segmif_ros.imaging.histogram import byte_counts


def test_every_value_is_counted_also_in_a_part_of_an_image() -> None:
    plane = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)[::2, 3:]
    assert np.array_equal(byte_counts(plane), np.bincount(plane.ravel(), minlength=256))
