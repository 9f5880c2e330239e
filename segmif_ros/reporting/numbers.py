# SPDX-License-Identifier: Apache-2.0
"""Figures: percentiles, and how a number is written."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Percentiles = dict[str, float | None]  # p50, p95, p99, max, mean


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return p50, p95, p99, max and mean; None for each if there are no values."""
    if not len(values):
        return dict.fromkeys(("p50", "p95", "p99", "max", "mean"))
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "max": float(max(values)),
        "mean": math.fsum(values) / len(values),
    }


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent without the sign.

    Args:
        value: 0 to 1; None and NaN are "-".
        digits: After the point.
    """
    return "-" if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def number(value: float | None) -> str:
    """Return three digits after the point, fewer for large values; a missing value or NaN is "-"."""
    return "-" if value is None or math.isnan(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def significant(value: float | None, absent: str = "none") -> str:
    """Return a number with four significant digits.

    Args:
        value: A number, or None.
        absent: Stands for None.
    """
    return absent if value is None else f"{value:.4g}"


def milliseconds(value: float | None) -> str:
    """Return milliseconds with three digits or more; a missing value is "-"."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"
