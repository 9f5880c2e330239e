# SPDX-License-Identifier: Apache-2.0
"""What the simulated cameras see, prepared ahead by a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.pair_folder import FolderPair, PairFolder
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.rig.calibrating.board import parse_board
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.ros.simulator.board_view import HeldBoard, planned_pose, pose_in_infrared
from segmif_ros.ros.simulator.config import CYCLE, DEFAULT_HEIGHT, DEFAULT_WIDTH, RigConfig
from segmif_ros.ros.simulator.optics import TwoCameras
from segmif_ros.scenes import LIGHTINGS, RoadScene

FOCAL = 0.9  # focal length of the synthetic cameras as a share of the width
KEPT_BYTES = 256 * 1024 * 1024
AHEAD = 6  # frames that wait where not all are kept
PRIMED = 4  # frames that should be there before showing begins

Prepared = TypeVar("Prepared")


@dataclass(frozen=True, kw_only=True, eq=False)
class RigFrame:
    """infrared uint8 or uint16 (H', W'), rgb uint8 (H, W, 3) RGB, labels uint8 (H, W) FMB ids or None.

    depth_m float32 (H, W) in the RGB view, metres, or None. odom_from_base (4, 4), the robot's pose, or None.
    """

    infrared: npt.NDArray[Any]
    rgb: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8] | None
    depth_m: npt.NDArray[np.float32] | None = None
    odom_from_base: npt.NDArray[np.float64] | None = None


class FrameSource(Protocol):
    """Something to look at. count: how many different frames there are, 0 for no end; back: played back and forth.

    calibration: the truth about the cameras; without cameras in it if nobody knows.
    """

    count: int
    back: bool
    calibration: RigCalibration
    has_labels: bool

    def frame(self, number: int) -> RigFrame:
        """Return frame 0, 1, ... in any order; DatasetError for one that can't be read."""

    def describe(self) -> str:
        """Return one line for the log."""


class SceneFrames:
    """Synthetic streets, one after the other."""

    back = True
    has_labels = True

    def __init__(self, config: RigConfig) -> None:
        self.calibration = config.calibration()
        self.width, self.height = config.size(DEFAULT_WIDTH, DEFAULT_HEIGHT)
        self._config = config
        infrared_bytes = 1 if config.infrared_encoding == "mono8" else 2
        each_bytes = 3 + 1 + infrared_bytes + (4 if config.publish_depth else 0)
        fits = KEPT_BYTES // (self.width * self.height * each_bytes)
        self.count = min(config.loop_frames, max(2, fits)) if config.loop_frames else 0
        self._number = -1
        self._scene = self._make(0)  # raises at once if something is wrong

    def _make(self, number: int) -> RoadScene:
        if number != self._number:
            config = self._config
            self._scene = RoadScene(
                config.seed + number,
                self.height,
                self.width,
                lighting=self._lighting(number),
                weather=config.weather,
                focal=FOCAL,
                infrared_shift_px=(config.infrared_shift_x_px, config.infrared_shift_y_px),
            )
            self._number = number
        return self._scene

    def _lighting(self, street: int) -> str:
        return LIGHTINGS[street % len(LIGHTINGS)] if self._config.lighting == CYCLE else self._config.lighting

    def frame(self, number: int) -> RigFrame:
        """Return the street in the light of ``number``; time continues at the rate that is configured at the start."""
        street, within = divmod(number, self._config.scene_frames)
        frame = self._make(street).frame(within / self._config.rate_hz)
        infrared = frame.infrared8 if self._config.infrared_encoding == "mono8" else frame.infrared
        return RigFrame(infrared=infrared, rgb=frame.rgb, labels=frame.labels)

    def describe(self) -> str:
        """Return one line for the log."""
        config = self._config
        kept = f"a loop of {self.count} frames" if self.count else "every frame rendered afresh"
        light = "day, dusk and night in turn" if config.lighting == CYCLE else config.lighting
        return f"synthetic road {self.width}x{self.height}, {light}, {config.weather}, seed {config.seed}, {kept}"


class TwoCameraSource(SceneFrames):
    """Synthetic streets through two cameras with sizes, lenses and places of their own, and maybe a board."""

    def __init__(self, config: RigConfig) -> None:
        self._cameras = TwoCameras(config.calibration())
        self._held = HeldBoard(parse_board(config.board), hot_on_cold=config.board_hot) if config.board else None
        super().__init__(config)

    def frame(self, number: int) -> RigFrame:
        """Return the street as both cameras see it; the board is held still for some frames."""
        street, within = divmod(number, self._config.scene_frames)
        scene = self._make(street)
        seen = self._cameras.capture(scene, within / self._config.rate_hz)
        infrared, rgb, labels, depth_m = seen.infrared, seen.rgb, seen.labels, seen.depth_m
        if self._held is not None:
            own, other, mount = self.calibration.rgb, self.calibration.infrared, self.calibration.extrinsics
            assert own is not None
            assert other is not None
            assert mount is not None
            pose = planned_pose(
                number // self._config.board_pose_frames, self._config.seed, self._held, other, own, mount
            )
            rgb = self._held.into_rgb(rgb, own, pose)
            infrared = self._held.into_infrared(infrared, other, pose_in_infrared(pose, mount))
            held_m = self._held.depth(own, pose)
            labels = np.where(np.isfinite(held_m), np.uint8(0), labels)
            depth_m = np.where(np.isfinite(held_m), held_m, depth_m)
        return RigFrame(
            infrared=scene.render8(infrared) if self._config.infrared_encoding == "mono8" else infrared,
            rgb=rgb,
            labels=labels,
            depth_m=depth_m if self._config.publish_depth else None,
        )

    def describe(self) -> str:
        """Return one line for the log."""
        infrared = self.calibration.infrared
        assert infrared is not None
        board = f", {self._config.board} held before it" if self._held else ""
        return f"{super().describe()}; infrared {infrared.width}x{infrared.height}{board}"


class PairFrames:
    """The pairs of a folder, over and over. Raises DatasetError if none of them can be shown."""

    back = False
    calibration = RigCalibration()

    def __init__(self, config: RigConfig) -> None:
        self._config = config
        self._folder = PairFolder(config.pairs_folder)
        self.has_labels = any(files.labels is not None for files in self._folder.files)
        self.count = len(self._folder)
        self._gain = ThermalGain(GainConfig(time_constant_s=0.0))
        first = self._first_good()
        # With many sizes the first one's is as good a guess as any.
        if first.infrared.size * 6 * self.count > KEPT_BYTES:
            self.count = 0

    def _first_good(self) -> FolderPair:
        for index in range(len(self._folder) - 1):
            with contextlib.suppress(DatasetError):  # reported when its turn comes
                return self._folder.load(index)
        return self._folder.load(len(self._folder) - 1)

    def frame(self, number: int) -> RigFrame:
        """Return pair ``number`` of the folder, which restarts after the last."""
        pair = self._folder.load(number % len(self._folder))
        infrared = pair.infrared
        if self._config.infrared_encoding == "mono16" and infrared.dtype == np.uint8:
            infrared = infrared.astype(np.uint16) << 6  # 8 bits become 14
        elif self._config.infrared_encoding == "mono8":
            infrared = self._gain.apply(infrared, 0)
        height, width = infrared.shape
        size = self._config.size(width, height)
        return RigFrame(
            infrared=_resized(infrared, size),
            rgb=_resized(pair.rgb, size),
            labels=None if pair.labels is None else _resized(pair.labels, size, cv2.INTER_NEAREST),
        )

    def describe(self) -> str:
        """Return one line for the log."""
        return self._folder.summary()


def make_source(config: RigConfig) -> FrameSource:
    """Return the source that the parameters ask for; ValueError with one line if there can't be one."""
    one_view = "pairs_folder" if config.pairs_folder else "drive" if config.drive else ""
    if one_view and config.of_two_views:
        raise ValueError(f"{one_view} shows both images in one view: leave out {', '.join(config.of_two_views)}")
    if config.pairs_folder:
        return PairFrames(config)
    if config.drive:
        from segmif_ros.ros.simulator.drive_poses import DriveSource  # it is a SceneSource

        return DriveSource(config)
    return SceneFrames(config) if config.shares_view else TwoCameraSource(config)


def _resized(image: npt.NDArray[Any], size: tuple[int, int], how: int | None = None) -> npt.NDArray[Any]:
    if (image.shape[1], image.shape[0]) == size:
        return image
    smaller = size[0] < image.shape[1]
    return cv2.resize(
        image, size, interpolation=(cv2.INTER_AREA if smaller else cv2.INTER_LINEAR) if how is None else how
    )


class FrameFeed(Generic[Prepared]):
    """Prepares frames in a thread: all of a finite source once, an endless one a few ahead.

    Args:
        source: Of the frames.
        prepare: Makes of a frame what is asked for with next().

    next() is for one thread; it never waits. run() is what the thread does.
    """

    def __init__(self, source: FrameSource, prepare: Callable[[RigFrame], Prepared]) -> None:
        self._source, self._prepare = source, prepare
        self._kept: list[Prepared] = []
        self._waiting: deque[Prepared] = deque()
        self._problems: deque[str] = deque()
        self._room = threading.Condition()
        self._stopped = self._complete = False
        self._failure: BaseException | None = None
        self._at, self._step = -1, 1
        self._thread = threading.Thread(target=self.run, name="rig-frames", daemon=True)

    def start(self) -> None:
        """Begin to prepare."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End the thread; False if a frame is in work for longer than that."""
        with self._room:
            self._stopped = True
            self._room.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def primed(self) -> bool:
        """Whether showing can begin; raises what the thread died of."""
        if self._failure is not None:
            raise self._failure
        return self._complete or max(len(self._kept), len(self._waiting)) >= PRIMED

    @property
    def complete(self) -> bool:
        """Whether all frames of a loop are there."""
        return self._complete

    def problems(self) -> list[str]:
        """Return lines about frames that had to be left out, since the last call."""
        found = []
        while self._problems:
            found.append(self._problems.popleft())
        return found

    def next(self) -> Prepared | None:
        """The next frame to show, None if it isn't ready; raises what the thread died of."""
        if self._failure is not None:
            raise self._failure
        if not self._source.count:
            with self._room:
                if not self._waiting:
                    return None
                self._room.notify_all()
                return self._waiting.popleft()
        ready = len(self._kept)
        if not ready:
            return None
        at = self._at + self._step
        if self._source.back:
            # Forth and back over what is there: motion never jumps, and showing can begin with the first frames.
            if not 0 <= at < ready:
                self._step = -self._step
                at = min(max(self._at + self._step, 0), ready - 1)
        elif at >= ready:
            if not self._complete:
                return None
            at = 0
        self._at = at
        return self._kept[at]

    def run(self) -> None:
        """Prepare all frames of a finite source, or go on until stop()."""
        try:
            if self._source.count:
                self._keep_all()
            else:
                self._keep_ahead()
        except Exception as error:  # noqa: BLE001  # next() raises it where it is seen
            self._failure = error

    def _keep_all(self) -> None:
        for number in range(self._source.count):
            if self._stopped:
                return
            prepared = self._try(number)
            if prepared is not None:
                self._kept.append(prepared)
        self._complete = True

    def _keep_ahead(self) -> None:
        number = 0
        while True:
            with self._room:
                self._room.wait_for(lambda: self._stopped or len(self._waiting) < AHEAD)
                if self._stopped:
                    return
            prepared = self._try(number)
            number += 1
            if prepared is not None:
                self._waiting.append(prepared)

    def _try(self, number: int) -> Prepared | None:
        try:
            return self._prepare(self._source.frame(number))
        except DatasetError as error:
            self._problems.append(str(error))
            return None
