# SPDX-License-Identifier: Apache-2.0
"""The status on /diagnostics: keys that tools read, and a level that says whether somebody must look."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from segmif_ros.ros.diagnostics import diagnostic_array, engine_values, gpu_values, pipeline_values
from segmif_ros.stream.pairing import OffsetSummary
from segmif_ros.stream.statistics import Statistics


def test_the_memory_of_the_gpu_is_reported_where_the_model_runs_on_one(monkeypatch) -> None:
    asked = []

    def mem_get_info(device: str) -> tuple[int, int]:
        asked.append(device)
        return 3 << 30, 8 << 30

    monkeypatch.setattr("torch.cuda.mem_get_info", mem_get_info)
    assert gpu_values("cuda:1") == {"gpu_memory_used_mib": "5120", "gpu_memory_total_mib": "8192"}
    assert asked == ["cuda:1"]
    assert gpu_values("cpu") == {}


def test_backend_and_precision_are_those_in_force() -> None:
    engine = SimpleNamespace(
        model_name="m", model_hash="0123", device_name="cpu", backend_name="openvino", precision="bfloat16"
    )
    expected = {"model": "m 0123", "device": "cpu", "backend": "openvino", "precision": "bfloat16"}
    assert engine_values(engine) == expected


def test_every_number_has_its_key() -> None:
    statistics = Statistics()
    statistics.frame("rgb")
    statistics.pair(0)
    statistics.done(age_ms=40.0, stage_ms={"network": 30.25}, now_ns=0)
    values = pipeline_values(
        statistics.snapshot(0, {"late": 2}), OffsetSummary(count=1, mean_ns=-1.5e6, max_ns=2_000_000)
    )
    assert values == {
        "frames_infrared": "0",
        "frames_rgb": "1",
        "pairs": "1",
        "single_infrared": "0",
        "single_rgb": "0",
        "processed": "1",
        "rate_hz": "0.00",
        "dropped_late": "2",
        "dropped_orphan": "0",
        "dropped_surplus": "0",
        "dropped_blind": "0",
        "dropped_superseded": "0",
        "dropped_undecodable": "0",
        "dropped_uncalibrated": "0",
        "dropped_size": "0",
        "dropped_error": "0",
        "age_ms_p50": "40.00",
        "age_ms_p95": "40.00",
        "age_ms_p99": "40.00",
        "age_ms_max": "40.00",
        "stage_network_ms_p50": "30.250",
        "stage_network_ms_p95": "30.250",
        "stage_network_ms_p99": "30.250",
        "pair_offset_ms_mean": "-1.500",
        "pair_offset_ms_max": "2.000",
    }


@pytest.mark.parametrize(
    ("problems", "level", "message"),
    [([], DiagnosticStatus.OK, "active"), (["a is silent", "b too"], DiagnosticStatus.WARN, "a is silent; b too")],
)
def test_a_problem_makes_the_status_a_warning(problems, level, message) -> None:
    made = diagnostic_array(
        Time(sec=5), "front/segmif_node", state="active", problems=problems, values={"k": "v"}, hardware_id="cpu"
    )
    status = made.status[0]
    assert (status.name, status.hardware_id) == ("front/segmif_node: pipeline", "cpu")
    assert (status.level, status.message) == (level, message)
    assert [(each.key, each.value) for each in status.values] == [("k", "v")]
    assert made.header.stamp.sec == 5
