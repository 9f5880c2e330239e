# SPDX-License-Identifier: Apache-2.0
"""Frames of the simulated rig before the cameras' health check, without DDS."""

from dataclasses import replace

import pytest
from module_command import command_of

from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.stream.camera_health import Condition
from segmif_ros.trials import camera_check, rig_alarms
from segmif_ros.trials.rig_alarms import OPTIONS, RigOptions, alarms

SMALL = RigConfig(width=64, height=48, loop_frames=4, lighting="day")


def test_a_rig_without_a_fault_raises_no_alarm() -> None:
    found = alarms(RigOptions(), 10.0, 3.0, SMALL)
    assert (found.frames, found.called, found.false) == (60, {}, 0)


def test_a_fault_that_was_not_asked_for_is_a_false_alarm() -> None:
    found = alarms(RigOptions(values={"faults": "rgb:silent@1s"}), 10.0, 3.0, SMALL)
    assert found.frames == 40
    assert set(found.called) == {("rgb", Condition.SILENT)}
    assert found.false == found.called["rgb", Condition.SILENT] > 10


def test_a_shutter_event_that_lasts_is_expected_to_be_called_frozen() -> None:
    long = OPTIONS["shutter, 1 s every 4 s"]
    found = alarms(replace(long, values={**long.values, "shutter_period_s": 2.0}), 10.0, 4.0, SMALL)
    assert found.expected == found.called["infrared", Condition.FROZEN] > 0
    assert found.false == 0


def test_the_command_prints_a_row_for_each_rig_and_rate(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(rig_alarms, "OPTIONS", {"small": RigOptions()})
    monkeypatch.setattr(rig_alarms, "SECONDS", 1.0)
    monkeypatch.setattr(rig_alarms, "_PLAIN", SMALL)
    main = command_of(camera_check)
    assert main(["--rig"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[1:3]] == [["small", "10"], ["small", "30"]]
    assert "0 false alarms" in said[-1]


def test_neither_folder_nor_rig_is_one_line(capsys) -> None:
    assert command_of(camera_check)([]) == 2
    assert "give a FOLDER, or --rig" in capsys.readouterr().err
