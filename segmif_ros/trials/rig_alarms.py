# SPDX-License-Identifier: Apache-2.0
"""False alarms over the options of the simulated rig: its frames, as they would be published, before the health check.

No DDS and no clock: frames, schedule and effects are the simulated rig's, and time is the schedule's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.simulator.effects import CameraFaults, make_effects
from segmif_ros.ros.simulator.frames import FrameFeed, RigFrame, make_source
from segmif_ros.ros.simulator.schedule import INFRARED, RGB, Player, Shot
from segmif_ros.stream.camera_health import CameraHealth, Condition

SECONDS = 12.0
RATES_HZ = (10.0, 30.0)
_START_NS = 1_000_000_000_000  # of the schedule's clock: a stamp of 0 is none
_LOOP = 16  # frames that are rendered for each row
_PLAIN = RigConfig(width=320, height=240, loop_frames=_LOOP, lighting="day")


@dataclass(frozen=True, kw_only=True)
class RigOptions:
    """One row: parameters of the rig, and what is no false alarm with them, by camera."""

    values: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Condition] = field(default_factory=dict)


_APART = {"infrared_right_m": 0.08, "infrared_width": 160, "infrared_height": 120, "infrared_fov_deg": 45.0}
OPTIONS: dict[str, RigOptions] = {
    "as it starts, by day": RigOptions(),
    "dusk": RigOptions(values={"lighting": "dusk"}),
    "night": RigOptions(values={"lighting": "night"}),
    "another street every 6 frames": RigOptions(values={"lighting": "cycle", "scene_frames": 6}),
    "fog in the street": RigOptions(values={"weather": "fog"}),
    "rain by night": RigOptions(values={"weather": "rain", "lighting": "night"}),
    "infrared of 8 bits": RigOptions(values={"infrared_encoding": "mono8"}),
    "bgr8": RigOptions(values={"rgb_encoding": "bgr8"}),
    "two cameras, 8 cm apart": RigOptions(values=_APART),
    "plumb_bob lenses": RigOptions(values={**_APART, "rgb_lens": "plumb_bob", "infrared_lens": "plumb_bob"}),
    "equidistant lenses": RigOptions(values={**_APART, "rgb_lens": "equidistant", "infrared_lens": "equidistant"}),
    "a drive": RigOptions(values={"drive": True}),
    "board held": RigOptions(values={**_APART, "board": "checkerboard:8x6:0.06"}),
    "bracket turned by 5 degrees": RigOptions(values={"bracket_yaw_deg": 5.0}),
    "bracket drifts 30 degrees/min": RigOptions(values={"bracket_drift_deg_per_min": 30.0}),
    "shutter, 0.4 s every 4 s": RigOptions(values={"shutter_period_s": 4.0, "shutter_s": 0.4}),
    "shutter, 1 s every 4 s": RigOptions(
        values={"shutter_period_s": 4.0, "shutter_s": 1.0}, faults={INFRARED: Condition.FROZEN}
    ),
    "jitter of 10 ms": RigOptions(values={"jitter_s": 0.01}),
    "5 % of the frames lost": RigOptions(values={"drop_probability": 0.05}),
    "stamps 50 ms late": RigOptions(values={"infrared_time_offset_s": 0.05}),
}


@dataclass(frozen=True, kw_only=True)
class RigAlarms:
    """What the health check made of one rig.

    Attributes:
        frames: Of both cameras together.
        called: Frames by camera and condition, those that were well left out.
        expected: Of these, the ones that the rig's options ask for.
    """

    frames: int
    called: Mapping[tuple[str, Condition], int]
    expected: int

    @property
    def false(self) -> int:
        """Frames that were called a fault without one."""
        return sum(self.called.values()) - self.expected

    def line(self, name: str, rate_hz: float) -> str:
        """Return the row of the table."""
        called = ", ".join(
            f"{camera} {condition.name.lower()} {count}" for (camera, condition), count in sorted(self.called.items())
        )
        return f"{name:32s}{rate_hz:6g}{self.frames:8d}{self.false:14d}  {called or '-'}"


def alarms(options: RigOptions, rate_hz: float, seconds: float = SECONDS, plain: RigConfig = _PLAIN) -> RigAlarms:
    """Show the frames of a rig with these options to the health check."""
    config = replace(plain, rate_hz=rate_hz, **options.values)
    health = {camera: CameraHealth(camera) for camera in (INFRARED, RGB)}
    called: Counter[tuple[str, Condition]] = Counter()
    frames = 0
    for camera, image, now_ns, stamp_ns in _published(config, seconds):
        frames += 1
        health[camera].sees(image, now_ns, stamp_ns)
        for each, seen in health.items():
            # of both, at every frame of either: a camera that is silent has none of its own
            if seen.started and (condition := seen.condition(now_ns)) is not Condition.OK:
                called[each, condition] += 1
    expected = sum(called[camera, condition] for camera, condition in options.faults.items())
    return RigAlarms(frames=frames, called={key: count for key, count in called.items() if count}, expected=expected)


def _published(config: RigConfig, seconds: float) -> Iterator[tuple[str, ImageBuffer, int, int]]:
    """Yield camera, image, time and stamp of each frame, as simulated_rig publishes them."""
    source = make_source(config)
    feed: FrameFeed[RigFrame] = FrameFeed(source, lambda frame: frame)
    feed.run()  # renders the whole loop
    infrared = source.calibration.infrared
    effects = make_effects(config, infrared.K[0, 0] if infrared else 0.0)
    player = Player(config.schedule(), feed.next, max_frames=round(seconds * config.rate_hz), start_ns=_START_NS)
    now_ns = _START_NS
    while not player.done:
        for shot, frame in player.due(now_ns):
            sent = _sent(shot, frame, config)
            stamp_ns, t_s = shot.stamp_ns, 1e-9 * (shot.due_ns - _START_NS)
            image: npt.NDArray[Any] | None = sent
            for effect in effects:
                if isinstance(effect, CameraFaults):
                    stamp_ns = effect.stamp_ns(shot, t_s)
                image = None if image is None else effect.apply(shot, image, t_s)
            if image is not None:
                yield shot.camera, _buffer(image, config), now_ns, stamp_ns
        now_ns += player.wait_ns(now_ns)


def _sent(shot: Shot, frame: RigFrame, config: RigConfig) -> npt.NDArray[Any]:
    if shot.camera == INFRARED:
        return frame.infrared
    return frame.rgb if config.rgb_encoding == "rgb8" else cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)


def _buffer(image: npt.NDArray[Any], config: RigConfig) -> ImageBuffer:
    grey = "mono8" if image.dtype == np.uint8 else "mono16"
    return ImageBuffer(
        encoding=config.rgb_encoding if image.ndim == 3 else grey,
        height=image.shape[0],
        width=image.shape[1],
        step=image.strides[0],
        is_bigendian=False,
        data=np.ascontiguousarray(image).tobytes(),
    )


def print_table() -> int:
    """Show all options at all rates; return how many frames were false alarms."""
    frames = false = 0
    print(f"{'rig':32s}{'Hz':>6s}{'frames':>8s}{'false alarms':>14s}  called")
    for name, options in OPTIONS.items():
        for rate_hz in RATES_HZ:
            found = alarms(options, rate_hz, SECONDS, _PLAIN)
            print(found.line(name, rate_hz), flush=True)
            frames, false = frames + found.frames, false + found.false
    print(f"{frames} frames, {false} false alarms")
    return false
