# SPDX-License-Identifier: Apache-2.0
"""What happened in a pipeline: counts, rate, drops by reason, and percentiles over the latest pairs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

DROP_REASONS = ("late", "orphan", "surplus", "blind", "superseded", "undecodable", "uncalibrated", "size", "error")
PERCENTILES = (50, 95, 99)
_WINDOW = 512  # samples that percentiles are taken over: 17 s at 30 Hz
_RATE_WINDOW_NS = 5_000_000_000


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Percentiles and maximum of the latest samples; all 0 before there is one."""

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class SampleWindow:
    """The latest samples of one quantity."""

    def __init__(self, size: int = _WINDOW) -> None:
        self._samples: deque[float] = deque(maxlen=size)

    def add(self, sample: float) -> None:
        """Take a sample; the oldest one goes when the window is full."""
        self._samples.append(sample)

    def summary(self) -> Summary:
        """Return the summary of the window."""
        if not self._samples:
            return Summary()
        p50, p95, p99 = np.percentile(self._samples, PERCENTILES)
        return Summary(p50=float(p50), p95=float(p95), p99=float(p99), max=max(self._samples))


class RateMeter:
    """Events per second over the last five seconds."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque(maxlen=4096)

    def tick(self, now_ns: int) -> None:
        """Count an event."""
        self._times_ns.append(now_ns)

    def hz(self, now_ns: int) -> float:
        """Return the rate; it falls to 0 when events stop."""
        while self._times_ns and self._times_ns[0] < now_ns - _RATE_WINDOW_NS:
            self._times_ns.popleft()
        count = len(self._times_ns)
        if count < 2:
            return 0.0
        first_ns, last_ns = self._times_ns[0], self._times_ns[-1]
        interval_ns = (last_ns - first_ns) / (count - 1)
        # between events the rate doesn't sag; once one is overdue the silence counts
        span_ns = last_ns - first_ns if now_ns - last_ns < 2 * interval_ns else now_ns - first_ns
        return 1e9 * (count - 1) / span_ns if span_ns else 0.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The statistics at one moment; counts are totals since the start, summaries are over the latest pairs.

    Attributes:
        frames_infrared: Infrared frames received.
        frames_rgb: RGB frames received.
        pairs: Pairs formed.
        single_infrared: Frames that took the place of a pair while infrared was alone.
        single_rgb: The same while RGB was alone.
        processed: Pairs whose outputs were delivered.
        rate_hz: Of delivered outputs.
        dropped: Counts by reason (`DROP_REASONS`); late, orphan and surplus are frames, the others pairs.
        age_ms: Delivery minus the master frame's stamp.
        stage_ms: Time by stage.
    """

    frames_infrared: int = 0
    frames_rgb: int = 0
    pairs: int = 0
    single_infrared: int = 0
    single_rgb: int = 0
    processed: int = 0
    rate_hz: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)
    age_ms: Summary = field(default_factory=Summary)
    stage_ms: Mapping[str, Summary] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How the work gets on, to tell why nothing comes out.

    Attributes:
        working: Whether the worker's thread is alive.
        in_work_s: For how long the worker has been at its present pair; 0 while it waits for one.
        silent_s: Time since the last delivery; before the first one, since the start.
        pairs: Pairs formed since the last delivery.
        refused: Pairs refused since the last delivery.
        refusal: The line of the last refusal.
        pair_rate_hz: Of pairs formed.
        rate_hz: Of deliveries.
        usual_s: Median time from a pair to its delivery; 0 before the first.
    """

    working: bool = True
    in_work_s: float = 0.0
    silent_s: float = 0.0
    pairs: int = 0
    refused: int = 0
    refusal: str = ""
    pair_rate_hz: float = 0.0
    rate_hz: float = 0.0
    usual_s: float = 0.0


class Statistics:
    """Collects from the receiving and the working thread, and is read by a third."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames = {"infrared": 0, "rgb": 0}
        self._pairs = 0
        self._single = {"infrared": 0, "rgb": 0}
        self._processed = 0
        self._dropped = dict.fromkeys(DROP_REASONS, 0)
        self._rate = RateMeter()
        self._pair_rate = RateMeter()
        self._age_ms = SampleWindow()
        self._stage_ms: dict[str, SampleWindow] = {}
        self._since_ns = 0
        self._since = {"pairs": 0, "refused": 0}  # since the last delivery
        self._refusal = ""

    def begin(self, now_ns: int) -> None:
        """Count the silence from now on."""
        with self._lock:
            self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        self._since_ns = now_ns
        self._since = {"pairs": 0, "refused": 0}

    def frame(self, camera: str) -> None:
        """Count a frame of "infrared" or "rgb"."""
        with self._lock:
            self._frames[camera] += 1

    def pair(self, now_ns: int, *, alone: str = "") -> None:
        """Count a pair, or a frame of one camera alone.

        Args:
            now_ns: Steady time.
            alone: "infrared" or "rgb" for a frame without a partner; empty for a pair.
        """
        with self._lock:
            if alone:
                self._single[alone] += 1
            else:
                self._pairs += 1
            self._since["pairs"] += 1
            self._pair_rate.tick(now_ns)

    def stage(self, stage: str, each_ms: float) -> None:
        """Count the time of something that isn't done for each pair.

        Args:
            stage: Its name.
            each_ms: Milliseconds.
        """
        with self._lock:
            self._stage_ms.setdefault(stage, SampleWindow()).add(each_ms)

    def drop(self, reason: str) -> None:
        """Count a pair that was formed and not delivered, by one of `DROP_REASONS`."""
        with self._lock:
            self._dropped[reason] += 1

    def refuse(self, reason: str, line: str) -> None:
        """Count a pair that could not be processed.

        Args:
            reason: A short name, under which drops are counted.
            line: The reason in words.
        """
        with self._lock:
            self._dropped[reason] += 1
            self._since["refused"] += 1
            self._refusal = line

    def done(self, *, age_ms: float, stage_ms: Mapping[str, float], now_ns: int) -> None:
        """Count a pair that was delivered.

        Args:
            age_ms: From the stamp to the delivery, milliseconds.
            stage_ms: Milliseconds by stage.
            now_ns: Steady time.
        """
        with self._lock:
            self._processed += 1
            self._begin(now_ns)
            self._rate.tick(now_ns)
            self._age_ms.add(age_ms)
            for stage, each_ms in stage_ms.items():
                self._stage_ms.setdefault(stage, SampleWindow()).add(each_ms)

    def snapshot(self, now_ns: int, pairer_drops: Mapping[str, int] | None = None) -> Snapshot:
        """Return the statistics now.

        Args:
            now_ns: Steady time.
            pairer_drops: What the pairer counted; added to the drops.
        """
        with self._lock:
            return Snapshot(
                frames_infrared=self._frames["infrared"],
                frames_rgb=self._frames["rgb"],
                pairs=self._pairs,
                single_infrared=self._single["infrared"],
                single_rgb=self._single["rgb"],
                processed=self._processed,
                rate_hz=self._rate.hz(now_ns),
                dropped={reason: n + (pairer_drops or {}).get(reason, 0) for reason, n in self._dropped.items()},
                age_ms=self._age_ms.summary(),
                stage_ms={stage: window.summary() for stage, window in self._stage_ms.items()},
            )

    def progress(self, now_ns: int, *, working: bool, in_work_s: float) -> Progress:
        """Return how the work gets on.

        Args:
            now_ns: Steady time.
            working: Whether the worker is on a pair.
            in_work_s: For how long it has been on it.
        """
        with self._lock:
            total = self._stage_ms.get("total")
            return Progress(
                working=working,
                in_work_s=in_work_s,
                silent_s=1e-9 * (now_ns - self._since_ns),
                pairs=self._since["pairs"],
                refused=self._since["refused"],
                refusal=self._refusal,
                pair_rate_hz=self._pair_rate.hz(now_ns),
                rate_hz=self._rate.hz(now_ns),
                usual_s=1e-3 * total.summary().p50 if total else 0.0,
            )
