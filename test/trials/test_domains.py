# SPDX-License-Identifier: Apache-2.0
"""Domains for processes of our own."""

import socket

import pytest

from segmif_ros.reporting.errors import WorkFailedError
from segmif_ros.trials import domains


def test_a_domain_is_one_that_linux_leaves_to_dds() -> None:
    assert 1 <= domains.take_domain() <= 101


def test_a_domain_that_somebody_uses_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    used = domains.take_domain()
    monkeypatch.setattr(domains, "_DOMAINS", (used,))
    with pytest.raises(WorkFailedError, match="all ROS domains"):
        domains.take_domain()


def test_a_domain_on_whose_port_somebody_listens_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = domains.take_domain()
    domains._taken.pop().close()
    monkeypatch.setattr(domains, "_DOMAINS", (heard,))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 7400 + 250 * heard + 10))
        with pytest.raises(WorkFailedError, match="all ROS domains"):
            domains.take_domain()
    assert domains.take_domain() == heard
