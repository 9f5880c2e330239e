# SPDX-License-Identifier: Apache-2.0
"""Hostile inputs by the thousand, from a seed: what the readers make of them, and what they should never do."""
