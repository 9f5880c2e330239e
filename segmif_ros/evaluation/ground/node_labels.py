# SPDX-License-Identifier: Apache-2.0
"""Label maps as the node makes them, also where one camera is gone."""

from __future__ import annotations

import time

from segmif_ros.arrays import Image
from segmif_ros.imaging.encodings import buffer_of
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.inference.engine import EngineProtocol
from segmif_ros.stream.processing import Frame, PairProcessor
from segmif_ros.stream.single_camera import CameraReport, Moment


class NodeLabels:
    """Shows images to a network by the node's own way, single camera included.

    Args:
        engine: Runs the network.
    """

    def __init__(self, engine: EngineProtocol) -> None:
        self._processor = PairProcessor(engine, gain=ThermalGain(), now_ns=time.monotonic_ns)

    def __call__(self, infrared: Image | None, rgb: Image | None) -> tuple[Image, Image]:
        """Return labels and confidence, (H, W) uint8 each, of a pair or of the one camera that lives.

        Args:
            infrared: (H, W) uint8; None if that camera is gone.
            rgb: (H, W, 3) uint8 RGB; None if that camera is gone.
        """
        images = {"infrared": infrared, "rgb": rgb}
        frames = {
            camera: None if image is None else Frame(stamp_ns=0, frame_id=camera, image=buffer_of(image))
            for camera, image in images.items()
        }
        used = tuple(camera for camera, frame in frames.items() if frame is not None)
        moment = Moment(infrared=frames["infrared"], rgb=frames["rgb"], stamp_ns=0, cameras=CameraReport(used=used))
        result = self._processor.process(moment).result
        return result.labels, result.confidence
