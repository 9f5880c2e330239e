# SPDX-License-Identifier: Apache-2.0
"""`segmif status` against a running node, and where there is none."""

import json
import os

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from node_processes import FAKE_NODE, PROCESS_DOMAIN
from ros_domains import take_domain

from segmif_ros import cli


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch):
    return lambda number: monkeypatch.setitem(os.environ, "ROS_DOMAIN_ID", str(number))


def test_a_node_without_cameras_is_shown_with_its_problems(started, domain, capsys) -> None:
    domain(PROCESS_DOMAIN)
    started(*FAKE_NODE).until("nobody publishes")
    assert cli.main(["status", "--json", "--timeout", "20"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["node"], shown["level"]) == ("segmif_node", "WARN")
    assert "nobody publishes" in shown["message"]
    assert shown["input_rate_hz"] == {"infrared": 0.0, "rgb": 0.0}


def test_without_a_node_there_is_one_line_and_status_1(domain, capsys) -> None:
    domain(take_domain())
    assert cli.main(["status", "--timeout", "0.5"]) == 1
    line = capsys.readouterr().err
    assert line.startswith("segmif status: no segmif_node within 0.5 s on ROS domain ")
    assert line.count("\n") == 1
