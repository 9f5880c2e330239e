# SPDX-License-Identifier: Apache-2.0
"""Numbers from calibration files and messages, checked: arrays that are finite, of their shape, and rotations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.errors import CalibrationError

ORTHONORMAL_TOLERANCE = 2e-3


def as_matrix(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> Float64Array:
    """Return a read-only float64 copy of a matrix.

    Args:
        values: What a file or message has.
        shape: The shape that is needed.
        name: For messages.

    Raises:
        CalibrationError: If they aren't finite numbers of this shape.
    """
    matrix = as_numbers(values, name).copy()
    if matrix.shape != shape:
        found = "x".join(map(str, matrix.shape)) or "a single number"
        raise CalibrationError(f"{name} is {found}: {'x'.join(map(str, shape))} numbers are needed")
    matrix.setflags(write=False)
    return matrix


def as_numbers(values: npt.ArrayLike, name: str) -> Float64Array:
    """Return finite float64 numbers.

    Args:
        values: What a file or message has.
        name: For messages.

    Raises:
        CalibrationError: If they are anything else.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise CalibrationError(f"{name} must be numbers, in rows of one length") from None
    numbers = array.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise CalibrationError(f"{name} has a number that isn't finite: {shown_numbers(numbers)}")
    return numbers


def as_rotation(values: npt.ArrayLike, name: str) -> Float64Array:
    """Return the rotation nearest to a matrix that is one but for rounding.

    Args:
        values: (3, 3).
        name: For messages.

    Raises:
        CalibrationError: If it isn't a rotation.
    """
    matrix = as_matrix(values, (3, 3), name)
    off = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if off > ORTHONORMAL_TOLERANCE:
        raise CalibrationError(f"{name} is not a rotation: its rows are not orthonormal (off by {off:.2g})")
    if np.linalg.det(matrix) < 0:
        raise CalibrationError(f"{name} is not a rotation: its determinant is -1, it mirrors")
    if off < 1e-12:
        return matrix
    left, _, right = np.linalg.svd(matrix)
    return as_matrix(left @ right, (3, 3), name)


def shown_numbers(values: Float64Array) -> str:
    """Return numbers as a list, for messages."""
    return "[" + ", ".join(f"{each:g}" for each in np.ravel(values)) + "]"
