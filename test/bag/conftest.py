# SPDX-License-Identifier: Apache-2.0
"""Tests of bags make them by a fixture."""

from bag_fixtures import make_bag

__all__ = ["make_bag"]
