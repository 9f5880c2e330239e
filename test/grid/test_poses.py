# SPDX-License-Identifier: Apache-2.0
"""Transforms and the buffer that states what is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmif_ros.grid.errors import GridError, TransformError
from segmif_ros.grid.poses import (
    TransformBuffer,
    camera_pose,
    from_rpy,
    interpolated,
    inverse,
    quaternion,
    transform,
)

S = 1_000_000_000
angles = st.floats(-3, 3)


def _at(x: float) -> np.ndarray:
    return from_rpy([x, 0, 0], 0, 0, 0)


def test_a_level_camera_looks_along_x_and_sits_at_its_height() -> None:
    pose = camera_pose(1.5, 0.0, x_m=0.2)
    assert pose @ [0, 0, 2, 1] == pytest.approx([2.2, 0, 1.5, 1]), "optical z is forward"
    assert pose @ [1, 0, 0, 1] == pytest.approx([0.2, -1, 1.5, 1]), "optical x is right"


def test_a_positive_pitch_looks_down() -> None:
    ahead = camera_pose(1.0, 30.0)[:3, :3] @ [0, 0, 1]
    assert ahead == pytest.approx([np.cos(np.radians(30)), 0, -0.5])


@given(angles, st.floats(-1.5, 1.5), angles)
def test_a_rotation_keeps_lengths_and_its_inverse_undoes_it(roll: float, pitch: float, yaw: float) -> None:
    made = from_rpy([1, 2, 3], roll, pitch, yaw)
    assert made[:3, :3] @ made[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
    assert made @ inverse(made) == pytest.approx(np.eye(4), abs=1e-9)


@settings(max_examples=50)
@given(st.floats(-1.4, 1.4), st.floats(0, 1))
def test_half_way_of_a_turn_is_half_the_turn(yaw: float, share: float) -> None:
    got = interpolated(from_rpy([0, 0, 0], 0, 0, 0.1), from_rpy([2, 0, 0], 0, 0, 0.1 + yaw), share)
    assert got == pytest.approx(from_rpy([2 * share, 0, 0], 0, 0, 0.1 + share * yaw), abs=1e-9)


@given(angles, st.floats(-1.5, 1.5), angles)
def test_a_transform_comes_back_from_its_quaternion(roll: float, pitch: float, yaw: float) -> None:
    made = from_rpy([1, 2, 3], roll, pitch, yaw)
    got = quaternion(made)
    assert got[3] >= 0
    assert transform([1, 2, 3], got) == pytest.approx(made, abs=1e-6)


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0), (1, 1, 1, 1), (float("nan"), 0, 0, 1)])
def test_numbers_that_are_no_rotation_are_refused(numbers) -> None:
    with pytest.raises(GridError):
        transform((0, 0, 0), numbers)


def _robot() -> TransformBuffer:
    buffer = TransformBuffer(keep_s=10, wait_s=0.1)
    buffer.put("base_link", "camera", 0, from_rpy([0.3, 0, 1], 0, 0, 0), fixed=True)
    for k in range(11):
        buffer.put("odom", "base_link", k * S // 10, _at(0.1 * k))
    return buffer


def test_a_chain_of_fixed_and_moving_frames_is_interpolated() -> None:
    assert _robot().lookup("odom", "camera", S // 4)[:3, 3] == pytest.approx([0.55, 0, 1])
    assert _robot().lookup("camera", "odom", S // 4)[:3, 3] == pytest.approx([-0.55, 0, -1])


def test_a_frame_is_itself() -> None:
    assert np.array_equal(_robot().lookup("odom", "odom", 0), np.eye(4))


@pytest.mark.parametrize(
    ("source", "stamp_ns", "kind", "words"),
    [
        ("lidar", 0, "missing", "no tf of frame 'lidar': frames heard of are base_link, camera, odom"),
        ("camera", 3 * S, "late", "'base_link' to 'odom' is late: its newest is 2.000 s older"),
        ("camera", -S, "past", "begins 1.000 s after the image: tf is from another time"),
    ],
)
def test_what_is_missing_or_late_is_said_in_one_line(source: str, stamp_ns: int, kind: str, words: str) -> None:
    with pytest.raises(TransformError, match=words) as caught:
        _robot().lookup("odom", source, stamp_ns)
    assert caught.value.kind == kind


def test_two_trees_are_said_to_be_two() -> None:
    buffer = _robot()
    buffer.put("map", "other", 0, np.eye(4), fixed=True)
    with pytest.raises(TransformError, match="no tf connects 'other' with 'odom'"):
        buffer.lookup("odom", "other", 0)


def test_a_little_newer_than_the_newest_takes_the_newest() -> None:
    assert _robot().lookup("odom", "base_link", S + S // 20)[0, 3] == pytest.approx(1.0)


def test_the_past_is_forgotten_and_stamps_out_of_order_find_their_place() -> None:
    buffer = TransformBuffer(keep_s=1.0)
    for k in (0, 2, 1, 30, 29):
        buffer.put("odom", "base_link", k * S // 10, _at(k))
    assert buffer.lookup("odom", "base_link", 29 * S // 10)[0, 3] == 29
    with pytest.raises(TransformError, match="another time"):
        buffer.lookup("odom", "base_link", S // 10)
    assert buffer.newest_ns("odom", "base_link") == 3 * S


def test_after_a_jump_of_the_clock_fixed_frames_stay() -> None:
    buffer = _robot()
    buffer.clear()
    assert buffer.frames == ["base_link", "camera"]


def test_a_loop_of_frames_does_not_hang() -> None:
    buffer = TransformBuffer()
    buffer.put("a", "b", 0, np.eye(4), fixed=True)
    buffer.put("b", "a", 0, np.eye(4), fixed=True)
    with pytest.raises(TransformError):
        buffer.lookup("c", "a", 0)
