# SPDX-License-Identifier: Apache-2.0
"""What the player of an online replay takes note of."""

import struct

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from segmif_ros.trials.player import Measurement, stamp_of


@pytest.mark.parametrize(("flag", "order"), [(1, "<"), (0, ">")])
def test_a_stamp_is_read_in_both_byte_orders(flag: int, order: str) -> None:
    raw = bytes([0, flag, 0, 0]) + struct.pack(f"{order}iI", 12, 34)
    assert stamp_of(raw) == 12_000_000_034


def test_an_output_is_matched_to_the_latest_image_of_its_stamp() -> None:
    seen = Measurement()
    seen.offer(7, 1000, loop=0)
    seen.offer(7, 5000, loop=1)
    seen.arrive(7, 5300)
    assert seen.outputs == [(5300, 7, 300, 1)]


def test_an_output_of_an_unknown_stamp_has_no_age() -> None:
    seen = Measurement()
    seen.arrive(7, 5300)
    assert seen.outputs == [(5300, 7, -1, -1)]


def test_the_first_and_the_last_diagnostics_are_kept() -> None:
    seen = Measurement(diagnostics=[{"pairs": "1"}, {"pairs": "2"}, {"pairs": "3"}])
    values = seen.as_values()
    assert (values["diagnostics_first"], values["diagnostics_last"]) == ({"pairs": "1"}, {"pairs": "3"})
