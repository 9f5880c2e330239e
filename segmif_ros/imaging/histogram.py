# SPDX-License-Identifier: Apache-2.0
"""How often each value occurs in an image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def byte_counts(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Count the pixels of each value.

    Args:
        plane: uint8 (H, W): an image, or class ids.

    Returns:
        float32 (256,), exact up to 2^24 pixels of a value.
    """
    # a tenth of the time of numpy.bincount, which wants 64-bit integers
    counts = cv2.calcHist([np.ascontiguousarray(plane)], [0], None, [256], [0, 256])
    return np.asarray(counts.ravel(), np.float32)  # (256, 1) before OpenCV 5
