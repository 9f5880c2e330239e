# SPDX-License-Identifier: Apache-2.0
"""Tensors are tiny here: they are computed on one thread."""

from torch_fixtures import one_thread

__all__ = ["one_thread"]
