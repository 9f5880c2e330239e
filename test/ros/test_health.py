# SPDX-License-Identifier: Apache-2.0
"""What is said about inputs and stamps: each case has its line, and no line comes without its case."""

from types import SimpleNamespace

import pytest

from segmif_ros.ros.health import (
    Conditions,
    InputFacts,
    Problem,
    budget_problems,
    input_problem,
    offset_problem,
    pairing_problem,
    starved_problem,
)
from segmif_ros.stream.pairing import OffsetSummary

MS = 1e6
RGB = {"camera": "rgb", "topic": "/front/rgb/image_raw"}


@pytest.mark.parametrize(
    ("facts", "kind", "part"),
    [
        ({"publishers": 0, "received": False}, "rgb absent", "nobody publishes /front/rgb/image_raw"),
        ({"publishers": 0}, "rgb absent", "remap rgb/image_raw"),
        (
            {"publishers": 0, "wrong_type": "sensor_msgs/msg/CompressedImage", "received": False},
            "rgb type",
            "carries sensor_msgs/msg/CompressedImage",
        ),
        ({"incompatible": "reliability", "received": False}, "rgb QoS", "don't match: reliability"),
        ({"received": False}, "rgb blocked", "fastdds.xml"),
        ({}, "rgb silent", "fell silent"),
    ],
)
def test_a_silent_input_is_said_with_its_cause(facts, kind, part) -> None:
    problem = input_problem(InputFacts(**RGB, silent_s=2.5, **facts), timeout_s=2.0)
    assert problem.kind == kind
    assert part in problem.line
    assert "\n" not in problem.line


@pytest.mark.parametrize("facts", [{"publishers": 0}, {"incompatible": "reliability"}, {"received": False}, {}])
def test_nothing_is_said_before_the_timeout_or_while_frames_come(facts) -> None:
    assert input_problem(InputFacts(**RGB, silent_s=1.9, **facts), timeout_s=2.0) is None


def test_frames_without_stamps_are_said_while_they_come() -> None:
    assert "no stamp" in input_problem(InputFacts(**RGB, unstamped=True), timeout_s=2.0).line


def test_large_frames_that_mostly_get_lost_are_said() -> None:
    infrared = InputFacts(camera="infrared", topic="/infrared/image_raw", rate_hz=30, frame_bytes=307_200)
    lost = InputFacts(**RGB, rate_hz=0.8, frame_bytes=921_600)
    assert "few frames of /front/rgb/image_raw arrive" in starved_problem(lost, infrared).line
    assert starved_problem(infrared, lost) is None
    assert starved_problem(InputFacts(**RGB, rate_hz=10, frame_bytes=921_600), infrared) is None
    assert starved_problem(InputFacts(**RGB, rate_hz=0.8, frame_bytes=100_000), infrared) is None


def misses(mean_ns, count=40) -> OffsetSummary:
    return OffsetSummary(count=count, mean_ns=mean_ns, max_ns=int(abs(mean_ns)), deviation_ns=0.0)


def test_stamps_that_never_come_near_each_other_are_said_with_the_distance() -> None:
    line = pairing_problem(misses(45 * MS), slop_s=0.02).line
    assert line.startswith("no pairs: infrared stamps are 0.045 s behind the nearest RGB stamps, slop_s is 0.02")
    assert "before" in pairing_problem(misses(-45 * MS), slop_s=0.02).line


def test_clocks_that_do_not_agree_are_said() -> None:
    assert pairing_problem(misses(-1.7e18), slop_s=0.02).kind == "clocks"


def test_a_few_frames_without_a_partner_are_no_problem() -> None:
    assert pairing_problem(misses(45 * MS, count=5), slop_s=0.02) is None


def offsets(mean_ns, deviation_ns=0.1 * MS, count=100) -> OffsetSummary:
    return OffsetSummary(count=count, mean_ns=mean_ns, max_ns=int(abs(mean_ns)), deviation_ns=deviation_ns)


def test_a_large_steady_offset_is_said_with_the_value_that_corrects_it() -> None:
    assert offset_problem(offsets(12 * MS), 0.02, 0.003).line.endswith("set time_offset_s to 0.0150")
    assert offset_problem(offsets(-12 * MS), 0.02, 0.003).line.endswith("set time_offset_s to -0.0090")


@pytest.mark.parametrize(
    "summary", [offsets(2 * MS), offsets(12 * MS, deviation_ns=6 * MS), offsets(12 * MS, count=10), OffsetSummary()]
)
def test_a_small_or_unsteady_or_unproven_offset_is_no_problem(summary) -> None:
    assert offset_problem(summary, 0.02, 0.0) is None


def state(**values) -> SimpleNamespace:
    # as segmif_ros.inference.adaptive.BudgetState, which would bring torch
    facts = {"size": (352, 480), "full_size": (480, 640), "reason": "too slow", "budget_ms": 100.0, "median_ms": 80.0}
    return SimpleNamespace(**{**facts, "on_trial": False, "exceeded": False, **values})


def test_a_smaller_image_is_said_with_its_reason_also_while_the_full_one_is_on_trial() -> None:
    [problem] = budget_problems(state())
    assert problem.line == "the network's image is 480x352 instead of 640x480: too slow"
    [trial] = budget_problems(state(size=(480, 640), on_trial=True, reason="calm"))
    assert trial == Problem(problem.kind, "the network's image is 640x480 again, on trial: calm")


def test_a_budget_that_even_the_smallest_image_exceeds_is_said_with_what_helps() -> None:
    smaller, exceeded = budget_problems(state(exceeded=True, median_ms=151.6))
    assert smaller.kind != exceeded.kind
    assert exceeded.line.startswith("frames take 152 ms with the smallest image, 480x352, and frame_budget_ms is 100:")


@pytest.mark.parametrize("quiet", [None, state(size=(480, 640))])
def test_without_a_budget_or_within_it_there_is_no_problem(quiet) -> None:
    assert budget_problems(quiet) == []


def test_a_condition_is_said_when_it_begins_and_when_it_ends() -> None:
    conditions = Conditions()
    assert conditions.update([Problem("rgb silent", "silent for 2 s")]) == (["silent for 2 s"], [])
    assert conditions.update([Problem("rgb silent", "silent for 3 s")]) == ([], [])
    assert conditions.lines == ["silent for 3 s"]
    assert conditions.update([Problem("rgb absent", "gone")]) == (["gone"], ["silent for 3 s"])
    assert conditions.update([]) == ([], ["gone"])
    assert conditions.lines == []
