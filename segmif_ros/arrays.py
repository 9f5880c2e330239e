# SPDX-License-Identifier: Apache-2.0
"""The types of arrays. Shape, range, units and colour order are in the docstrings of what takes or returns them."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Image = npt.NDArray[np.uint8]  # grey, RGB, labels, confidence
Mask = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
