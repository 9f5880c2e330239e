# SPDX-License-Identifier: Apache-2.0
"""Quality of service in words."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from rclpy.duration import Duration, Infinite
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy

from segmif_ros.ros.qos import mismatch, profile


@pytest.mark.parametrize(
    ("publisher", "subscription", "matches"),
    [
        ("reliable", "reliable", True),
        ("reliable", "best_effort", True),
        ("best_effort", "best_effort", True),
        ("best_effort", "reliable", False),
    ],
)
def test_a_reliable_subscription_needs_a_reliable_publisher(publisher, subscription, matches) -> None:
    reason = mismatch(profile(publisher, 5), profile(subscription, 1))
    assert (reason == "") == matches
    assert matches or reason == "Best effort publisher and reliable subscription"


def test_every_reason_is_said_in_one_line() -> None:
    wanted = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL, deadline=Duration(seconds=1))
    reason = mismatch(profile("reliable", 1), wanted)
    assert reason.count(";") == 1
    assert "ERROR" not in reason
    assert "\n" not in reason


def test_a_duration_that_a_remote_end_never_set_is_no_mismatch() -> None:
    remote = QoSProfile(depth=1, deadline=Infinite, liveliness_lease_duration=Infinite)
    assert mismatch(profile("reliable", 1), remote) == ""
    assert mismatch(remote, profile("reliable", 1)) == ""


def test_a_profile_is_made_anew_each_time_because_overrides_are_written_into_it() -> None:
    first = profile("reliable", 5)
    first.reliability = QoSReliabilityPolicy.BEST_EFFORT
    assert profile("reliable", 5).reliability == QoSReliabilityPolicy.RELIABLE
