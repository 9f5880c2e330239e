# SPDX-License-Identifier: Apache-2.0
"""Tensors are tiny here: one thread is faster than two that wait for each other, above all on a busy machine."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
