# SPDX-License-Identifier: Apache-2.0
"""Frames in, what is to be processed out: pairing, and the camera that lives where the other one doesn't.

Thread-safe: frames come on one thread, other threads look and change settings.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from segmif_ros.stream.pairing import OffsetSummary, Pairer
from segmif_ros.stream.processing import Clock, Frame
from segmif_ros.stream.single_camera import CameraReport, Moment, SingleCamera
from segmif_ros.stream.watched_time import WatchedTime

if TYPE_CHECKING:
    from segmif_ros.stream.pipeline_config import PipelineConfig

MakePairer = Callable[[float, int, float], Pairer[Frame]]


class Intake:
    """Turns frames into moments.

    Cameras are judged by watched time: `take` and `advance` are the looks.

    Args:
        config: How to pair, and what to do when one camera is missing.
        make_pairer: Returns what pairs, from the slop in seconds, the queue size and the time offset in seconds.
        now_ns: A clock that never steps back.
        timed: Takes the milliseconds that a look at a picture took.
    """

    def __init__(
        self, config: PipelineConfig, make_pairer: MakePairer, now_ns: Clock, timed: Callable[[float], None]
    ) -> None:
        self._lock = threading.Lock()
        self._config = config
        self._now_ns = now_ns
        self._watched = WatchedTime(now_ns)
        self._timed = timed
        self._pairer = make_pairer(config.slop_s, config.queue_size, config.time_offset_s)
        self._cameras: SingleCamera[Frame] = SingleCamera(config.single_camera_config())
        self._cameras.health["infrared"].crop = config.decoding().infrared_crop

    def configure(self, config: PipelineConfig) -> None:
        """Change the settings."""
        with self._lock:
            self._config = config
            self._pairer.configure(config.slop_s, config.queue_size, config.time_offset_s)
            self._cameras.configure(config.single_camera_config())
            self._cameras.health["infrared"].crop = config.decoding().infrared_crop

    def reset(self) -> None:
        """Forget the frames that wait for a partner and what is known of the cameras."""
        with self._lock:
            self._pairer.reset()
            self._cameras.reset()

    def take(self, camera: str, frame: Frame) -> list[Moment[Frame]]:
        """Take a frame.

        Args:
            camera: "infrared" or "rgb".
            frame: As it arrived.

        Returns:
            What is to be processed now, oldest first.
        """
        with self._lock:
            now_ns = self._watched.look()
            add = self._pairer.add_infrared if camera == "infrared" else self._pairer.add_rgb
            pairs = add(frame.stamp_ns, frame)
            if self._config.single_camera == "none":
                return [Moment.of(pair, self._config.master_of(pair).stamp_ns) for pair in pairs]
            started_ns = self._now_ns()
            if self._cameras.health[camera].sees(frame.image, now_ns, frame.stamp_ns):
                self._timed(1e-6 * (self._now_ns() - started_ns))
            return self._cameras.frame(camera, now_ns, frame, pairs)

    def advance(self) -> list[Moment[Frame]]:
        """Look at the clock; return the living camera's newest frame if the other one's time has just run out."""
        if self._config.single_camera == "none":
            return []
        with self._lock:
            return self._cameras.advance(self._watched.look())

    @property
    def cameras(self) -> CameraReport:
        """Which cameras results rest on now, and what the cameras are like."""
        if self._config.single_camera == "none":
            return CameraReport()
        with self._lock:
            return self._cameras.report(self._watched.now())

    @property
    def drops(self) -> dict[str, int]:
        """Frames and pairs that were not passed on, by reason."""
        with self._lock:
            drops = dict(self._pairer.drops)
            for reason, count in self._cameras.drops.items():
                drops[reason] = drops.get(reason, 0) + count
            return drops

    @property
    def offsets(self) -> OffsetSummary:
        """Stamp offsets of the latest pairs."""
        with self._lock:
            return self._pairer.offsets

    @property
    def misses(self) -> OffsetSummary:
        """How far the nearest stamps were apart for the latest frames that found no partner in reach."""
        with self._lock:
            return self._pairer.misses

    @property
    def delays(self) -> OffsetSummary:
        """How much later than their partners the latest frames came."""
        with self._lock:
            return self._pairer.delays

    @property
    def slop_s(self) -> float:
        """The slop in force, in seconds."""
        return self._pairer.slop_s
