# SPDX-License-Identifier: Apache-2.0
"""From frames to delivered results: pair, keep the newest pair, process it on a worker thread, deliver.

A pair that can't be processed costs that pair: it is counted by reason and said, and the next one is processed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import MAX_PIXELS
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.calibration_file import load_calibration
from segmif_ros.rig.registration import DEFAULT_DEPTH_M, Registration, RegistrationConfig, Unregistered
from segmif_ros.stream.notices import Notices
from segmif_ros.stream.pairing import INITIAL_SLOP_S, NearestStampPairer, OffsetSummary, Pair, Pairer
from segmif_ros.stream.processing import (
    Array,
    Clock,
    DecodeConfig,
    Frame,
    Output,
    PairProcessor,
    PairRefusedError,
    in_one_line,
)
from segmif_ros.stream.slot import LatestSlot
from segmif_ros.stream.statistics import Progress, Snapshot, Statistics

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How to pair and to prepare.

    Attributes:
        slop_s: Largest difference of the stamps of a pair; 0 derives it from the frame periods.
        queue_size: Frames of one camera that wait for a partner at most.
        time_offset_s: Taken off the infrared stamps before pairing.
        master: "rgb" or "infrared", the camera whose view and header the outputs have.
        registration: "none", "resize", "homography" or "stereo".
        calibration_file: What is known of the rig, for the last two.
        reference_depth_m: For "stereo"; 0 takes the file's plane.
        gain: For 16-bit and float infrared.
        infrared_crop: What is cut off infrared images, see `segmif_ros.imaging.crop.Crop.parse`.
        max_pixels: Larger images are refused.

    Raises:
        ValueError: If ``infrared_crop`` can't be read.
        segmif_ros.rig.errors.RegistrationError: If a value of the registration isn't one.
    """

    slop_s: float = 0.0
    queue_size: int = 10
    time_offset_s: float = 0.0
    master: str = "rgb"
    registration: str = "none"
    calibration_file: str = ""
    reference_depth_m: float = DEFAULT_DEPTH_M
    gain: GainConfig = field(default_factory=GainConfig)
    infrared_crop: str = ""
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        self.registration_config()
        self.decoding()

    def decoding(self) -> DecodeConfig:
        """Return how images are taken."""
        try:
            crop = Crop.parse(self.infrared_crop)
        except ValueError as error:
            raise ValueError(f"infrared_crop {error}") from None
        return DecodeConfig(infrared_crop=crop, max_pixels=self.max_pixels)

    @property
    def truth_slop_ns(self) -> int:
        """How far the stamp of a recorded label map may be from its frame's."""
        return round(1e9 * (self.slop_s or INITIAL_SLOP_S))

    def registration_config(self) -> RegistrationConfig:
        """Return how to register."""
        return RegistrationConfig(
            mode=self.registration, view=self.master, reference_depth_m=self.reference_depth_m
        )

    def calibration(self) -> RigCalibration:
        """Return what the calibration file says, nothing if there is none; CalibrationError says what is wrong."""
        return load_calibration(self.calibration_file) if self.calibration_file else RigCalibration()

    def make_registration(self) -> Registration:
        """Return the registration by parameters and file; CalibrationError or RegistrationError say what is wrong."""
        return Registration(self.registration_config(), self.calibration())


class _Run:
    """The time from a start to a stop: its newest pair, its worker, and the state of the work."""

    def __init__(self) -> None:
        self.slot: LatestSlot[tuple[Pair[Frame], int]] = LatestSlot()
        self.worker: threading.Thread | None = None
        self.abandoned = False  # what is still in work is not to be delivered any more
        self.busy_since_ns: int | None = None

    def busy(self) -> bool:
        """Whether the worker's thread is alive."""
        return self.worker is not None and self.worker.is_alive()


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
        unexpected: Takes an exception that only a defect can cause; the worker goes on after it.
        registration: Brings both images to one view and size; None: the one that ``config`` says.
        make_pairer: Returns what pairs, from the slop in seconds, the queue size and the time offset in seconds.
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
        unexpected: Callable[[Exception], None] = lambda _error: None,
        registration: Registration | Unregistered | None = None,
        make_pairer: Callable[[float, int, float], Pairer[Frame]] = NearestStampPairer,
    ) -> None:
        self._trace = trace
        self._unexpected = unexpected
        self._config = config
        self._deliver = deliver
        self._now_ns = now_ns
        self._stamp_clock_ns = stamp_clock_ns
        self._notices = Notices(say, now_ns)
        self._processor = PairProcessor(
            engine,
            gain=ThermalGain(config.gain),
            now_ns=now_ns,
            registration=registration or config.make_registration(),
            notice=self._notices.once,
            decoding=config.decoding(),
        )
        self._statistics = Statistics()
        self._pairing = threading.Lock()
        self._pairer = make_pairer(config.slop_s, config.queue_size, config.time_offset_s)
        self._current = _Run()
        self._enabled = True
        self._watching = threading.Lock()
        self._watch: Callable[[Pair[Frame], Output | PairRefusedError], None] | None = None

    @property
    def enabled(self) -> bool:
        """Whether frames are paired and processed."""
        return self._enabled

    def enable(self, on: bool) -> None:
        """Pair and process frames from now on, or only count them."""
        self._enabled = on
        self._statistics.begin(self._now_ns())
        self.reset()

    def replace_engine(self, engine: EngineProtocol) -> None:
        """Run another engine from the next pair on."""
        self._processor.engine = engine

    def replace_registration(self, registration: Registration | Unregistered) -> None:
        """Register so from the next pair on."""
        self._processor.registration = registration

    def watch_next(self, watch: Callable[[Pair[Frame], Output | PairRefusedError], None] | None) -> None:
        """Call ``watch`` on the worker's thread after the next pair was delivered or refused; None takes that back."""
        with self._watching:
            self._watch = watch

    def decode(self, pair: Pair[Frame]) -> tuple[Array, Array]:
        """Return what `segmif_ros.stream.processing.PairProcessor.decode` makes of a pair."""
        return self._processor.decode(pair)

    def start(self) -> None:
        """Start a worker; what was received before is forgotten.

        Where the last worker is still at a pair, the new one begins once that is done: an engine runs one at a time.
        """
        self.reset()
        self._processor.gain.reset()
        self._statistics.begin(self._now_ns())
        before, self._current = self._current, _Run()
        # a daemon, so that a hung driver call can't keep the process alive
        self._current.worker = threading.Thread(
            target=self._work, args=(self._current, before.worker), name="segmif-worker", daemon=True
        )
        self._current.worker.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Finish the pair in work and end the worker.

        Returns:
            False if the worker is still at a pair after ``timeout_s``: it ends after that, and delivers nothing more.
        """
        run = self._current
        if run.slot.close() is not None:
            self._statistics.drop("superseded")
        if run.worker is None:
            return True
        run.worker.join(timeout_s)
        run.abandoned = run.busy()
        return not run.abandoned

    def configure(
        self, config: PipelineConfig, registration: Registration | Unregistered | None = None
    ) -> None:
        """Change settings from the next pair on; without ``registration`` it is the one that ``config`` says.

        Raises:
            segmif_ros.rig.errors.CalibrationError, segmif_ros.rig.errors.RegistrationError: If there can't be one.
        """
        self._processor.registration = registration or config.make_registration()
        with self._pairing:
            self._pairer.configure(config.slop_s, config.queue_size, config.time_offset_s)
        self._processor.decoding = config.decoding()
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
        if not self._enabled:
            return
        with self._pairing:
            pairs = self._pairer.add_infrared(frame.stamp_ns, frame)
        self._put(pairs)

    def offer_rgb(self, frame: Frame) -> None:
        """Take an RGB frame; returns at once."""
        self._statistics.frame("rgb")
        if not self._enabled:
            return
        with self._pairing:
            pairs = self._pairer.add_rgb(frame.stamp_ns, frame)
        self._put(pairs)

    def snapshot(self) -> Snapshot:
        """Return the statistics now."""
        with self._pairing:
            drops = self._pairer.drops
        return self._statistics.snapshot(self._now_ns(), drops)

    def progress(self) -> Progress:
        """Return how the work gets on."""
        now_ns, run = self._now_ns(), self._current
        since_ns = run.busy_since_ns
        in_work_s = 0.0 if since_ns is None else 1e-9 * (now_ns - since_ns)
        return self._statistics.progress(now_ns, working=run.busy(), in_work_s=in_work_s)

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

    @property
    def delays(self) -> OffsetSummary:
        """How much later than their partners the latest frames came; see `NearestStampPairer.delays`."""
        with self._pairing:
            return self._pairer.delays

    @property
    def slop_s(self) -> float:
        """The slop in force, in seconds."""
        return self._pairer.slop_s

    def _put(self, pairs: list[Pair[Frame]]) -> None:
        for pair in pairs:
            now_ns = self._now_ns()
            self._statistics.pair(now_ns)
            if self._current.slot.put((pair, now_ns)) is not None:
                self._statistics.drop("superseded")

    def _work(self, run: _Run, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        while (taken := run.slot.take()) is not None:
            try:
                self._take(run, *taken)
            except Exception as error:  # noqa: BLE001  from clock, log or watch: the next pair must be worked on
                with contextlib.suppress(Exception):
                    self._unexpected(error)
            run.busy_since_ns = None

    def _take(self, run: _Run, pair: Pair[Frame], paired_ns: int) -> None:
        """Work on a pair that was waiting since ``paired_ns``."""
        if not self._enabled:
            self._statistics.drop("superseded")
            return
        run.busy_since_ns = started_ns = self._now_ns()
        outcome: Output | PairRefusedError | None
        try:
            outcome = self._run(run, pair, paired_ns, wait_ms=1e-6 * (started_ns - paired_ns))
        except PairRefusedError as refusal:
            outcome = refusal
            self._statistics.refuse(refusal.reason, str(refusal))
            self._notices(refusal.reason, str(refusal))
            self._trace(refusal)
        if outcome is None:
            return
        with self._watching:
            watch, self._watch = self._watch, None
        if watch is not None:
            watch(pair, outcome)

    def _run(self, run: _Run, pair: Pair[Frame], paired_ns: int, *, wait_ms: float) -> Output | None:
        """Process a pair and deliver its output; None if nobody waits for that any more."""
        output = self._processor.process(pair)
        if run.abandoned:
            self._statistics.drop("superseded")
            return None
        started_ns = self._now_ns()
        try:
            self._deliver(output)
            age_ms = 1e-6 * (self._stamp_clock_ns() - output.master.stamp_ns)
        except Exception as error:  # a failed delivery must cost this pair only; the cause is kept
            raise PairRefusedError("error", f"pair dropped, its outputs failed: {in_one_line(error)}") from error
        now_ns = self._now_ns()
        stage_ms = {
            "wait": wait_ms,
            **output.stage_ms,
            "publish": 1e-6 * (now_ns - started_ns),
            "total": 1e-6 * (now_ns - paired_ns),
        }
        self._statistics.done(age_ms=age_ms, stage_ms=stage_ms, now_ns=now_ns)
        return output
