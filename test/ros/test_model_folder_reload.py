# SPDX-License-Identifier: Apache-2.0
"""A model folder is loaded, exchanged for another and kept where the new one is broken, over real DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")
pytest.importorskip("std_srvs.srv", reason="std_srvs is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from rclpy.parameter import Parameter
from standin_networks import early_fusion, rgb_only
from std_srvs.srv import Trigger
from torch_fixtures import tiny_weights

from segmif_ros.inference.backends import missing_packages
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.ros.segmif_node import load_engine

__all__ = ["tiny_weights"]

BACKEND = next((name for name in ("onnxruntime", "openvino") if not missing_packages(name)), "")
pytestmark = pytest.mark.skipif(not BACKEND, reason="neither onnxruntime nor openvino is installed")

HEIGHT, WIDTH = 40, 48
RGB = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
INFRARED = np.ascontiguousarray(255 - RGB[..., 1])


def reload(table, folder):
    """Point the node at other weights and ask it to load them."""
    assert table.node.set_parameters([Parameter("weights", value=str(folder))])[0].successful
    client = table.others.create_client(Trigger, "segmif_node/reload_weights")
    table.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    table.until(future.done)
    return future.result()


def mask_of(table, number):
    """The label map that the node publishes for the pair."""
    before = len(table.received["segmentation/mask"])
    table.send(number, infrared=INFRARED, rgb=RGB)
    table.until(lambda: len(table.received["segmentation/mask"]) > before)
    message = table.received["segmentation/mask"][-1]
    return np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.width)


def expected(weights, backend=BACKEND):
    """What an engine of these weights gives for the pair."""
    return Engine(EngineConfig(weights=(str(weights),), device="cpu", backend=backend)).infer(INFRARED, RGB).labels


def listened(bench, weights, **parameters):
    """The node with these weights, its masks subscribed to."""
    size = {"warm_up_width": WIDTH, "warm_up_height": HEIGHT}
    table = bench(make_engine=load_engine, weights=str(weights), device="cpu", **size, **parameters)
    table.listen("segmentation/mask")
    counts = {each.topic: each.get_subscription_count for each in table.node.publishers}
    table.until(lambda: counts["segmentation/mask"]() > 0)
    return table


def test_a_model_folder_takes_over_from_another_and_a_broken_one_does_not(bench, tmp_path) -> None:
    first, second = early_fusion(tmp_path / "first"), rgb_only(tmp_path / "second")
    wanted = {folder: expected(folder) for folder in (first, second)}
    assert (wanted[first] != wanted[second]).any()
    table = listened(bench, first, backend=BACKEND)
    assert np.array_equal(mask_of(table, 1), wanted[first])

    answer = reload(table, second)
    assert answer.success, answer.message
    assert answer.message.startswith("model rgb-only (")
    assert np.array_equal(mask_of(table, 2), wanted[second])

    (first / "model.yaml").write_text((first / "model.yaml").read_text().replace("name: image", "name: picture"))
    answer = reload(table, first)
    assert not answer.success
    assert "inputs[0].name is 'picture'" in answer.message
    assert np.array_equal(mask_of(table, 3), wanted[second])


def test_segmifs_own_weights_give_way_to_a_model_folder_and_come_back(bench, tiny_weights, tmp_path) -> None:
    folder = early_fusion(tmp_path / "net")
    wanted = {weights: expected(weights, "auto") for weights in (tiny_weights, folder)}
    assert (wanted[tiny_weights] != wanted[folder]).any()
    table = listened(bench, tiny_weights)
    assert np.array_equal(mask_of(table, 1), wanted[tiny_weights])
    for number, weights in ((2, folder), (3, tiny_weights)):
        answer = reload(table, weights)
        assert answer.success, answer.message
        assert np.array_equal(mask_of(table, number), wanted[weights])
