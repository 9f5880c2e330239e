# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node while it runs: accepted and in force, or refused with the reason, as its row says."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from node_program import FakeEngine
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.settings import Changes, settings_of, values_of

TABLE = settings_of(NodeConfig)
# texts that are checked further, and numbers that go together
ANOTHER = {
    "mask_classes": {"mask_classes": "person,car"},
    "infrared_crop": {"infrared_crop": "0, 2, 0, 0"},
    "depth_pose": {"depth_pose": "tf"},
    "gain_low_percentile": {"gain_low_percentile": 2.0},
    "gain_high_percentile": {"gain_high_percentile": 98.0},
    "gain_fixed_low": {"gain_fixed_low": 100.0},
}
# what only changes together with a file: test_node_registration.py
WITH_A_FILE = ("calibration_file", "registration")


def another(row) -> dict[str, object]:
    """Return a change of this parameter to another value that is allowed."""
    if row.name in ANOTHER:
        return ANOTHER[row.name]
    if row.choices:
        return {row.name: next(each for each in row.choices if each != row.default)}
    if row.type is bool:
        return {row.name: not row.default}
    if row.type is str:
        return {row.name: "other"}
    up = row.default + 1
    return {row.name: up if row.maximum is None or up <= row.maximum else row.default - row.type(1) / 2}


def change(table, values):
    return table.node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])


def test_there_are_rows_of_every_class() -> None:
    assert {row.changes for row in TABLE} == set(Changes)


@pytest.fixture
def active(bench):
    return bench()


def test_what_may_change_at_any_time_is_accepted_by_an_active_node_and_in_force(active) -> None:
    for row in TABLE:
        if row.changes in (Changes.ANY_TIME, Changes.RELOAD) and row.name not in WITH_A_FILE:
            values = another(row)
            result = change(active, values)
            assert result.successful, (row.name, result.reason)
            for name, value in values.items():
                assert values_of(active.node.config)[name] == value
                assert active.node.get_parameter(name).value == value
    active.send(1)
    active.until(lambda: int(active.value("frames_rgb") or 0) == 1)


def test_what_needs_an_unconfigured_node_is_refused_by_an_active_one_and_accepted_after_cleanup(active) -> None:
    bound = [row for row in TABLE if row.changes is Changes.UNCONFIGURED]
    for row in bound:
        result = change(active, another(row))
        assert not result.successful
        assert result.reason.startswith(f"parameter '{row.name}' can change only while the node is unconfigured")
        assert active.node.get_parameter(row.name).value == row.default
    active.node.trigger_deactivate()
    active.node.trigger_cleanup()
    for row in bound:
        result = change(active, another(row))
        assert result.successful, (row.name, result.reason)
        assert values_of(active.node.config)[row.name] == another(row)[row.name]


def test_what_is_set_at_start_only_is_refused_always(bench) -> None:
    table = bench(start=False)
    for row in TABLE:
        if row.changes is Changes.NEVER:
            before = table.node.get_parameter(row.name).value
            result = change(table, another(row))
            assert not result.successful
            assert "read-only" in result.reason
            assert row.name in result.reason
            assert table.node.get_parameter(row.name).value == before


def test_a_value_out_of_range_or_of_another_type_is_refused_for_every_row_and_nothing_changes(active) -> None:
    before = active.node.config
    for row in TABLE:
        if row.changes is Changes.NEVER:
            continue
        wrong: list = [[1, 2]]  # a type that no row has
        wrong += [row.maximum + 1] if row.maximum is not None else []
        wrong += [row.minimum - 1] if row.minimum is not None else []
        wrong += ["no such choice"] if row.choices else []
        for value in wrong:
            result = change(active, {row.name: value})
            assert not result.successful, (row.name, value)
            assert row.name in result.reason
            assert "\n" not in result.reason
    assert active.node.config == before


def test_gain_size_and_mask_change_from_the_next_pair_on(bench) -> None:
    table = bench(gain_policy="fixed", gain_fixed_low=0.0, gain_fixed_high=255.0)
    topics = ("segmentation/confidence", "segmentation/classes_mask")
    for topic in topics:
        table.listen(topic)
    counts = {each.topic: each.get_subscription_count for each in table.node.publishers}
    table.until(lambda: all(counts[topic]() for topic in topics))
    raw = np.full((6, 8), 100, np.uint16)
    table.send(1, infrared=raw)
    table.until(lambda: table.received["segmentation/confidence"])
    assert set(table.received["segmentation/confidence"][0].data) == {100}
    changes = {"gain_fixed_high": 510.0, "output_width": 4, "output_height": 3, "mask_classes": "bus"}
    assert change(table, changes).successful
    table.send(2, infrared=raw)
    table.until(lambda: all(table.received[topic] for topic in topics) and len(table.received[topics[0]]) == 2)
    after, mask = table.received[topics[0]][1], table.received[topics[1]][0]
    assert (after.width, after.height, set(after.data)) == (4, 3, {50})
    assert set(mask.data) == {0}, "50 modulo 15 is the sign, not the bus"
    assert change(table, {"mask_classes": "sign"}).successful
    table.send(3, infrared=raw)
    table.until(lambda: len(table.received[topics[1]]) == 2)
    assert set(table.received[topics[1]][1].data) == {255}


# --- sets of values --------------------------------------------------------------------------------------------------


def dump(table) -> dict[str, object]:
    """Return all parameters of the node, those of rclpy included, as `ros2 param dump` does."""
    return {name: table.node.get_parameter(name).value for name in table.node._parameters}


def set_by_service(table, values):
    """Set values as `ros2 param load` does: all in one request."""
    client = table.others.create_client(SetParameters, "segmif_node/set_parameters")
    table.until(client.service_is_ready)
    messages = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    future = client.call_async(SetParameters.Request(parameters=messages))
    table.until(future.done)
    return dict(zip(values, future.result().results, strict=True))


def test_the_nodes_own_dump_is_accepted_and_changes_nothing(active) -> None:
    before, values = active.node.config, dump(active)
    assert any(name.startswith("qos_overrides.") for name in values)
    results = set_by_service(active, values)
    assert {name: each.reason for name, each in results.items() if not each.successful} == {}
    assert change(active, values).successful, "atomically as well"
    assert active.node.config == before
    assert dump(active) == values


def test_a_value_that_is_so_already_is_never_refused_and_another_one_is(active) -> None:
    assert change(active, {"backend": "auto", "autostart": True, "slop_s": 0}).successful
    results = set_by_service(active, {"backend": "openvino", "autostart": False, "queue_size": 12})
    assert not results["backend"].successful
    assert not results["autostart"].successful
    assert results["queue_size"].successful, "the others of a set are not refused with them"


def test_values_that_go_together_are_judged_together(active) -> None:
    results = set_by_service(active, {"gain_fixed_low": 20000.0, "gain_fixed_high": 30000.0})
    assert all(each.successful for each in results.values()), results
    gain = active.node.config.pipeline.gain
    assert (gain.fixed_low, gain.fixed_high) == (20000.0, 30000.0)


def test_an_unknown_name_in_a_set_is_said_and_costs_no_other_value(active) -> None:
    results = set_by_service(active, {"queue_sise": 3, "queue_size": 13})
    assert not results["queue_sise"].successful
    assert results["queue_size"].successful


@pytest.mark.parametrize(
    ("values", "size"), [({"output_width": 4}, (4, 3)), ({"output_height": 3}, (4, 3)), ({}, (8, 6))]
)
def test_one_side_of_the_output_follows_from_the_other(bench, values, size) -> None:
    table = bench(**values)
    table.listen_to_all()
    table.send(1)
    table.until(lambda: table.received["segmentation/mask"])
    message = table.received["segmentation/mask"][0]
    assert (message.width, message.height) == size


def test_the_number_of_a_device_is_that_cuda_device(bench) -> None:
    asked = []
    bench(device=0, make_engine=lambda config: asked.append(config.network.engine.device) or FakeEngine())
    assert asked == ["0"]
