# SPDX-License-Identifier: Apache-2.0
"""What goes with the images in a bag of outputs, so that it can feed Nav2's layer: camera_info and label_info."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmif_ros.bag.messages import (
    CAMERA_INFO,
    LABEL_INFO,
    camera_info_again,
    header_of,
    label_info_message,
)
from segmif_ros.bag.writing import BagWriter
from segmif_ros.evaluation.records import PairResult
from segmif_ros.labels import LabelSet

LABEL_INFO_TOPIC = "/segmentation/label_info"
# topic of images -> that of their camera_info, as the node has them
_BESIDE = {"/fused/image": "/fused/camera_info", "/segmentation/mask": "/segmentation/camera_info"}


class OutputInfos:
    """Writes the topics beside those of images.

    Args:
        bag: The bag of outputs.
        labels: What the ids mean.
        camera_info: The master camera's, as `Bag.camera_info` returns it; None writes none.
    """

    def __init__(self, bag: BagWriter, labels: LabelSet, camera_info: dict[str, Any] | None) -> None:
        self._bag, self._labels, self._info = bag, labels, camera_info
        self._announced = False
        # as the node offers it: late subscribers get it, too
        bag.declare(LABEL_INFO_TOPIC, LABEL_INFO, latched=True)
        for topic in _BESIDE.values() if camera_info else ():
            bag.declare(topic, CAMERA_INFO)

    def write(self, topic: str, recorded_ns: int, raw: bytes) -> None:
        """Write what goes with one image."""
        stamp_ns, frame_id = header_of(raw)
        if not self._announced:
            self._announced = True
            message = label_info_message(self._labels, stamp_ns, frame_id)
            self._bag.write(LABEL_INFO_TOPIC, LABEL_INFO, recorded_ns, message)
        info = self._info
        if topic in _BESIDE and info is not None:
            self._bag.write(_BESIDE[topic], CAMERA_INFO, recorded_ns, camera_info_again(info, stamp_ns, frame_id))


def usable_info(info: dict[str, Any] | None, records: Sequence[PairResult]) -> tuple[dict[str, Any] | None, str]:
    """Return the camera_info that describes the outputs of these pairs; or None, and why there is none."""
    if info is None:
        return None, "No camera_info was recorded, so the bag of outputs holds none."
    for record in records:
        height, width = record.get("height", info["height"]), record.get("width", info["width"])
        if (height, width) != (info["height"], info["width"]):
            mismatch = f"The camera_info is of {info['width']}x{info['height']} and the outputs are {width}x{height}"
            return None, f"{mismatch}, so the bag of outputs holds none."
    return info, ""
