# SPDX-License-Identifier: Apache-2.0
"""From frames to delivered results: pair, keep the newest pair, decode, gain, register, engine, deliver.

`PairProcessor` is the work on one pair and has no thread; the offline replay calls it for every pair. `Pipeline` puts a
pairer and the latest-only slot before it and runs it on one worker thread.

A pair that can't be processed costs that pair: it is counted by reason and said, and the next one is processed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segmif_ros.imaging.encodings import EncodingError, ImageBuffer, is_pseudo_coloured, to_infrared, to_rgb
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.stream.notices import Notices
from segmif_ros.stream.pairing import NearestStampPairer, OffsetSummary, Pair
from segmif_ros.stream.slot import LatestSlot
from segmif_ros.stream.statistics import Snapshot, Statistics

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol, EngineResult

Array = npt.NDArray[Any]
Clock = Callable[[], int]
# (infrared (H, W) uint8, rgb (H', W', 3) uint8) -> both at one size; `PairRefusedError` where that can't be
Register = Callable[[Array, Array], tuple[Array, Array]]


class PairRefusedError(Exception):
    """A pair that can't be processed.

    Attributes:
        reason: One of `segmif_ros.stream.statistics.DROP_REASONS`.
    """

    def __init__(self, reason: str, line: str) -> None:
        super().__init__(line)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One image as it arrived.

    Attributes:
        stamp_ns: When it was taken, as its header says.
        frame_id: As its header says.
        image: Its bytes, not decoded yet.
    """

    stamp_ns: int
    frame_id: str
    image: ImageBuffer


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """A processed pair.

    Attributes:
        infrared: The infrared frame.
        rgb: The RGB frame.
        master: The one of the two whose header the outputs carry.
        offset_ns: Infrared stamp minus RGB stamp, after the time offset was taken off.
        result: The engine's.
        stage_ms: Milliseconds by stage: "decode", "gain", and the engine's own.
    """

    infrared: Frame
    rgb: Frame
    master: Frame
    offset_ns: int
    result: EngineResult
    stage_ms: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How to pair and to prepare.

    Attributes:
        slop_s: Largest difference of the stamps of a pair.
        queue_size: Frames of one camera that wait for a partner at most.
        time_offset_s: Taken off the infrared stamps before pairing.
        master: "rgb" or "infrared".
        gain: For 16-bit and float infrared.
    """

    slop_s: float = 0.02
    queue_size: int = 10
    time_offset_s: float = 0.0
    master: str = "rgb"
    gain: GainConfig = field(default_factory=GainConfig)


def same_size(infrared: Array, rgb: Array) -> tuple[Array, Array]:
    """The registration of two cameras that see the same: nothing to do, if the sizes agree."""
    if infrared.shape != rgb.shape[:2]:
        raise PairRefusedError(
            "size",
            f"pair dropped: infrared is {infrared.shape[1]}x{infrared.shape[0]} and RGB {rgb.shape[1]}x{rgb.shape[0]}; "
            "both must have the same size and show the same view",
        )
    return infrared, rgb


class PairProcessor:
    """The work on one pair; its parts can be replaced between two pairs.

    Args:
        engine: Anything that keeps `segmif_ros.inference.engine.EngineProtocol`.
        gain: The infrared camera's.
        register: Brings both images to one view and size.
        now_ns: A clock that never steps back, for the stage times.
        notice: Takes a kind and a line, once for each kind.
    """

    def __init__(
        self,
        engine: EngineProtocol,
        *,
        gain: ThermalGain,
        now_ns: Clock,
        register: Register = same_size,
        notice: Callable[[str, str], None] = lambda _kind, _line: None,
    ) -> None:
        self.engine = engine
        self.gain = gain
        self.register = register
        self._now_ns = now_ns
        self._notice = notice

    def process(self, pair: Pair[Frame], *, master: str = "rgb") -> Output:
        """Process one pair.

        Raises:
            PairRefusedError: If it can't be processed, whatever the cause; the next one may be.
        """
        stage_ms: dict[str, float] = {}
        with self._timed(stage_ms, "decode"):
            infrared = self._decoded("infrared", pair.infrared, to_infrared)
            rgb = self._decoded("RGB", pair.rgb, to_rgb)
            if is_pseudo_coloured(pair.infrared.image.encoding):
                self._notice(
                    "pseudo-colour",
                    f"infrared comes as {pair.infrared.image.encoding}: a palette's luminance is used, which is not "
                    "temperature; have the camera driver publish mono8 or mono16",
                )
        try:
            with self._timed(stage_ms, "gain"):
                infrared = self.gain.apply(infrared, pair.infrared.stamp_ns)
                infrared, rgb = self.register(infrared, rgb)
            result = self.engine.infer(np.ascontiguousarray(infrared), np.ascontiguousarray(rgb))
        except PairRefusedError:
            raise
        except Exception as error:  # whatever the model raises must cost this pair only; the cause is kept
            raise PairRefusedError("error", f"pair dropped, the engine failed: {_said(error)}") from error
        return Output(
            infrared=pair.infrared,
            rgb=pair.rgb,
            master=pair.infrared if master == "infrared" else pair.rgb,
            offset_ns=pair.offset_ns,
            result=result,
            stage_ms={**stage_ms, **result.stage_ms},
        )

    def _decoded(self, camera: str, frame: Frame, decode: Callable[[ImageBuffer], Array]) -> Array:
        try:
            return decode(frame.image)
        except EncodingError as error:
            raise PairRefusedError("undecodable", f"pair dropped, {camera} frame: {error}") from error
        except Exception as error:  # a defect in a decoder must cost this pair only, too; the cause is kept
            raise PairRefusedError("undecodable", f"pair dropped, {camera} frame: {_said(error)}") from error

    @contextmanager
    def _timed(self, stage_ms: dict[str, float], stage: str) -> Iterator[None]:
        started_ns = self._now_ns()
        yield
        stage_ms[stage] = 1e-6 * (self._now_ns() - started_ns)


class Pipeline:
    """Pairs frames as they are offered and processes the newest pair on a worker thread.

    Args:
        config: How to pair and to prepare; see `configure`.
        engine: Anything that keeps `segmif_ros.inference.engine.EngineProtocol`.
        deliver: Called on the worker thread with every `Output`; an exception costs this pair.
        now_ns: A clock that never steps back, for durations.
        stamp_clock_ns: The clock that stamps are compared with, for the age.
        say: Takes lines for the log, at most one of a kind in ten seconds.
        trace: Takes every refusal with its cause, for whoever debugs.
        register: Brings both images to one view and size.
    """

    def __init__(
        self,
        config: PipelineConfig,
        engine: EngineProtocol,
        deliver: Callable[[Output], None],
        *,
        now_ns: Clock,
        stamp_clock_ns: Clock,
        say: Callable[[str], None],
        trace: Callable[[PairRefusedError], None] = lambda _refusal: None,
        register: Register = same_size,
    ) -> None:
        self._trace = trace
        self._config = config
        self._deliver = deliver
        self._now_ns = now_ns
        self._stamp_clock_ns = stamp_clock_ns
        self._notices = Notices(say, now_ns)
        self._processor = PairProcessor(
            engine, gain=ThermalGain(config.gain), now_ns=now_ns, register=register, notice=self._notices.once
        )
        self._statistics = Statistics()
        self._pairing = threading.Lock()
        self._pairer: NearestStampPairer[Frame] = NearestStampPairer(
            config.slop_s, config.queue_size, config.time_offset_s
        )
        self._slot: LatestSlot[tuple[Pair[Frame], int]] = LatestSlot()
        self._worker: threading.Thread | None = None

    def start(self) -> None:
        """Start the worker; what was received before is forgotten."""
        self.reset()
        self._processor.gain.reset()
        self._slot = LatestSlot()
        # a daemon, so that a hung driver call can't keep the process alive
        self._worker = threading.Thread(target=self._work, args=(self._slot,), name="segmif-worker", daemon=True)
        self._worker.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Finish the pair in work and end the worker; False if it is still busy after ``timeout_s``."""
        if self._slot.close() is not None:
            self._statistics.drop("superseded")
        if self._worker is None:
            return True
        self._worker.join(timeout_s)
        return not self._worker.is_alive()

    def configure(self, config: PipelineConfig) -> None:
        """Change settings from the next pair on."""
        with self._pairing:
            self._pairer.configure(config.slop_s, config.queue_size, config.time_offset_s)
        if config.gain != self._config.gain:
            self._processor.gain = ThermalGain(config.gain)
        self._config = config

    def reset(self) -> None:
        """Forget the frames that wait for a partner, as after a jump of the clock."""
        with self._pairing:
            self._pairer.reset()

    def offer_infrared(self, frame: Frame) -> None:
        """Take an infrared frame; returns at once."""
        self._statistics.frame("infrared")
        with self._pairing:
            pairs = self._pairer.add_infrared(frame.stamp_ns, frame)
        self._put(pairs)

    def offer_rgb(self, frame: Frame) -> None:
        """Take an RGB frame; returns at once."""
        self._statistics.frame("rgb")
        with self._pairing:
            pairs = self._pairer.add_rgb(frame.stamp_ns, frame)
        self._put(pairs)

    def snapshot(self) -> Snapshot:
        """Return the statistics now."""
        with self._pairing:
            drops = dict(self._pairer.drops)
        return self._statistics.snapshot(self._now_ns(), drops)

    @property
    def offsets(self) -> OffsetSummary:
        """Stamp offsets of the latest pairs."""
        with self._pairing:
            return self._pairer.offsets

    @property
    def misses(self) -> OffsetSummary:
        """How far the nearest stamps were apart for the latest frames that found no partner in reach."""
        with self._pairing:
            return self._pairer.misses

    def _put(self, pairs: list[Pair[Frame]]) -> None:
        for pair in pairs:
            self._statistics.pair()
            if self._slot.put((pair, self._now_ns())) is not None:
                self._statistics.drop("superseded")

    def _work(self, slot: LatestSlot[tuple[Pair[Frame], int]]) -> None:
        while (taken := slot.take()) is not None:
            pair, paired_ns = taken
            wait_ms = 1e-6 * (self._now_ns() - paired_ns)
            try:
                self._run(pair, paired_ns, wait_ms)
            except PairRefusedError as refusal:
                self._statistics.drop(refusal.reason)
                self._notices(refusal.reason, str(refusal))
                self._trace(refusal)

    def _run(self, pair: Pair[Frame], paired_ns: int, wait_ms: float) -> None:
        output = self._processor.process(pair, master=self._config.master)
        started_ns = self._now_ns()
        try:
            self._deliver(output)
        except Exception as error:  # a failed delivery must cost this pair only; the cause is kept
            raise PairRefusedError("error", f"pair dropped, its outputs failed: {_said(error)}") from error
        now_ns = self._now_ns()
        stage_ms = {
            "wait": wait_ms,
            **output.stage_ms,
            "publish": 1e-6 * (now_ns - started_ns),
            "total": 1e-6 * (now_ns - paired_ns),
        }
        age_ms = 1e-6 * (self._stamp_clock_ns() - output.master.stamp_ns)
        self._statistics.done(age_ms=age_ms, stage_ms=stage_ms, now_ns=now_ns)


def _said(error: Exception) -> str:
    """Return an exception as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
