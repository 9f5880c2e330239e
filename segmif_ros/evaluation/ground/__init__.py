# SPDX-License-Identifier: Apache-2.0
"""Judges the planner's grid against the exact ground of synthetic drives."""
