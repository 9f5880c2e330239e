# SPDX-License-Identifier: Apache-2.0
"""simulated_rig: an infrared and an RGB camera that show a synthetic road by day and night, or the pairs of a folder.

Publishes infrared/image_raw, rgb/image_raw, both camera_info, rig/labels (mono8, exact FMB ids) where labels are
known, and rig/depth (32FC1) if asked for; both have the RGB image's stamp and view. With the parameter drive also odom
(nav_msgs/Odometry) and tf. CameraInfo of a folder's pairs says
that the cameras are not calibrated (K is 0). The cameras may have sizes, lenses and places of their own, and what goes
wrong with them is in `segmif_ros.ros.simulator.effects`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.ros import parameters
from segmif_ros.ros.camera_infos import info_of
from segmif_ros.ros.messages import image_message, make_header
from segmif_ros.ros.qos import PUBLISHER_EVENTS, overridable, profile
from segmif_ros.ros.simulator.config import NODE_NAME, RigConfig
from segmif_ros.ros.simulator.drive_poses import DriveSource, PosePublisher
from segmif_ros.ros.simulator.effects import CameraFaults, Effect, make_effects
from segmif_ros.ros.simulator.frames import FrameFeed, RigFrame, make_source
from segmif_ros.ros.simulator.schedule import INFRARED, RGB, Player, PlayerCounts, Shot

CLOSE_TIMEOUT_S = 0.5
POLL_S = 0.02  # until the first frames are ready
WATCH_PERIOD_S = 1.0
LEAVE_TIME_S = 0.3  # for the last messages to get out
MISSED_SHARE = 0.05  # of the frames of a watch period, before it is logged


@dataclass(frozen=True, kw_only=True, eq=False)
class RigMessages:
    """The images of one frame, ready but for their headers."""

    infrared: Image
    rgb: Image
    labels: Image | None
    depth: Image | None = None
    odom_from_base: npt.NDArray[np.float64] | None = None


class SimulatedRig(Node):
    """The node; start() begins, close() ends the thread that prepares frames."""

    def __init__(self) -> None:
        super().__init__(NODE_NAME)
        self._config = parameters.declare(self, RigConfig)
        self._source = make_source(self._config)
        self._feed: FrameFeed[RigMessages] = FrameFeed(self._source, self._prepare)
        self._publishers_of: dict[str, tuple[Publisher, Publisher]] = {}
        for camera in (INFRARED, RGB):
            info = self._publisher(CameraInfo, f"{camera}/camera_info")
            self._publishers_of[camera] = (self._publisher(Image, f"{camera}/image_raw"), info)
        self._labels = self._publisher(Image, "rig/labels") if self._source.has_labels else None
        self._depth = self._publisher(Image, "rig/depth") if self._config.publish_depth else None
        self._poses: PosePublisher | None = None
        if isinstance(self._source, DriveSource):
            frames = (self._config.rgb_frame_id, self._config.infrared_frame_id)
            self._poses = PosePublisher(self, self._source.mount_m, frames)
        self._infos = camera_infos(self._source.calibration, self._config.camera_info)
        self._effects: list[Effect] = []
        self._origin_ns: int | None = None
        for line in parameters.undeclared_overrides(self).values():
            self.get_logger().warning(f"{line}; it is ignored")
        self._counts = PlayerCounts()
        self._player: Player[RigMessages] | None = None
        self._reported: set[str] = set()
        self._still_looks = 0
        parameters.watch(self, self._config, self._reconfigure)

    def start(self) -> bool:
        """Begin to prepare and publish; return True."""
        self.get_logger().info(f"{self._source.describe()}, {self._config.rate_hz:g} Hz")
        self._feed.start()
        self._timer = self.create_timer(POLL_S, self._tick)
        # Not by the node's clock: it has to speak where that one stands still.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(WATCH_PERIOD_S, self._look, clock=self._steady)
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True),
            post_callback=self._clock_jumped,
        )
        return True

    def close(self) -> bool:
        """Stop preparing frames; return whether the thread ended."""
        return self._feed.stop(CLOSE_TIMEOUT_S)

    # --- publishing --------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Publish what is due, and come back when the next image is."""
        now_ns = self.get_clock().now().nanoseconds
        if self._player is None:
            if not self._feed.primed:
                return
            self._player = self._make_player(now_ns)
        for shot, messages in self._player.due(now_ns):
            self._publish(shot, messages)
        if self._player.done:
            self._timer.cancel()
            self.create_timer(LEAVE_TIME_S, self._leave, clock=self._steady)
            return
        self._timer.timer_period_ns = self._player.wait_ns(now_ns)
        self._timer.reset()

    def _leave(self) -> None:
        raise ExternalShutdownException  # what run_node takes for an end like any other

    def _publish(self, shot: Shot, messages: RigMessages) -> None:
        infrared = shot.camera == INFRARED
        if self._origin_ns is None:
            self._origin_ns = shot.due_ns
        stamp_ns, t_s = shot.stamp_ns, 1e-9 * (shot.due_ns - self._origin_ns)
        for each in self._effects:
            if isinstance(each, CameraFaults):
                stamp_ns = each.stamp_ns(shot, t_s)
        header = make_header(stamp_ns, self._config.infrared_frame_id if infrared else self._config.rgb_frame_id)
        image: Image | None = messages.infrared if infrared else messages.rgb
        if self._effects:
            image = self._affected(shot, messages.infrared if infrared else messages.rgb, t_s)
        if image is None:
            return
        image.header = header
        images, infos = self._publishers_of[shot.camera]
        info = copy(self._infos[shot.camera])
        info.header = header
        if not info.width:  # nobody knows this camera: the size is the image's
            info.width, info.height = image.width, image.height
        infos.publish(info)
        images.publish(image)
        if infrared:
            return
        if self._poses is not None and messages.odom_from_base is not None:
            self._poses.publish(messages.odom_from_base, shot.stamp_ns)
        for publisher, message in ((self._labels, messages.labels), (self._depth, messages.depth)):
            if publisher is not None and message is not None:
                message.header = header
                publisher.publish(message)

    def _affected(self, shot: Shot, message: Image, t_s: float) -> Image | None:
        """Return the message after what goes wrong; None if it gets lost."""
        image = np.frombuffer(message.data, np.uint16 if message.encoding == "mono16" else np.uint8)
        image = image.reshape(message.height, message.width, *((3,) if shot.camera == RGB else ()))
        for effect in self._effects:
            changed = effect.apply(shot, image, t_s)
            if changed is None:
                return None
            image = changed
        return image_message(image, message.encoding, Header())

    def _prepare(self, frame: RigFrame) -> RigMessages:
        rgb = frame.rgb if self._config.rgb_encoding == "rgb8" else cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
        depth = "mono8" if frame.infrared.dtype.itemsize == 1 else "mono16"
        return RigMessages(
            infrared=image_message(frame.infrared, depth, Header()),
            rgb=image_message(rgb, self._config.rgb_encoding, Header()),
            labels=None if frame.labels is None else image_message(frame.labels, "mono8", Header()),
            depth=None if frame.depth_m is None else image_message(frame.depth_m, "32FC1", Header()),
            odom_from_base=frame.odom_from_base,
        )

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self.create_publisher(
            kind,
            topic,
            profile(self._config.qos.reliability, self._config.qos.depth),
            event_callbacks=PUBLISHER_EVENTS,
            qos_overriding_options=overridable(),
        )

    # --- changes, and what to tell people ----------------------------------------------------------------------------

    def _make_player(self, now_ns: int) -> Player[RigMessages]:
        config = self._config
        infrared = self._source.calibration.infrared
        self._effects = make_effects(config, infrared.K[0, 0] if infrared else 0.0)
        return Player(
            config.schedule(), self._feed.next, max_frames=config.max_frames, start_ns=now_ns, counts=self._counts
        )

    def _reconfigure(self, config: RigConfig) -> None:
        self._config = config
        self._begin_anew()

    def _clock_jumped(self, _jump: TimeJump) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._player = None
        self._timer.timer_period_ns = round(1e9 * POLL_S)
        self._timer.reset()

    def _look(self) -> None:
        """Once a second: frames that can't be read, a rate that can't be held, a clock that stands still."""
        for line in self._feed.problems():
            self._say(line, f"left out: {line}")
        if self._feed.complete and "complete" not in self._reported:
            self._reported.add("complete")
            self.get_logger().info(f"all {self._source.count} frames of the loop are rendered")
        counts, allowed = self._counts, max(1.0, MISSED_SHARE * WATCH_PERIOD_S * self._config.rate_hz)
        if counts.unprepared > allowed:
            self._say(
                "unprepared",
                f"can't prepare {self._config.rate_hz:g} frames a second: lower rate_hz, width and height, or set "
                "loop_frames",
            )
        elif counts.missed > allowed:
            self._say("missed", f"can't hold {self._config.rate_hz:g} Hz: {counts.missed} frames missed in a second")
        counts.missed = counts.unprepared = 0
        clock = self.get_clock()
        still = self._player is None and clock.ros_time_is_active and clock.now().nanoseconds == 0
        self._still_looks = self._still_looks + 1 if still else 0
        if self._still_looks > 1:
            self._say("clock", "use_sim_time is true and nobody publishes /clock: no frames until somebody does")

    def _say(self, kind: str, line: str) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            self.get_logger().warning(line)


def camera_infos(calibration: RigCalibration, mode: str) -> dict[str, CameraInfo]:
    """Return what both cameras say about themselves.

    Args:
        calibration: The truth; without cameras in it, nobody is calibrated.
        mode: "exact": intrinsics, and the mounting in R and P; the pair's common frame is the RGB camera's.
            "intrinsics", or "none": a size at most, and K is 0.
    """
    made = {}
    for camera, model in ((INFRARED, calibration.infrared), (RGB, calibration.rgb)):
        if model is None:
            made[camera] = CameraInfo()
        elif mode == "none":
            made[camera] = CameraInfo(width=model.width, height=model.height)
        else:
            made[camera] = info_of(model)
    mount = calibration.extrinsics
    if mode == "exact" and mount is not None and (mount.translation_m.any() or (mount.rotation != np.eye(3)).any()):
        info = made[INFRARED]
        info.r = mount.rotation.ravel().tolist()
        P = np.reshape(info.p, (3, 4))
        P[:, 3] = P[:, :3] @ -mount.translation_m
        info.p = P.ravel().tolist()
    return made
