# SPDX-License-Identifier: Apache-2.0
"""What a network gets for a camera that is missing: the constant that it was trained with in that place."""

from __future__ import annotations

import numpy as np

from segmif_ros.arrays import Image

INFRARED_LEVEL = 128  # in training a level is drawn for each sample; this is the middle of them
RGB_LEVEL = 0


def missing_infrared(height: int, width: int) -> Image:
    """Return (height, width) uint8, the substitute of a missing infrared image.

    Args:
        height: Rows.
        width: Columns.
    """
    return np.full((height, width), INFRARED_LEVEL, np.uint8)


def missing_rgb(height: int, width: int) -> Image:
    """Return (height, width, 3) uint8, the substitute of a missing RGB image.

    Args:
        height: Rows.
        width: Columns.
    """
    return np.full((height, width, 3), RGB_LEVEL, np.uint8)
