# SPDX-License-Identifier: Apache-2.0
"""Which values of a figure are the better ones."""

from __future__ import annotations

from enum import Enum


class Better(Enum):
    """Which values of a figure are the better ones."""

    MORE = "more"
    LESS = "less"
    NEITHER = "neither"  # it describes; a larger value may be good or bad
