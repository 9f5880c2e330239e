# SPDX-License-Identifier: Apache-2.0
"""Small weights for the tests of this folder."""

from torch_fixtures import one_thread, own_cache, tiny_weights

__all__ = ["one_thread", "own_cache", "tiny_weights"]
