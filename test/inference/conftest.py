# SPDX-License-Identifier: Apache-2.0
"""Tests of inference run small networks."""

from torch_fixtures import one_thread, own_cache, tiny_weights

__all__ = ["one_thread", "own_cache", "tiny_weights"]
