# SPDX-License-Identifier: Apache-2.0
"""Model folders of three other designs than SegMiF's, with random weights: small enough for a test each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

CLASSES = ["road", "person", "car"]
LABELS = {"name": "three", "classes": [{"name": each} for each in CLASSES]}


class _Graph:
    """Builds an ONNX graph node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._random = np.random.default_rng(3)

    def conv(self, source: str, channels: tuple[int, int], *, stride: int = 1, relu: bool = True) -> str:
        inside, outside = channels
        name = f"conv{len(self.nodes)}"
        values = self._random.standard_normal((outside, inside, 3, 3)).astype(np.float32) / (3 * inside**0.5)
        self.weights.append(numpy_helper.from_array(values, f"{name}_w"))
        self.nodes.append(
            helper.make_node("Conv", [source, f"{name}_w"], [name], pads=[1, 1, 1, 1], strides=[stride, stride])
        )
        if not relu:
            return name
        return self.node("Relu", [name])

    def node(self, kind: str, sources: list[str], **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, sources, [name], **attributes))
        return name

    def save(self, path: Path, inputs: dict[str, list], outputs: dict[str, tuple[str, list]], kinds: dict[str, int]):
        for name, (source, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [source], [name]))
        graph = helper.make_graph(
            self.nodes,
            "standin",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [
                helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
                for name, (_, shape) in outputs.items()
            ],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def write_yaml(folder: Path, entries: dict[str, Any]) -> Path:
    """Write model.yaml to a folder, and return the folder."""
    (folder / "model.yaml").write_text(yaml.safe_dump(entries, sort_keys=False))
    return folder


def early_fusion(folder: Path) -> Path:
    """Four channels in, logits at a quarter of the size out; any size of multiples of 8; no fused image."""
    folder.mkdir()
    graph = _Graph()
    x = graph.conv(graph.conv("image", (4, 8), stride=2), (8, 8), stride=2)
    logits = graph.conv(x, (8, 3), relu=False)
    graph.save(folder / "net.onnx", {"image": [1, 4, "h", "w"]}, {"logits": (logits, [1, 3, "h4", "w4"])}, {})
    return write_yaml(
        folder,
        {
            "name": "early-fusion",
            "file": "net.onnx",
            "licence": "Apache-2.0",
            "label_set": LABELS,
            "size": {"multiple_of": 8},
            "inputs": [
                {
                    "name": "image",
                    "channels": ["red", "green", "blue", "infrared"],
                    "range": [0, 255],
                    "mean": [123.675, 116.28, 103.53, 127.5],
                    "std": [58.395, 57.12, 57.375, 60.0],
                }
            ],
            "outputs": {"logits": {"name": "logits"}},
            "fused_rule": "average",
        },
    )


def two_branch(folder: Path) -> Path:
    """Two inputs of one size only, channels last; logits and a fused luma out."""
    folder.mkdir()
    graph = _Graph()
    rgb = graph.conv(graph.node("Transpose", ["colour"], perm=[0, 3, 1, 2]), (3, 6))
    thermal = graph.conv("thermal", (1, 6))
    both = graph.node("Add", [rgb, thermal])
    fused = graph.node("Sigmoid", [graph.conv(both, (6, 1), relu=False)])
    graph.save(
        folder / "net.onnx",
        {"colour": [1, 64, 96, 3], "thermal": [1, 1, 64, 96]},
        {"scores": (graph.conv(both, (6, 3), relu=False), [1, 3, 64, 96]), "grey": (fused, [1, 1, 64, 96])},
        {},
    )
    return write_yaml(
        folder,
        {
            "format": 1,
            "name": "two-branch",
            "file": "net.onnx",
            "licence": "research only",
            "description": "two encoders, features added",
            "label_set": LABELS,
            "size": {"width": 96, "height": 64},
            "inputs": [
                {"name": "colour", "channels": ["red", "green", "blue"], "layout": "nhwc"},
                {"name": "thermal", "channels": ["infrared"]},
            ],
            "outputs": {"logits": {"name": "scores"}, "fused": {"name": "grey"}},
        },
    )


def rgb_only(folder: Path) -> Path:
    """Colour alone in, class ids out, as many detectors of the field are shipped."""
    folder.mkdir()
    graph = _Graph()
    ids = graph.node("ArgMax", [graph.conv("x", (3, 3), relu=False)], axis=1, keepdims=0)
    graph.save(folder / "net.onnx", {"x": [1, 3, "h", "w"]}, {"ids": (ids, [1, "h", "w"])}, {"ids": TensorProto.INT64})
    return write_yaml(
        folder,
        {
            "name": "rgb-only",
            "file": "net.onnx",
            "licence": "MIT",
            "label_set": LABELS,
            "inputs": [{"name": "x", "channels": ["red", "green", "blue"]}],
            "outputs": {"labels": {"name": "ids"}},
            "fused_rule": "rgb",
        },
    )


STANDINS: dict[str, Callable[[Path], Path]] = {
    "early-fusion": early_fusion,
    "two-branch": two_branch,
    "rgb-only": rgb_only,
}
