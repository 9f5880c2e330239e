# SPDX-License-Identifier: Apache-2.0
"""How a run with camera faults is judged, from what the listener saw."""

from dataclasses import asdict

from segmif_ros.scenes.faults import parse_faults
from segmif_ros.trials.camera_faults import (
    HealthReport,
    Sightings,
    alarms,
    aligned,
    judged,
    one_of_each,
    table,
    verdict,
)
from segmif_ros.trials.soak import MemorySample

(FAULT,) = parse_faults("infrared:freeze@10s+4s")


def seen(ill_from: float, ill_until: float, *, condition="frozen") -> Sightings:
    found = Sightings()
    for tenth in range(300):
        now = tenth / 10
        ill = ill_from <= now < ill_until
        found.looks.append(
            HealthReport(
                time_s=now,
                infrared=condition if ill else "ok",
                rgb="ok",
                cameras="rgb" if ill else "infrared+rgb",
            )
        )
        found.frames["rgb"].append(now)
        found.masks.append(now + 0.05)
    return found


def test_a_fault_is_judged_by_when_it_was_found_and_what_came_meanwhile() -> None:
    found = judged(FAULT, seen(10.6, 14.3))
    assert found.condition == "frozen"
    assert round(found.found_s, 1) == 0.6
    assert (found.masks, found.frames) == (30, 30)
    assert round(found.back_s, 1) == 0.3


def test_a_fault_that_nobody_found_fails() -> None:
    one = {"seconds": 20.0, "found": [asdict(judged(FAULT, seen(99, 99)))], "false_alarms": []}
    passed, line = verdict([one], [], 30)
    assert not passed
    assert "later than 1 s or never: 1 ['infrared:freeze']" in line
    assert "never" in table([one]).rows[0]


def test_what_is_said_of_a_camera_without_a_fault_is_a_false_alarm_once() -> None:
    assert alarms([FAULT], seen(20.0, 22.0)) == (["infrared frozen at 20.0 s"], [])
    assert alarms([FAULT], seen(10.6, 15.5)) == ([], [])


def test_a_pause_of_the_rig_itself_is_no_false_alarm() -> None:
    found = seen(20.6, 22.0, condition="silent")
    found.frames["infrared"] = [each / 10 for each in range(300)]
    assert alarms([FAULT], found) == (["infrared silent at 20.6 s"], [])
    found.frames["infrared"] = [each / 10 for each in range(300) if not 200 < each < 208]
    assert alarms([FAULT], found) == ([], ["infrared silent at 20.6 s"])


def test_silence_from_before_the_rigs_first_frame_is_no_false_alarm() -> None:
    found = seen(0.0, 1.3, condition="silent")
    found.frames["infrared"] = [each / 10 for each in range(9, 300)]
    found.looks = [each for each in found.looks if each.time_s > 1.1]
    assert alarms([FAULT], found) == ([], ["infrared silent at 1.2 s"])


def test_memory_that_grows_fails() -> None:
    one = {"seconds": 20.0, "found": [asdict(judged(FAULT, seen(10.6, 14.3)))], "false_alarms": []}
    flat = [MemorySample(elapsed_s=60.0 * i, memory_mib=300.0, processed=1) for i in range(8)]
    grows = [MemorySample(elapsed_s=60.0 * i, memory_mib=300.0 + i, processed=1) for i in range(8)]
    assert verdict([one], flat, 30)[0]
    assert not verdict([one], grows, 30)[0]


def test_a_round_has_every_fault_once_with_quiet_between() -> None:
    faults = one_of_each()
    ends = [each.start_s + each.duration_s for each in faults]
    assert all(after.start_s >= end + 4 for after, end in zip(faults[1:], ends, strict=False))


def test_times_are_on_the_rigs_clock_also_where_the_listener_came_late() -> None:
    (silent,) = parse_faults("rgb:silent@10s+4s")
    late = seen(10.0, 13.5)
    late.frames["rgb"] = [each for each in late.frames["rgb"] if not 9.2 <= each < 13.2]  # 0.8 s late
    found = aligned(late, silent)
    assert round(found.looks[0].time_s, 2) == 0.85
    assert round(found.masks[0], 2) == 0.9
