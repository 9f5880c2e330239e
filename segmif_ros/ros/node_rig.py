# SPDX-License-Identifier: Apache-2.0
"""What segmif_node knows of its two cameras: calibration, registration and its drift, depth, and the time offset."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.registration import Registration, Unregistered
from segmif_ros.rig.registration_modes import AnyRegistration
from segmif_ros.ros.barrier import Barrier
from segmif_ros.ros.camera_infos import camera_model, info_of, part_of
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.outputs import Outputs
from segmif_ros.ros.qos import profile
from segmif_ros.ros.registration_watch import RegistrationWatch, WatchSettings
from segmif_ros.ros.rig_source import RigSource
from segmif_ros.ros.time_offset_watch import TimeOffsetWatch
from segmif_ros.stream.pipeline import Pipeline
from segmif_ros.stream.pipeline_config import PipelineConfig

if TYPE_CHECKING:  # imported where the parameters ask for them
    from segmif_ros.rig.depth_registration import DepthRegistration
    from segmif_ros.ros.camera_turns import CameraTurns
    from segmif_ros.ros.depth_input import DepthInput

_LEAST_OFFSET_S = 0.01  # a smaller change of the time offset is left alone


class NodeRig:
    """The part of `segmif_ros.ros.segmif_node.SegmifNode` that takes care of the rig; the attributes are the node's.

    Attributes:
        rig: What is known of the two cameras.
        time_offset: The estimate of their time offset.
        registration_watch: Whether they moved since calibration.
    """

    config: NodeConfig
    pipeline: Pipeline | None
    outputs: Outputs | None
    barrier: Barrier
    rig: RigSource
    get_logger: Any
    _changing: threading.Lock

    @property
    def active(self) -> bool:
        """Whether the node takes frames."""
        raise NotImplementedError

    def _begin_rig(self) -> None:
        """Make the attributes; the rig itself follows from the parameters."""
        self._infos: dict[str, CameraInfo] = {}
        self._registration: AnyRegistration | None = None
        self._depth: DepthInput | None = None
        self._turns: CameraTurns | None = None
        self._auto_offset_s: float | None = None
        unexpected = partial(self.barrier.caught, "registration watch")
        self.registration_watch = RegistrationWatch(self._correct_registration, time.monotonic_ns, unexpected)
        self.time_offset = TimeOffsetWatch()

    def _take_info(self, camera: str, message: CameraInfo) -> None:
        """Take camera_info that isn't as before."""
        result: CameraModel | CalibrationError
        try:
            result = camera_model(message)
        except CalibrationError as error:
            result = error
        with self._changing:
            self._infos[camera] = message
            self.rig.update_camera_info(camera, result, part_of(message))
            self._use_rig(self.rig)

    def _use_rig(self, rig: RigSource) -> None:
        """Register and describe the outputs by what is known now."""
        changed = rig.registration is not self._registration
        self.rig, self._registration = rig, rig.registration
        self._watch_rig(changed=changed)
        if self.pipeline is None or self.outputs is None:
            return
        self.pipeline.replace_registration(rig.registration)
        own = self._infos.get(self.config.pipeline.master)
        self.time_offset.decoding = decoding = self.config.pipeline.decoding()
        crop = decoding.infrared_crop if self.config.pipeline.master == "infrared" else None
        self.outputs.info.use(own if rig.camera is None else info_of(rig.camera), crop)
        if changed and not isinstance(rig.registration, Unregistered) and rig.registration.config.mode != "none":
            self.get_logger().info(rig.registration.describe())

    def _watch_rig(self, *, changed: bool) -> None:
        """Watch the registration and take depth as the parameters ask for, now."""
        config = self.config
        settings = WatchSettings(
            on=config.watch_registration,
            limit_px=config.registration_limit_px,
            refine_px=config.refine_registration_px,
        )
        self.registration_watch.use(settings, self._registration, anew=changed, correction_px=self.rig.correction_px)
        depth = self._depth_registration()
        wanted = self.active and depth is not None and depth.wants_depth
        self._take_depth_from((config.depth_source, config.depth_pose) if wanted else None)
        turns = self.active and config.pipeline.temporal == "filter" and config.temporal_odometry != "none"
        self._take_turns_from((config.temporal_odometry, config.temporal_odom_frame) if turns else None)

    def _take_depth_from(self, wanted: tuple[str, str] | None) -> None:
        """Subscribe to depth as (depth_source, depth_pose) say; None: to none."""
        if (self._depth and (self._depth.source, self._depth.place.pose)) == wanted:
            return
        if self._depth is not None:
            self._depth.close()
        self._depth = None
        if wanted is not None:
            from segmif_ros.ros.depth_input import DepthInput
            from segmif_ros.ros.depth_place import DepthPlace

            self._depth = DepthInput(
                self,
                wanted[0],
                DepthPlace(self, wanted[1], self._rgb_frame),
                profile(self.config.input_qos.reliability, self.config.input_qos.depth),
                camera=lambda: self.rig.camera_of("rgb"),
                take=self._take_depth,
                say=lambda _kind, line: self.get_logger().warning(line, throttle_duration_sec=10.0),
            )

    def _take_turns_from(self, wanted: tuple[str, str] | None) -> None:
        """Subscribe as (temporal_odometry, temporal_odom_frame) say; None: to nothing."""
        if (self._turns and self._turns.wanted) == wanted:
            return
        before, self._turns = self._turns, None
        if before is not None:
            before.close()
        if wanted is not None:
            from segmif_ros.ros.camera_turns import CameraTurns

            self._turns = CameraTurns(
                self,
                *wanted,
                camera=self._intrinsics,
                say=lambda line: self.get_logger().warning(line, throttle_duration_sec=10.0),
            )

    def _intrinsics(self, size: tuple[int, int]) -> tuple[npt.NDArray[np.float64], str] | None:
        """Return the (3, 3) intrinsics of outputs of a size (width, height), and their frame."""
        own, outputs = self._infos.get(self.config.pipeline.master), self.outputs
        info = outputs.info.message(Header(), size, size) if outputs is not None else None
        if info is None or own is None:
            return None
        return np.reshape(np.asarray(info.k, np.float64), (3, 3)), str(own.header.frame_id)

    def _turn_between(self, before_ns: int, now_ns: int, shape: tuple[int, int]) -> npt.NDArray[np.float64] | None:
        """Return how the camera turned between two stamps, for the temporal filter."""
        turns = self._turns
        return None if turns is None else turns.between(before_ns, now_ns, shape)

    def _rgb_frame(self) -> str:
        return str(self._infos["rgb"].header.frame_id) if "rgb" in self._infos else ""

    def _take_depth(self, stamp: int, depth_m: npt.NDArray[np.floating]) -> None:
        registration = self._depth_registration()
        if registration is not None:
            registration.take_depth(stamp, depth_m)

    def _depth_registration(self) -> DepthRegistration | None:
        """Return the registration if it works by distances."""
        registration = self._registration
        return None if isinstance(registration, Registration | Unregistered | None) else registration

    def _correct_registration(self, correction_px: tuple[float, float]) -> None:
        """Take a correction of the drift watch, on its thread."""
        with self._changing:
            self.rig.correct(correction_px)
            self._registration = self.rig.registration
            if self.pipeline is not None:
                self.pipeline.replace_registration(self.rig.registration)

    @property
    def time_offset_s(self) -> float:
        """The offset in force."""
        return self.config.pipeline.time_offset_s if self._auto_offset_s is None else self._auto_offset_s

    def follow_time_offset(self) -> None:
        """Take the estimated time offset into force, if the parameters ask for it and it is certain."""
        settled_s = self.time_offset.settled_s() if self.config.time_offset == "auto" else None
        if settled_s is None or self.pipeline is None or abs(settled_s - self.time_offset_s) < _LEAST_OFFSET_S:
            return
        with self._changing:
            first, self._auto_offset_s = self._auto_offset_s is None, settled_s
            self.pipeline.configure(self._pipeline_config(self.config), self.rig.registration)
        if first:
            self.get_logger().info(
                f"time offset: infrared stamps are taken as {1e3 * settled_s:+.0f} ms late, as the images tell "
                "(time_offset auto); changes are in /diagnostics"
            )

    def _pipeline_config(self, config: NodeConfig) -> PipelineConfig:
        if config.time_offset != "auto" or self._auto_offset_s is None:
            return config.pipeline
        return replace(config.pipeline, time_offset_s=self._auto_offset_s)
