# SPDX-License-Identifier: Apache-2.0
"""One pair and what the node made of it, as files for a bug report.

infrared.raw, rgb.raw             the bytes as they came (a compressed image's is a JPEG or PNG file)
infrared.png, rgb.png             decoded, 8 or 16 bit; infrared of 32FC1 is only in the .raw
fused.png, labels.png, confidence.png, overlay.png   the outputs, at the network's size
snapshot.json                     stamps, encodings, parameters, versions, times, counts; the reason of a refusal
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.imaging.overlay import draw_overlay
from segmif_ros.paths import user_path
from segmif_ros.settings import values_of
from segmif_ros.stream.processing import Frame, Output, PairRefusedError
from segmif_ros.stream.single_camera import Moment
from segmif_ros.stream.statistics import Snapshot

if TYPE_CHECKING:
    from segmif_ros.ros.node_config import NodeConfig

# what decides about results; of a ROS 2 install only ROS_DISTRO is known
_DISTRIBUTIONS = ("segmif_ros", "numpy", "opencv-python-headless", "opencv-python", "torch", "ros-rclpy", "ros-fastdds")


def new_folder(parent: str, node_name: str) -> Path:
    """Create and return an empty folder named after the node and the time.

    Args:
        parent: Empty for segmif_snapshots in ROS_HOME.
        node_name: In the folder's name.

    Raises:
        OSError: If it can't be made.
    """
    home = Path(os.environ.get("ROS_HOME") or user_path("~/.ros"))
    base = user_path(parent) if parent else home / "segmif_snapshots"
    base.mkdir(parents=True, exist_ok=True)
    stem = f"{node_name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    for number in range(1, 1000):
        folder = base / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise OSError(f"{base} has a thousand snapshots of this second")


def write_snapshot(
    folder: Path,
    moment: Moment[Frame],
    outcome: Output | PairRefusedError,
    *,
    decode: Callable[[Moment[Frame]], dict[str, Array]],
    config: NodeConfig,
    statistics: Snapshot,
) -> None:
    """Write the files.

    Args:
        folder: Exists.
        moment: The pair, or the one frame, as it came.
        outcome: What became of it.
        decode: Returns "infrared" (H, W) and "rgb" (H', W', 3), without what is missing.
        config: The node's parameters.
        statistics: Of the pipeline.

    Raises:
        OSError: If the folder can't be written to, or the disk is full.
    """
    there = {"infrared": moment.infrared, "rgb": moment.rgb}
    frames = {camera: frame for camera, frame in there.items() if frame is not None}
    for camera, frame in frames.items():
        (folder / f"{camera}.raw").write_bytes(bytes(frame.image.data))
    facts: dict[str, Any] = {
        **{camera: _frame_facts(frame) for camera, frame in frames.items()},
        "offset_ns": moment.offset_ns,
        "cameras": {camera: condition.name for camera, condition in moment.cameras.conditions.items()},
        "parameters": values_of(config),
        "statistics": dataclasses.asdict(statistics),
        "versions": _versions(),
    }
    try:
        images = decode(moment)
    except PairRefusedError as refusal:
        facts["undecodable"] = str(refusal)
    else:
        if "infrared" in images and images["infrared"].dtype != np.float32:
            _write_png(folder / "infrared.png", images["infrared"])
        if "rgb" in images:
            _write_png(folder / "rgb.png", cv2.cvtColor(images["rgb"], cv2.COLOR_RGB2BGR))
    if isinstance(outcome, PairRefusedError):
        facts["refused"] = {"reason": outcome.reason, "line": str(outcome)}
    else:
        result, engine = outcome.result, outcome.engine
        overlay = draw_overlay(result.fused, result.labels, engine.label_set.palette)
        for name, image in (("fused", result.fused), ("overlay", overlay)):
            _write_png(folder / f"{name}.png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        for name, image in (("labels", result.labels), ("confidence", result.confidence)):
            _write_png(folder / f"{name}.png", image)
        facts["model"] = {"name": engine.model_name, "hash": engine.model_hash, "device": engine.device_name}
        facts["classes"] = list(engine.label_set.names)
        facts["stage_ms"] = outcome.stage_ms
    (folder / "snapshot.json").write_text(json.dumps(facts, indent=2, default=str) + "\n", encoding="utf-8")


def _frame_facts(frame: Frame) -> dict[str, Any]:
    image = frame.image
    facts: dict[str, Any] = {"stamp_ns": frame.stamp_ns, "frame_id": frame.frame_id}
    if isinstance(image, ImageBuffer):
        return facts | {
            "encoding": image.encoding,
            "height": image.height,
            "width": image.width,
            "step": image.step,
            "is_bigendian": image.is_bigendian,
        }
    return facts | {"format": image.format}


def _versions() -> dict[str, str]:
    found = {each.metadata["Name"]: each.version for each in map(_distribution, _DISTRIBUTIONS) if each is not None}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "ROS_DISTRO": os.environ.get("ROS_DISTRO", ""),
        "RMW_IMPLEMENTATION": os.environ.get("RMW_IMPLEMENTATION", ""),
        "command": " ".join(sys.argv),
        **found,
    }


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _write_png(path: Path, image: Array) -> None:
    # encoded here and written by Python: OpenCV's own writer reports neither which disk was full nor that it was
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
