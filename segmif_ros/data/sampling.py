# SPDX-License-Identifier: Apache-2.0
"""Which samples stand for all, where not all are looked at."""

from __future__ import annotations

import numpy as np


def spread(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` indices of 0 .. count - 1 (fewer where there are fewer), evenly spread over them."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(wanted, count)).round()}) if count else []
