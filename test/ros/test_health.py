# SPDX-License-Identifier: Apache-2.0
"""What is said about inputs and stamps: each case has its line, and no line comes without its case."""

from types import SimpleNamespace

import pytest

from segmif_ros.ros.health import (
    InputFacts,
    budget_problems,
    clock_problem,
    delay_problem,
    input_problem,
    likeliest_topics,
    offset_problem,
    output_problem,
    pairing_problem,
    same_topic_problem,
    slop_line,
    slow_problem,
    stamps_problem,
    starved_problem,
)
from segmif_ros.ros.problems import Conditions, Problem
from segmif_ros.stream.pairing import OffsetSummary
from segmif_ros.stream.stamps import Rhythm
from segmif_ros.stream.statistics import Progress

MS = 1e6
RGB = {"camera": "rgb", "topic": "/front/rgb/image_raw"}
INFRARED = {"camera": "infrared", "topic": "/front/infrared/image_raw"}


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
    infrared = InputFacts(**INFRARED, rate_hz=30, frame_bytes=307_200)
    uneven = Rhythm(intervals=12, period_s=1.2, variation=0.7)
    lost = InputFacts(**RGB, rate_hz=0.8, frame_bytes=921_600, rhythm=uneven)
    assert "few frames of /front/rgb/image_raw arrive" in starved_problem(lost, infrared).line
    assert starved_problem(infrared, lost) is None
    assert starved_problem(InputFacts(**RGB, rate_hz=10, frame_bytes=921_600, rhythm=uneven), infrared) is None
    assert starved_problem(InputFacts(**RGB, rate_hz=0.8, frame_bytes=100_000, rhythm=uneven), infrared) is None


def test_a_camera_that_is_only_slower_keeps_time_and_loses_nothing() -> None:
    infrared = InputFacts(**INFRARED, rate_hz=40)
    slow = InputFacts(**RGB, rate_hz=5, frame_bytes=921_600, rhythm=Rhythm(intervals=32, period_s=0.2, variation=0.1))
    assert starved_problem(slow, infrared) is None


def test_numbers_of_messages_tell_a_slow_camera_from_lost_frames() -> None:
    infrared = InputFacts(**INFRARED, rate_hz=40)
    uneven = Rhythm(intervals=32, period_s=0.2, variation=0.9)
    slow = InputFacts(**RGB, rate_hz=5, frame_bytes=921_600, rhythm=uneven, lost_share=0.05)
    assert starved_problem(slow, infrared) is None
    lost = InputFacts(**RGB, rate_hz=2, frame_bytes=921_600, rhythm=Rhythm(intervals=32), lost_share=0.93)
    assert "93% of the frames of /front/rgb/image_raw get lost" in starved_problem(lost, infrared).line


def test_frames_of_both_cameras_that_get_lost_are_said() -> None:
    infrared, rgb = (InputFacts(**each, rate_hz=1, frame_bytes=614_400, lost_share=0.97) for each in (INFRARED, RGB))
    assert starved_problem(infrared, rgb) is not None
    assert starved_problem(rgb, infrared) is not None


def misses(mean_ns, count=40, deviation_ns=0.0) -> OffsetSummary:
    return OffsetSummary(count=count, mean_ns=mean_ns, max_ns=int(abs(mean_ns)), deviation_ns=deviation_ns)


def test_stamps_that_never_come_near_each_other_are_said_with_the_distance_and_the_offset_that_corrects_it() -> None:
    line = pairing_problem(misses(45 * MS), slop_s=0.02, time_offset_s=0.1).line
    assert line.startswith("no pairs: infrared stamps are 0.045 s behind the nearest RGB stamps, slop_s is 0.02")
    assert "set time_offset_s to 0.145" in line
    assert "before" in pairing_problem(misses(-45 * MS), slop_s=0.02).line


def test_stamps_that_are_now_before_and_now_behind_have_no_offset_to_correct() -> None:
    line = pairing_problem(OffsetSummary(count=40, mean_ns=2 * MS, max_ns=100_000_000, deviation_ns=95 * MS), 0.05).line
    assert "up to 0.1 s apart, now before and now behind" in line
    assert "time_offset_s" not in line


@pytest.mark.parametrize(("gap_ns", "spoken"), [(-1.7e18, "19676 days"), (300e9, "5 minutes"), (12e9, "12 s")])
def test_clocks_that_do_not_agree_are_said_by_how_much_and_no_parameter_is_blamed(gap_ns, spoken) -> None:
    problem = pairing_problem(misses(gap_ns), slop_s=0.02)
    assert problem.kind == "clocks"
    assert f"{spoken} apart" in problem.line
    assert "slop_s" not in problem.line and "time_offset_s" not in problem.line


def test_frames_that_come_late_with_right_stamps_ask_for_a_longer_queue_and_not_for_an_offset() -> None:
    rgb = InputFacts(**RGB, rhythm=Rhythm(intervals=32, period_s=1 / 30))
    infrared = InputFacts(**INFRARED, rhythm=Rhythm(intervals=32, period_s=1 / 9))
    delays = OffsetSummary(count=30, mean_ns=500 * MS, max_ns=510_000_000)
    line = delay_problem(delays, 10, infrared, rgb).line
    assert "infrared frames arrive 0.5 s after rgb frames of the same stamp" in line
    assert "set queue_size to 18" in line
    assert "time_offset_s" not in line
    assert delay_problem(OffsetSummary(count=3, mean_ns=500 * MS, max_ns=1), 10, infrared, rgb) is None
    other = delay_problem(OffsetSummary(count=30, mean_ns=-500 * MS, max_ns=500_000_000), 3, infrared, rgb).line
    assert "rgb frames arrive 0.5 s after infrared frames" in other


# --- stamps ----------------------------------------------------------------------------------------------------------


def test_stamps_that_stand_still_or_jump_back_are_said() -> None:
    still = InputFacts(**INFRARED, rhythm=Rhythm(intervals=32, repeated=29, period_s=1.0))
    assert stamps_problem(still).line.startswith("infrared stamps don't change: 29 of the last 32 frames")
    back = InputFacts(**INFRARED, rhythm=Rhythm(intervals=32, backward=12, period_s=0.1))
    assert "stamps jump back: 12 of the last 32" in stamps_problem(back).line


@pytest.mark.parametrize(
    "rhythm",
    [
        Rhythm(intervals=32, period_s=0.1),
        Rhythm(intervals=5, repeated=5),
        Rhythm(intervals=32, repeated=2, period_s=0.1),
        Rhythm(intervals=32, backward=1, period_s=0.1),
    ],
    ids=["regular", "too few to judge", "one frame twice", "a bag that loops"],
)
def test_stamps_that_go_on_are_no_problem(rhythm) -> None:
    assert stamps_problem(InputFacts(**INFRARED, rhythm=rhythm)) is None


def test_a_slop_that_pairs_different_moments_is_said() -> None:
    fast, slow = Rhythm(intervals=32, period_s=0.033), Rhythm(intervals=32, period_s=0.11)
    assert "slop_s is 0.02, more than half the frame period of 0.033 s" in slop_line(0.02, fast, fast)
    assert slop_line(0.02, fast, slow) == ""
    assert slop_line(0.0, fast, fast) == ""
    assert slop_line(0.02, Rhythm(intervals=4, period_s=0.033), fast) == ""


def test_a_topic_that_nobody_publishes_is_said_with_those_that_exist_the_likeliest_first() -> None:
    images = ("/a/image", "/b/image", "/boson/rgb_image", "/c/image", "/front/rgb/image_rect")
    facts = InputFacts(**RGB, publishers=0, silent_s=9.0, received=False, image_topics=images)
    line = input_problem(facts, 2.0).line
    assert "(there is /front/rgb/image_rect, " in line
    assert "and 1 more)" in line


def test_likeliest_topics_never_name_the_topic_itself() -> None:
    assert likeliest_topics("/rgb/image_raw", ["/rgb/image_raw", "/rgb/image_rect"]) == ["/rgb/image_rect"]


@pytest.mark.parametrize(
    ("aheads_s", "simulated", "clock_set", "part"),
    [
        ((37.0, 37.0), False, True, "37 s ahead of this node's clock"),
        ((-1.7e9, -1.7e9), False, True, "19676 days behind this node's clock"),
        ((1.7e9, 1.7e9), True, True, "these cameras don't follow /clock"),
        ((1.7e9, 1.7e9), True, False, "nobody publishes /clock"),
        ((0.0, 0.0), True, False, "nobody publishes /clock"),
    ],
)
def test_stamps_that_do_not_belong_to_the_nodes_clock_are_said(aheads_s, simulated, clock_set, part) -> None:
    infrared, rgb = InputFacts(**INFRARED, ahead_s=aheads_s[0]), InputFacts(**RGB, ahead_s=aheads_s[1])
    assert part in clock_problem(infrared, rgb, simulated=simulated, clock_set=clock_set).line


@pytest.mark.parametrize("aheads_s", [(0.1, -0.2), (-5.0, -5.0), (1000.0, 0.0), (1000.0, -1000.0)])
def test_stamps_near_the_nodes_clock_or_of_clocks_that_differ_are_no_problem_of_the_nodes_clock(aheads_s) -> None:
    infrared, rgb = InputFacts(**INFRARED, ahead_s=aheads_s[0]), InputFacts(**RGB, ahead_s=aheads_s[1])
    assert clock_problem(infrared, rgb, simulated=False, clock_set=True) is None


def test_two_inputs_of_one_topic_are_said() -> None:
    rgb = InputFacts(**RGB)
    problem = same_topic_problem(InputFacts(camera="infrared", topic=rgb.topic), rgb)
    assert problem.error and "both come from /front/rgb/image_raw" in problem.line
    assert same_topic_problem(InputFacts(**INFRARED), rgb) is None


# --- frames come, and nothing goes out -------------------------------------------------------------------------------

ENGINE = "backend torch on cpu"


@pytest.mark.parametrize(
    ("progress", "part"),
    [
        ({"working": False}, "the worker's thread has ended"),
        ({"silent_s": 6.0, "in_work_s": 6.0, "pairs": 30}, f"one pair is in work for 6 s, {ENGINE} compiles"),
        ({"silent_s": 6.0, "refused": 9, "refusal": "5x8 on 6x8", "pairs": 9}, "9 so far, the last one: 5x8 on 6x8"),
        ({"silent_s": 6.0}, "no pair is formed: infrared stamps don't change"),
        ({"silent_s": 6.0, "pairs": 3}, "3 pairs were formed, and none is done"),
    ],
)
def test_nothing_going_out_is_an_error_with_its_cause(progress, part) -> None:
    others = [Problem("infrared stamps", "infrared stamps don't change")]
    problem = output_problem(Progress(**progress), 60.0, 5.0, ENGINE, others)
    assert problem.error
    assert part in problem.line
    assert "\n" not in problem.line


def test_pairs_that_are_all_refused_are_a_warning_before_they_are_an_error() -> None:
    problem = output_problem(Progress(silent_s=1.0, refused=5, refusal="no", pairs=5), 60.0, 5.0, ENGINE, [])
    assert (problem.kind, problem.error) == ("no output", False)


@pytest.mark.parametrize(
    ("progress", "sending_s"),
    [
        (Progress(silent_s=4.0, pairs=3), 60.0),
        (Progress(silent_s=900.0), 2.0),
        (Progress(silent_s=6.0, in_work_s=6.0, usual_s=4.0, pairs=90), 60.0),
        (Progress(silent_s=1.0, refused=2, refusal="no", pairs=2), 60.0),
    ],
    ids=["not yet", "a camera has just come back", "always slow", "two bad frames"],
)
def test_a_silence_that_has_its_time_is_no_problem(progress, sending_s) -> None:
    assert output_problem(progress, sending_s, 5.0, ENGINE, []) is None


def test_a_machine_that_is_too_slow_is_said_with_what_would_help() -> None:
    progress = Progress(pair_rate_hz=30.0, rate_hz=2.1, usual_s=1.8)
    line = slow_problem(progress, ["weights segmif-rt", "backend openvino"]).line
    assert "keeps 2.1 of 30 pairs a second, results are 1.8 s old" in line
    assert line.endswith("weights segmif-rt or backend openvino would help")


def test_pairs_that_take_longer_than_the_rate_looks_back_are_too_slow_all_the_time() -> None:
    line = slow_problem(Progress(pair_rate_hz=10.0, rate_hz=0.0, usual_s=4.0), []).line
    assert "keeps 0.2 of 10 pairs a second, results are 4.0 s old" in line


@pytest.mark.parametrize(
    ("pair_rate_hz", "rate_hz", "usual_s"), [(30.0, 29.0, 0.1), (30.0, 10.0, 0.1), (5.0, 4.9, 1.0), (0.0, 0.0, 0.0)]
)
def test_a_machine_that_keeps_enough_or_all_pairs_is_not_too_slow(pair_rate_hz, rate_hz, usual_s) -> None:
    assert slow_problem(Progress(pair_rate_hz=pair_rate_hz, rate_hz=rate_hz, usual_s=usual_s), []) is None


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
    # as segmif_ros.inference.adaptive_size.BudgetState, which would bring torch
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
    silent, gone = Problem("rgb silent", "silent for 2 s"), Problem("rgb absent", "gone")
    assert conditions.update([silent]) == ([silent], [])
    assert conditions.update([Problem("rgb silent", "silent for 3 s")]) == ([], [])
    assert conditions.lines == ["silent for 3 s"]
    assert conditions.update([gone]) == ([gone], ["silent for 3 s"])
    assert conditions.update([]) == ([], ["gone"])
    assert conditions.lines == []


def test_a_condition_that_becomes_an_error_is_said_once_more() -> None:
    conditions = Conditions()
    warning, error = Problem("no output", "every pair is refused"), Problem("no output", "for 5 s", error=True)
    assert conditions.update([warning])[0] == [warning]
    assert not conditions.error
    assert conditions.update([error]) == ([error], [])
    assert conditions.error
    assert conditions.update([error]) == ([], [])
    assert conditions.update([warning]) == ([], [])


def test_the_logger_of_ros_takes_a_warning_that_becomes_an_error(capfd) -> None:
    log = pytest.importorskip("rclpy.logging", reason="no ROS 2 here").get_logger("conditions")
    conditions = Conditions()
    for error in (False, True):
        conditions.tell([Problem("no output", "every pair is refused", error=error)], log)
    assert [line.split()[0] for line in capfd.readouterr().err.splitlines()] == ["[WARN]", "[ERROR]"]
