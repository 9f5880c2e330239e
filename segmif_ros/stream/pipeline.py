# SPDX-License-Identifier: Apache-2.0
"""From frames to delivered results: pair, keep the newest pair, process it on a worker thread, deliver.

Where one camera is silent or blind, the frames of the other one take the place of pairs
(`segmif_ros.stream.single_camera`).

A pair that can't be processed costs that pair: it is counted by reason and logged, and the next one is processed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from segmif_ros.arrays import Array
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.rig.registration_modes import AnyRegistration
from segmif_ros.stream.intake import Intake, MakePairer
from segmif_ros.stream.notices import Notices
from segmif_ros.stream.pairing import NearestStampPairer, OffsetSummary
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Clock, Frame, Output, PairProcessor, PairRefusedError, in_one_line
from segmif_ros.stream.single_camera import CameraReport, Moment
from segmif_ros.stream.slot import LatestSlot
from segmif_ros.stream.statistics import Progress, Snapshot, Statistics

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol
    from segmif_ros.stream.temporal import Turn


class Pipeline:
    """Pairs frames as they are offered and processes the newest pair on a worker thread.

    Args:
        config: How to pair and to prepare; see `configure`.
        engine: Anything that keeps `segmif_ros.inference.engine.EngineProtocol`.
        deliver: Called on the worker thread with every `Output`; an exception costs this pair.
        now_ns: A clock that never steps back, for durations.
        stamp_clock_ns: The clock that stamps are compared with, for the age.
        say: Takes lines for the log, at most one of a kind in ten seconds.
        trace: Takes every refusal with its cause, for debugging.
        unexpected: Takes an exception that only a defect can cause; the worker continues after it.
        registration: Brings both images to one view and size; None: the one of ``config``.
        make_pairer: Returns what pairs, from the slop in seconds, the queue size and the time offset in seconds.
        turn: Tells the temporal filter how the camera turned between two frames.
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
        registration: AnyRegistration | None = None,
        make_pairer: MakePairer = NearestStampPairer,
        turn: Turn | None = None,
    ) -> None:
        self._trace = trace
        self._turn = turn
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
            notice=self._notice,
            decoding=config.decoding(),
            temporal=config.temporal_filter(turn),
            single_confidence=config.single_confidence(),
        )
        self._statistics = Statistics()
        self._intake = Intake(config, make_pairer, now_ns, partial(self._statistics.stage, "health"))
        self._current = WorkRun()
        self._enabled = True
        self._watching = threading.Lock()
        self._watch: Callable[[Moment[Frame], Output | PairRefusedError], None] | None = None

    @property
    def enabled(self) -> bool:
        """Whether frames are paired and processed."""
        return self._enabled

    @property
    def stretched(self) -> str | None:
        """What is wrong with the proportions of the last pair's images, or None."""
        return self._processor.stretched

    def _notice(self, kind: str, line: str) -> None:
        if kind != "proportions":  # a condition that lasts: `stretched`
            self._notices.once(kind, line)

    def enable(self, on: bool) -> None:
        """Pair and process frames from now on, or only count them."""
        self._enabled = on
        self._statistics.begin(self._now_ns())
        self.reset()

    def replace_engine(self, engine: EngineProtocol) -> None:
        """Run another engine from the next pair on."""
        self._processor.engine = engine

    def replace_registration(self, registration: AnyRegistration) -> None:
        """Register so from the next pair on."""
        self._processor.registration = registration

    def watch_next(self, watch: Callable[[Moment[Frame], Output | PairRefusedError], None] | None) -> None:
        """Call ``watch`` on the worker's thread after the next pair was delivered or refused; None takes that back."""
        with self._watching:
            self._watch = watch

    def decode(self, moment: Moment[Frame]) -> dict[str, Array]:
        """Return what `segmif_ros.stream.processing.PairProcessor.decode` makes of a pair, or of one frame."""
        return self._processor.decode(moment)

    def start(self) -> None:
        """Start a worker; what was received before is forgotten.

        Where the last worker is still at a pair, the new one begins once that is done: an engine runs one at a time.
        """
        self.reset()
        self._processor.gain.reset()
        self._statistics.begin(self._now_ns())
        before, self._current = self._current, WorkRun()
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

    def configure(self, config: PipelineConfig, registration: AnyRegistration | None = None) -> None:
        """Change settings from the next pair on.

        Args:
            config: All settings.
            registration: None takes the one of ``config``.

        Raises:
            segmif_ros.rig.errors.CalibrationError, segmif_ros.rig.errors.RegistrationError: If there can't be one.
        """
        self._processor.registration = registration or config.make_registration()
        self._intake.configure(config)
        self._processor.decoding = config.decoding()
        self._processor.single_confidence = config.single_confidence()
        if config.temporal != self._config.temporal:
            self._processor.temporal = config.temporal_filter(self._turn)
        if config.gain != self._config.gain:
            self._processor.gain = ThermalGain(config.gain)
        self._config = config

    def reset(self) -> None:
        """Forget the frames that wait for a partner, as after a jump of the clock."""
        self._intake.reset()

    def offer_infrared(self, frame: Frame) -> None:
        """Take an infrared frame; returns at once."""
        self._offer("infrared", frame)

    def offer_rgb(self, frame: Frame) -> None:
        """Take an RGB frame; returns at once."""
        self._offer("rgb", frame)

    def advance(self) -> None:
        """Look at the clock: a camera that is silent for ``single_camera_after_s`` isn't waited for."""
        if self._enabled:
            self._put(self._intake.advance())

    def _offer(self, camera: str, frame: Frame) -> None:
        self._statistics.frame(camera)
        if self._enabled:
            self._put(self._intake.take(camera, frame))

    def snapshot(self) -> Snapshot:
        """Return the statistics now."""
        return self._statistics.snapshot(self._now_ns(), self._intake.drops)

    def progress(self) -> Progress:
        """Return how the work gets on."""
        now_ns, run = self._now_ns(), self._current
        since_ns = run.busy_since_ns
        in_work_s = 0.0 if since_ns is None else 1e-9 * (now_ns - since_ns)
        return self._statistics.progress(now_ns, working=run.busy(), in_work_s=in_work_s)

    @property
    def offsets(self) -> OffsetSummary:
        """Stamp offsets of the latest pairs."""
        return self._intake.offsets

    @property
    def misses(self) -> OffsetSummary:
        """How far the nearest stamps were apart for the latest frames that found no partner in reach."""
        return self._intake.misses

    @property
    def delays(self) -> OffsetSummary:
        """How much later than their partners the latest frames came; see `NearestStampPairer.delays`."""
        return self._intake.delays

    @property
    def slop_s(self) -> float:
        """The slop in force, in seconds."""
        return self._intake.slop_s

    @property
    def cameras(self) -> CameraReport:
        """Which cameras results rest on now, and what the cameras are like."""
        return self._intake.cameras

    def _put(self, moments: list[Moment[Frame]]) -> None:
        for moment in moments:
            now_ns = self._now_ns()
            self._statistics.pair(now_ns, alone=moment.cameras.single)
            if self._current.slot.put((moment, now_ns)) is not None:
                self._statistics.drop("superseded")

    def _work(self, run: WorkRun, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        while (taken := run.slot.take()) is not None:
            try:
                self._take(run, *taken)
            except Exception as error:  # noqa: BLE001  from clock, log or watch: the next pair must be worked on
                with contextlib.suppress(Exception):
                    self._unexpected(error)
            run.busy_since_ns = None

    def _take(self, run: WorkRun, moment: Moment[Frame], paired_ns: int) -> None:
        """Work on a pair that was waiting since ``paired_ns``."""
        if not self._enabled:
            self._statistics.drop("superseded")
            return
        run.busy_since_ns = started_ns = self._now_ns()
        outcome: Output | PairRefusedError | None
        try:
            outcome = self._run(run, moment, paired_ns, wait_ms=1e-6 * (started_ns - paired_ns))
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
            watch(moment, outcome)

    def _run(self, run: WorkRun, moment: Moment[Frame], paired_ns: int, *, wait_ms: float) -> Output | None:
        """Process a pair and deliver its output; None if nobody waits for that any more."""
        output = self._processor.process(moment)
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


class WorkRun:
    """What belongs to one start of a pipeline: its newest pair, its worker, and the state of the work."""

    def __init__(self) -> None:
        self.slot: LatestSlot[tuple[Moment[Frame], int]] = LatestSlot()
        self.worker: threading.Thread | None = None
        self.abandoned = False  # what is still in work is not to be delivered any more
        self.busy_since_ns: int | None = None

    def busy(self) -> bool:
        """Whether the worker's thread is alive."""
        return self.worker is not None and self.worker.is_alive()
