# SPDX-License-Identifier: Apache-2.0
"""Domains for processes of our own."""

import socket

import pytest
from ros_domains import take_domain

from segmif_ros.trials import domains


def test_a_domain_is_one_that_linux_leaves_to_dds() -> None:
    assert 1 <= domains.free_domain() <= 101


def test_a_domain_that_somebody_uses_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    used, free = take_domain(), take_domain()
    monkeypatch.setattr(domains, "_DOMAINS", (used, free))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 7400 + 250 * used + 10))
        assert {domains.free_domain() for _ in range(10)} == {free}
