# SPDX-License-Identifier: Apache-2.0
"""When the simulated cameras expose, publish and lose frames; no clock, no sleeps."""

from itertools import pairwise

import numpy as np
import pytest

from segmif_ros.ros.simulator.schedule import INFRARED, RGB, Player, Schedule

MS = 1_000_000


def _schedule(**options):
    defaults = {"rate_hz": 20.0, "jitter_s": 0.0, "drop_probability": 0.0, "infrared_time_offset_s": 0.0, "seed": 3}
    return Schedule(**{**defaults, **options})


def _by_camera(schedule, frames):
    shots = [shot for frame in range(frames) for shot in schedule.shots(frame)]
    return {camera: [shot for shot in shots if shot.camera == camera] for camera in (INFRARED, RGB)}


def test_without_jitter_both_cameras_expose_at_the_rate():
    for shots in _by_camera(_schedule(), 5).values():
        assert [shot.stamp_ns for shot in shots] == [n * 50 * MS for n in range(5)]
        assert [shot.due_ns for shot in shots] == [n * 50 * MS for n in range(5)]


def test_the_schedule_is_a_function_of_seed_and_frame():
    noisy = {"jitter_s": 0.004, "drop_probability": 0.3}
    assert _schedule(**noisy).shots(17) == _schedule(**noisy).shots(17)
    assert _schedule(**noisy).shots(17) != _schedule(**noisy, seed=4).shots(17)


def test_jitter_has_the_deviation_asked_for_in_stamp_and_delay():
    for shots in _by_camera(_schedule(jitter_s=0.003), 3000).values():
        jitter = np.array([shot.stamp_ns - n * 50 * MS for n, shot in enumerate(shots)]) / 1e9
        delay = np.array([shot.due_ns - shot.stamp_ns for shot in shots]) / 1e9
        assert jitter.std() == pytest.approx(0.003, rel=0.1) and abs(jitter.mean()) < 0.0003
        assert delay.min() >= 0 and delay.mean() == pytest.approx(0.003 * np.sqrt(2 / np.pi), rel=0.1)


def test_the_two_cameras_jitter_independently():
    cameras = _by_camera(_schedule(jitter_s=0.003), 2000)
    a, b = (np.array([shot.stamp_ns - n * 50 * MS for n, shot in enumerate(shots)]) for shots in cameras.values())
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1


@pytest.mark.parametrize("jitter_s", [0.02, 0.5])
def test_jitter_of_any_size_leaves_frames_in_order(jitter_s):
    schedule = _schedule(jitter_s=jitter_s)
    due = [shot.due_ns for frame in range(500) for shot in schedule.shots(frame)]
    assert due == sorted(due)
    for shots in _by_camera(schedule, 500).values():
        stamps = [shot.stamp_ns for shot in shots]
        assert all(b > a for a, b in pairwise(stamps))


def test_each_camera_loses_the_share_of_frames_asked_for_by_itself():
    cameras = _by_camera(_schedule(drop_probability=0.25), 4000)
    lost = {camera: np.array([shot.dropped for shot in shots]) for camera, shots in cameras.items()}
    for each in lost.values():
        assert each.mean() == pytest.approx(0.25, abs=0.03)
    assert (lost[INFRARED] & lost[RGB]).mean() == pytest.approx(0.0625, abs=0.02)


def test_the_time_offset_moves_infrared_stamps_and_nothing_else():
    plain, offset = (_by_camera(_schedule(infrared_time_offset_s=s), 10) for s in (0.0, 0.045))
    for a, b in zip(plain[INFRARED], offset[INFRARED], strict=True):
        assert b.stamp_ns - a.stamp_ns == 45 * MS
        assert b.due_ns == a.due_ns
    assert plain[RGB] == offset[RGB]


# --- the player -----------------------------------------------------------------------------------------


def _player(*, contents=None, max_frames=0, start_ns=1000 * MS, **options):
    stock = iter(range(10_000)) if contents is None else iter(contents)
    return Player(_schedule(**options), lambda: next(stock), max_frames=max_frames, start_ns=start_ns)


def test_nothing_is_due_before_its_time():
    player = _player()
    assert [(s.camera, c) for s, c in player.due(1000 * MS)] == [(INFRARED, 0), (RGB, 0)]
    assert player.due(1049 * MS) == []
    assert player.wait_ns(1049 * MS) == 1 * MS
    assert [(s.stamp_ns, c) for s, c in player.due(1050 * MS)] == [(1050 * MS, 1), (1050 * MS, 1)]


def test_following_the_waits_gives_every_image_in_order():
    player, now, shots = _player(jitter_s=0.01), 1000 * MS, []
    while len(shots) < 60:
        shots += player.due(now)
        now += player.wait_ns(now)
    assert [content for _, content in shots] == [n // 2 for n in range(60)]
    assert player.counts.missed == 0


def test_dropped_images_are_left_out_and_the_frame_counts_all_the_same():
    player = _player(drop_probability=1.0, max_frames=3)
    assert player.due(1000 * MS) == []
    assert player.due(1050 * MS) == []
    assert not player.done
    assert player.due(1100 * MS) == []
    assert player.done and player.counts.shown == 3


def test_it_is_done_after_the_last_image_of_the_last_frame():
    player = _player(max_frames=2)
    player.due(1000 * MS)
    assert not player.done
    player.due(1050 * MS)
    assert player.done
    assert player.due(5000 * MS) == []


def test_called_far_too_late_it_gives_up_old_frames_instead_of_a_burst():
    player = _player()
    player.due(1000 * MS)
    late = player.due(1000 * MS + 20 * 50 * MS)
    assert [shot.stamp_ns for shot, _ in late] == [2000 * MS] * 2
    assert player.counts.missed == 19
    assert [content for _, content in late] == [1, 1], "content goes on where it was"


def test_one_frame_late_is_made_up_for():
    player = _player()
    player.due(1000 * MS)
    assert len(player.due(1101 * MS)) == 4
    assert player.counts.missed == 0


def test_a_frame_that_is_not_ready_is_skipped_and_counted():
    player = _player(contents=["a", None, "b"])
    player.due(1000 * MS)
    assert player.due(1050 * MS) == []
    assert player.counts.unprepared == 1
    assert [(s.stamp_ns, c) for s, c in player.due(1100 * MS)] == [(1100 * MS, "b")] * 2


def test_a_stamp_before_the_beginning_of_time_becomes_zero():
    player = _player(start_ns=0, infrared_time_offset_s=-0.5)
    assert next(shot.stamp_ns for shot, _ in player.due(0) if shot.camera == INFRARED) == 0
