# SPDX-License-Identifier: Apache-2.0
"""A node seen from outside: rates from counters, problems with hints, and the same as JSON."""

from types import SimpleNamespace

import pytest

from segmif_ros.trials.live import Listener, NodeStatus, Tracked, as_json, screen

VALUES = {
    "model": "segmif-s 5c52",
    "device": "cpu",
    "frames_infrared": "100",
    "frames_rgb": "300",
    "pairs": "90",
    "processed": "60",
    "rate_hz": "4.00",
    "dropped_late": "0",
    "dropped_superseded": "30",
    "age_ms_p50": "310.2",
}
IMAGES = ["/boson/image_raw", "/camera/color/image_raw"]


def _status(level: str = "OK", message: str = "active", heard_s: float = 10.0, **values: str) -> NodeStatus:
    return NodeStatus(node="segmif_node", level=level, message=message, values={**VALUES, **values}, heard_s=heard_s)


def _text(seen: Tracked) -> str:
    return "\n".join(screen(seen, IMAGES, 10.5))


def test_a_rate_is_the_growth_of_a_counter_over_time() -> None:
    before = _status(heard_s=5.0, frames_infrared="50")
    assert Tracked(now=_status(), before=before).rate_hz("frames_infrared") == pytest.approx(10.0)


@pytest.mark.parametrize("before", [None, _status(heard_s=10.0), _status(heard_s=5.0, frames_infrared="200")])
def test_a_rate_is_unknown_with_one_message_or_after_a_restart(before: NodeStatus | None) -> None:
    assert Tracked(now=_status(), before=before).rate_hz("frames_infrared") is None


def test_the_screen_has_inputs_pairs_drops_and_ages() -> None:
    text = _text(Tracked(now=_status(topic_infrared="/boson/image_raw"), before=_status(heard_s=5.0, frames_rgb="150")))
    assert "segmif_node  OK  active  (0.5 s ago)" in text
    assert "/boson/image_raw" in text
    assert "30.0 Hz, 300 frames" in text
    assert "60 of 90 processed, 4.0 a second" in text
    assert "superseded 30" in text
    assert "late" not in text
    assert "P50 310 ms" in text


def test_before_the_first_result_there_is_no_age() -> None:
    text = _text(Tracked(now=_status(processed="0", age_ms_p50="0.0")))
    assert "P50" not in text
    assert "no result yet" in text


def test_every_problem_has_a_line() -> None:
    text = _text(Tracked(now=_status("WARN", "rgb: /rgb fell silent; the machine is too slow")))
    assert text.count("  problem ") == 2


def test_a_topic_that_nobody_publishes_is_shown_beside_those_that_exist() -> None:
    line = "infrared: nobody publishes /boson/image; start the camera"
    text = _text(Tracked(now=_status("WARN", line)))
    assert "for /boson/image there is /boson/image_raw" in text
    assert "/camera/color/image_raw" in text


def test_json_holds_rates_and_all_values() -> None:
    made = as_json(Tracked(now=_status()), IMAGES)
    assert made["values"]["processed"] == "60"
    assert made["input_rate_hz"] == {"infrared": None, "rgb": None}
    assert made["image_topics"] == IMAGES


def test_a_node_that_fell_silent_is_not_listed_any_more() -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 here")
    clock = SimpleNamespace(now=0.0)
    heard = []
    node = SimpleNamespace(create_subscription=lambda _type, _topic, hear, _depth: heard.append(hear))
    listener = Listener(node, lambda: clock.now)
    status = SimpleNamespace(name="segmif_node: pipeline", level=b"\x01", message="slow", values=[])
    heard[0](SimpleNamespace(status=[status, SimpleNamespace(name="other")]))
    assert [each.now.level for each in listener.seen()] == ["WARN"]
    clock.now = 60.0
    assert listener.seen() == []
