# SPDX-License-Identifier: Apache-2.0
"""Which cameras a result rests on: both, or the one that lives.

Stands beside the pairing. While both cameras are well its pairs pass. When one falls silent, or is blind, the other one
continues alone, frame by frame as they arrive; when both are well again, pairs do. Master stamps never step back across
a change. It has no clock: times are passed in, and `SingleCamera.advance` returns what time alone brings about, so a
node's timer, a bag's recorded times and a test's fake clock come to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from segmif_ros.stream.camera_health import CAMERAS, NS_PER_S, CameraHealth, Condition, HealthConfig
from segmif_ros.stream.pairing import JUMP_BACK_NS, Pair


class Stamped(Protocol):
    """A frame, as far as it matters here."""

    @property
    def stamp_ns(self) -> int:
        """When it was taken, as in its header."""


Item = TypeVar("Item", bound=Stamped)
Other = TypeVar("Other", bound=Stamped)

POLICIES = ("continue", "stop", "none")  # not "off", which YAML takes for a truth value
_PAIRS_IN_A_ROW = 3  # before pairing is trusted again
_UNPAIRED_AFTER = 4  # times ``after_s``, or intervals of the slower camera


@dataclass(frozen=True, kw_only=True)
class CameraReport:
    """The cameras at the moment of one result.

    Attributes:
        used: Those that it rests on, of "infrared" and "rgb".
        conditions: What each camera is like.
        lines: The same in words, for those that aren't well.
    """

    used: tuple[str, ...] = CAMERAS
    conditions: Mapping[str, Condition] = field(default_factory=lambda: dict.fromkeys(CAMERAS, Condition.OK))
    lines: tuple[str, ...] = ()

    @property
    def single(self) -> str:
        """The camera that the result rests on alone; empty for both."""
        return self.used[0] if len(self.used) == 1 else ""

    def as_fields(self) -> dict[str, int | str]:
        """Return the fields of `segmif_ros/SemanticMap` that say it."""
        return {
            "cameras": sum(1 << CAMERAS.index(camera) for camera in self.used),
            "infrared_health": int(self.conditions["infrared"]),
            "rgb_health": int(self.conditions["rgb"]),
            "health": "; ".join(self.lines),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment(Generic[Item]):
    """What is processed at once: a pair, or one frame where the other camera is missing.

    Attributes:
        infrared: The infrared frame; None if the result rests on RGB alone.
        rgb: The RGB frame; None if the result rests on infrared alone.
        stamp_ns: Of the master frame; of the other one, on the master's clock, where the master is missing.
        offset_ns: Infrared stamp minus RGB stamp, after the time offset was taken off; 0 for one frame.
        cameras: Which cameras it rests on, and what they are like.
    """

    infrared: Item | None
    rgb: Item | None
    stamp_ns: int
    offset_ns: int = 0
    cameras: CameraReport = field(default_factory=CameraReport)

    @classmethod
    def of(cls, pair: Pair[Item], stamp_ns: int, cameras: CameraReport | None = None) -> Moment[Item]:
        """Return a pair as a moment.

        Args:
            pair: Both frames.
            stamp_ns: Of the master frame.
            cameras: What the cameras are like; None for well.
        """
        return cls(
            infrared=pair.infrared,
            rgb=pair.rgb,
            stamp_ns=stamp_ns,
            offset_ns=pair.offset_ns,
            cameras=cameras or CameraReport(),
        )

    def holding(self, infrared: Other | None, rgb: Other | None) -> Moment[Other]:
        """Return the same moment with other things for its frames.

        Args:
            infrared: Stands for the infrared frame; None where there is none.
            rgb: Likewise.
        """
        return Moment(
            infrared=infrared, rgb=rgb, stamp_ns=self.stamp_ns, offset_ns=self.offset_ns, cameras=self.cameras
        )


@dataclass(frozen=True, kw_only=True)
class SingleCameraConfig:
    """What to do when one camera is missing.

    Attributes:
        policy: "continue" with the other one, "stop" (nothing comes out until both are well), or "none": nobody looks.
        after_s: Silence, or a frozen picture, for so long makes a camera missing.
        frozen: Whether a frozen picture counts; false for a simulation without noise.
        master: "rgb" or "infrared", the camera that continues where both send and never pair.
        time_offset_s: Taken off the infrared stamps.

    Raises:
        ValueError: If a value isn't acceptable.
    """

    policy: str = "continue"
    after_s: float = 0.5
    frozen: bool = True
    master: str = "rgb"
    time_offset_s: float = 0.0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"single_camera '{self.policy}' is unknown: use one of {', '.join(POLICIES)}")
        if not 0.05 <= self.after_s <= 60.0:
            raise ValueError(f"single_camera_after_s is {self.after_s:g}: 0.05 to 60 seconds are allowed")

    def health(self) -> HealthConfig:
        """Return when a camera is called ill."""
        return HealthConfig(silent_after_s=self.after_s, frozen_after_s=self.after_s if self.frozen else 0.0)


class SingleCamera(Generic[Item]):
    """Chooses between pairs and single frames; not thread-safe.

    Args:
        config: What to do when one camera is missing.

    Attributes:
        health: Of each camera; frames are shown to it before `frame`.
        drops: Pairs that were not passed on, by reason. "blind": one of their cameras is, and the policy is "stop".
            "superseded": a single frame that is as new had been passed on already.
    """

    def __init__(self, config: SingleCameraConfig | None = None) -> None:
        self.config = config or SingleCameraConfig()
        self.health = {camera: CameraHealth(camera, self.config.health()) for camera in CAMERAS}
        self.drops = {"blind": 0, "superseded": 0}
        self.reset()

    def configure(self, config: SingleCameraConfig) -> None:
        """Change the settings; what is known of the cameras stays."""
        self.config = config
        for health in self.health.values():
            health.config = config.health()

    def reset(self) -> None:
        """Forget everything, as after a jump of the clock."""
        for health in self.health.values():
            health.reset()
        self._newest: dict[str, tuple[int, Item]] = {}  # stamp on the master's clock, frame
        self._alone = ""
        self._unpaired = False
        self._first_ns: int | None = None
        self._pair_ns: int | None = None  # when the latest pair came about
        self._row = 0  # pairs since one camera went on alone
        self._passed_ns: int | None = None  # stamp of the latest that was passed on

    @property
    def alone(self) -> str:
        """The camera that continues alone now; empty for none."""
        return self._alone

    def report(self, now_ns: int) -> CameraReport:
        """Return which cameras a result of now rests on and what they are like."""
        found = {camera: health.condition(now_ns) for camera, health in self.health.items()}
        if self._first_ns is None or now_ns - self._first_ns < self._after_ns:  # a camera that starts is not silent yet
            found |= {camera: Condition.OK for camera, health in self.health.items() if not health.started}
        if self._unpaired and all(condition.usable for condition in found.values()):
            found[CAMERAS[1 - CAMERAS.index(self._alone or self.config.master)]] = Condition.UNPAIRED
        lines = (self.health[camera].line(condition, now_ns) for camera, condition in found.items())
        used = (self._alone,) if self._alone else CAMERAS
        return CameraReport(used=used, conditions=found, lines=tuple(filter(None, lines)))

    def frame(self, camera: str, now_ns: int, item: Item, pairs: Sequence[Pair[Item]]) -> list[Moment[Item]]:
        """Take a frame that has just arrived, and the pairs that it completed.

        Args:
            camera: "infrared" or "rgb".
            now_ns: When it arrived.
            item: The frame; ``health`` has seen it.
            pairs: What the pairer made of it, oldest first.

        Returns:
            What to process now, oldest first.
        """
        if self._first_ns is None:
            self._first_ns = now_ns
        stamp_ns = self._on_master_clock(camera, item)
        if camera in self._newest and stamp_ns < self._newest[camera][0] - JUMP_BACK_NS:
            self._passed_ns = None  # another recording, or a clock that was set: stamps may start anywhere
        self._newest[camera] = stamp_ns, item
        if pairs:
            self._pair_ns = now_ns
            self._row += len(pairs)
        moments = self.advance(now_ns)
        if not self._alone:
            return moments + self._paired(pairs, now_ns)
        return moments + self._single(now_ns) if camera == self._alone else moments

    def advance(self, now_ns: int) -> list[Moment[Item]]:
        """Go on to ``now_ns``: return the newest frame of the living camera where the other one's time has run out."""
        alone = self._choose(now_ns)
        if alone == self._alone:
            return []
        self._alone, self._row = alone, 0
        return self._single(now_ns) if alone else []

    def _choose(self, now_ns: int) -> str:
        """Return the camera that continues alone; empty where pairs do, or nothing can."""
        if self.config.policy == "stop" or self._first_ns is None:
            return ""
        found = {camera: health.condition(now_ns) for camera, health in self.health.items()}
        # a camera that never came has to be given the time to start
        if now_ns - self._first_ns < self._after_ns and not all(health.started for health in self.health.values()):
            return ""
        usable = [camera for camera in CAMERAS if found[camera].usable]
        if len(usable) < len(CAMERAS):
            self._unpaired = False
            # the picture of a blind camera is better than none; of two, nobody knows which one to drop
            going = usable or [camera for camera in CAMERAS if found[camera] is not Condition.SILENT]
            return going[0] if len(going) == 1 else ""
        without_ns = now_ns - max(
            ns for ns in (self._pair_ns, *(h.well_since_ns for h in self.health.values())) if ns is not None
        )
        slower_ns = max(health.interval_ns for health in self.health.values())
        if without_ns > _UNPAIRED_AFTER * max(self._after_ns, slower_ns):
            self._row = 0
            self._unpaired = True
        if not self._alone:
            return self.config.master if self._unpaired else ""
        # until pairs come again the one camera continues, so that there is no gap
        if self._row < (_PAIRS_IN_A_ROW if self._unpaired else 1):
            return self._alone
        self._unpaired = False
        return ""

    @property
    def _after_ns(self) -> int:
        return round(self.config.after_s * NS_PER_S)

    def _on_master_clock(self, camera: str, item: Item) -> int:
        offset_ns = round(self.config.time_offset_s * NS_PER_S)
        if camera == self.config.master:
            return item.stamp_ns
        return item.stamp_ns + (offset_ns if camera == "rgb" else -offset_ns)

    def _single(self, now_ns: int) -> list[Moment[Item]]:
        """Return the living camera's newest frame, unless it was passed on before."""
        if self._alone not in self._newest:
            return []
        stamp_ns, item = self._newest[self._alone]
        if self._passed_ns is not None and stamp_ns <= self._passed_ns:
            return []
        self._passed_ns = stamp_ns
        infrared, rgb = (item if camera == self._alone else None for camera in CAMERAS)
        return [Moment(infrared=infrared, rgb=rgb, stamp_ns=stamp_ns, cameras=self.report(now_ns))]

    def _paired(self, pairs: Sequence[Pair[Item]], now_ns: int) -> list[Moment[Item]]:
        moments: list[Moment[Item]] = []
        if not pairs:
            return moments
        report = self.report(now_ns)
        blind = sum(condition.blind for condition in report.conditions.values())
        for pair in pairs:
            stamp_ns = (pair.rgb if self.config.master == "rgb" else pair.infrared).stamp_ns
            if blind == 1 and self.config.policy == "stop":
                self.drops["blind"] += 1
            elif self._passed_ns is not None and stamp_ns <= self._passed_ns:
                self.drops["superseded"] += 1
            else:
                self._passed_ns = stamp_ns
                moments.append(Moment.of(pair, stamp_ns, report))
        return moments
