# SPDX-License-Identifier: Apache-2.0
"""Pairing of infrared and RGB frames by their stamps.

The nearest partner within the slop, each frame at most once, in the order of stamps. A pair is given out as soon as no
nearer partner can come: frames of one stream come in the order of their stamps, so an earlier frame than the newest
can't; a later one can't either if the shortest interval that this stream has shown lately puts it farther away. So two
cameras that are triggered together pair without any wait, and where two partners are possible the nearer one wins.

A slop of 0 is derived from the frame periods that the stamps show: half the longer one, where frames of two moments
would begin to pair, and at most three quarters of the shorter one, within which each slow frame has a fast one.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")

NS_PER_S = 1_000_000_000
# Stamps of one stream that step back by more than this mean another recording, a loop or a clock that was set: pairing
# restarts. A smaller step is a frame out of order, which is late.
JUMP_BACK_NS = 100_000_000
_INTERVALS = 10  # how many intervals of a stream are remembered
_ENOUGH_INTERVALS = 3  # before so many are known, the next frame is waited for
_FASTER = 0.75  # a period below this share of the other's: not every frame can have a partner
INITIAL_SLOP_S = 0.02  # of a derived slop, before the periods are known
LARGEST_SLOP_S = 0.05  # of a derived slop: what moves is elsewhere by then


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair(Generic[Item]):
    """Two frames that belong together.

    Attributes:
        infrared: The infrared frame.
        rgb: The RGB frame.
        offset_ns: Infrared stamp minus RGB stamp, after the time offset was taken off.
    """

    infrared: Item
    rgb: Item
    offset_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OffsetSummary:
    """Offsets of the last pairs, in nanoseconds: signed mean, largest magnitude, standard deviation."""

    count: int = 0
    mean_ns: float = 0.0
    max_ns: int = 0
    deviation_ns: float = 0.0


class Pairer(Protocol[Item]):
    """What a pipeline needs of whatever pairs; `NearestStampPairer` describes each member."""

    @property
    def drops(self) -> dict[str, int]: ...  # noqa: D102

    @property
    def offsets(self) -> OffsetSummary: ...  # noqa: D102

    @property
    def misses(self) -> OffsetSummary: ...  # noqa: D102

    @property
    def delays(self) -> OffsetSummary: ...  # noqa: D102

    @property
    def slop_s(self) -> float: ...  # noqa: D102

    def configure(self, slop_s: float, queue_size: int, time_offset_s: float = 0.0) -> None: ...  # noqa: D102

    def reset(self) -> None: ...  # noqa: D102

    def add_infrared(self, stamp_ns: int, item: Item) -> list[Pair[Item]]: ...  # noqa: D102

    def add_rgb(self, stamp_ns: int, item: Item) -> list[Pair[Item]]: ...  # noqa: D102


class _Verdict(Enum):
    """What becomes of the oldest waiting frames of both streams."""

    PAIR = auto()
    OUT_OF_REACH = auto()  # the earlier one has no partner within the slop
    OUTDONE = auto()  # the earlier one's only candidate has a nearer partner
    WAIT = auto()


@dataclass
class _Stream(Generic[Item]):
    """Frames of one camera that are not decided yet, and what is known of the decided ones."""

    waiting: deque[tuple[int, Item]] = field(default_factory=deque)
    newest_ns: int | None = None
    decided_ns: int | None = None
    given_up_ns: int | None = None  # the newest stamp that had to go because the queue was full
    intervals_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_INTERVALS))
    period_ns: int = 0  # median interval; 0 as long as it is not known

    def add(self, stamp_ns: int, item: Item) -> None:
        if self.newest_ns is not None:
            self.intervals_ns.append(stamp_ns - self.newest_ns)
            if len(self.intervals_ns) >= _ENOUGH_INTERVALS:
                self.period_ns = sorted(self.intervals_ns)[len(self.intervals_ns) // 2]
        self.newest_ns = stamp_ns
        self.waiting.append((stamp_ns, item))

    def clear(self) -> None:
        self.waiting.clear()
        self.intervals_ns.clear()
        self.newest_ns = self.decided_ns = self.given_up_ns = None

    def take(self) -> tuple[int, Item]:
        frame = self.waiting.popleft()
        self.decided_ns = frame[0]
        return frame

    @property
    def oldest_ns(self) -> int:
        return self.waiting[0][0]

    def next_distance_ns(self, stamp_ns: int) -> tuple[int, bool]:
        """How far from ``stamp_ns`` the frame behind the oldest one is, and whether it is here already.

        If it isn't, the distance is the smallest that the stream's rhythm leaves open.
        """
        if len(self.waiting) > 1:
            return abs(self.waiting[1][0] - stamp_ns), True
        if len(self.intervals_ns) < _ENOUGH_INTERVALS:
            return 0, False
        return max(0, self.oldest_ns + min(self.intervals_ns) - stamp_ns), False


class NearestStampPairer(Generic[Item]):
    """Pairs two streams; not thread-safe.

    Args:
        slop_s: Largest difference of the stamps of a pair; 0 derives it from the frame periods.
        queue_size: Frames of one stream that wait for a partner at most.
        time_offset_s: Taken off the infrared stamps before they are compared.

    Attributes:
        resets: How often pairing restarted.
    """

    def __init__(self, slop_s: float, queue_size: int, time_offset_s: float = 0.0) -> None:
        self._drops = {"late": 0, "orphan": 0, "surplus": 0}
        self.resets = 0
        self._infrared: _Stream[Item] = _Stream()
        self._rgb: _Stream[Item] = _Stream()
        self._offsets_ns: deque[int] = deque(maxlen=256)
        self._misses_ns: deque[int] = deque(maxlen=64)
        self._delays_ns: deque[int] = deque(maxlen=64)
        self._time_offset_ns = 0
        self.configure(slop_s, queue_size, time_offset_s)

    def configure(self, slop_s: float, queue_size: int, time_offset_s: float = 0.0) -> None:
        """Change the settings; with another time offset pairing restarts.

        Args:
            slop_s: Largest difference of the stamps of a pair; 0 derives it from the frame periods.
            queue_size: Frames of one stream that wait at most.
            time_offset_s: Taken off the infrared stamps.

        Raises:
            ValueError: If ``slop_s`` is negative, or ``queue_size`` below 1.
        """
        if slop_s < 0 or queue_size < 1:
            raise ValueError(f"slop_s {slop_s} must not be negative and queue_size {queue_size} must be at least 1")
        self._derive_slop = slop_s == 0
        self._slop_ns = round((slop_s or INITIAL_SLOP_S) * NS_PER_S)
        self._queue_size = queue_size
        time_offset_ns = round(time_offset_s * NS_PER_S)
        if time_offset_ns != self._time_offset_ns:
            self._time_offset_ns = time_offset_ns
            self.reset()
            self._offsets_ns.clear()
            self._misses_ns.clear()
            self._delays_ns.clear()

    def add_infrared(self, stamp_ns: int, item: Item) -> list[Pair[Item]]:
        """Take an infrared frame; return the pairs that are certain now, oldest first.

        Args:
            stamp_ns: As the driver set it.
            item: The frame.
        """
        return self._add(self._infrared, stamp_ns - self._time_offset_ns, item)

    def add_rgb(self, stamp_ns: int, item: Item) -> list[Pair[Item]]:
        """Take an RGB frame; return the pairs that are certain now, oldest first.

        Args:
            stamp_ns: As the driver set it.
            item: The frame.
        """
        return self._add(self._rgb, stamp_ns, item)

    def reset(self) -> None:
        """Forget all waiting frames (counted as orphans) and both streams' past; stamps may start anywhere."""
        self._drops["orphan"] += self.waiting
        self.resets += 1
        self._infrared.clear()
        self._rgb.clear()

    @property
    def drops(self) -> dict[str, int]:
        """Frames that got no partner, by reason.

        "orphan": none within the slop, or a nearer frame took it. "surplus": the same of the faster camera, which has
        more frames than the other has partners. "late": came after its partner had been given up, or out of order.
        """
        return dict(self._drops)

    @property
    def waiting(self) -> int:
        """Frames that wait for a partner, of both streams together."""
        return len(self._infrared.waiting) + len(self._rgb.waiting)

    @property
    def offsets(self) -> OffsetSummary:
        """Offsets of the last 256 pairs."""
        return summary(self._offsets_ns)

    @property
    def misses(self) -> OffsetSummary:
        """How far the nearest stamps were apart (infrared minus RGB) for the last 64 frames without any in reach.

        Frames since the last pair alone, and none whose partner was there but had to be given up: see `delays`.
        """
        return summary(self._misses_ns)

    @property
    def delays(self) -> OffsetSummary:
        """How much later than the other camera's frames the last 64 came whose partner had been given up by then.

        In time of stamps: positive where infrared comes later. Frames since the last pair alone.
        """
        return summary(self._delays_ns)

    @property
    def slop_s(self) -> float:
        """The slop in force, in seconds."""
        return self._slop_ns / NS_PER_S

    @property
    def periods_s(self) -> tuple[float, float]:
        """Frame periods of infrared and RGB, as their stamps show; 0 where they are not known."""
        return self._infrared.period_ns / NS_PER_S, self._rgb.period_ns / NS_PER_S

    def _add(self, stream: _Stream[Item], stamp_ns: int, item: Item) -> list[Pair[Item]]:
        if stream.newest_ns is not None and stamp_ns <= stream.newest_ns:
            if stamp_ns >= stream.newest_ns - JUMP_BACK_NS:
                self._drops["late"] += 1
                return []
            self.reset()
        stream.add(stamp_ns, item)
        if self._derive_slop:
            self._update_slop()
        pairs: list[Pair[Item]] = []
        while self._infrared.waiting and self._rgb.waiting:
            earlier, later = self._infrared, self._rgb
            if later.oldest_ns < earlier.oldest_ns:
                earlier, later = later, earlier
            verdict = self._verdict(earlier, later, crowded=len(stream.waiting) > self._queue_size)
            if verdict is _Verdict.WAIT:
                break
            if verdict is _Verdict.PAIR:
                pairs.append(self._take_pair())
            else:
                self._drop(earlier, later, verdict)
        while len(stream.waiting) > self._queue_size:
            stream.given_up_ns, _ = stream.take()
            self._drops["orphan"] += 1
        return pairs

    def _verdict(self, earlier: _Stream[Item], later: _Stream[Item], *, crowded: bool) -> _Verdict:
        """Decide on the oldest frames of both streams; ``crowded`` means that there is no room to wait."""
        gap_ns = later.oldest_ns - earlier.oldest_ns
        if gap_ns > self._slop_ns:
            return _Verdict.OUT_OF_REACH
        if gap_ns == 0:
            return _Verdict.PAIR
        # does a frame behind the earlier one come nearer to the later one?
        rival_ns, rival_is_here = earlier.next_distance_ns(later.oldest_ns)
        if rival_ns >= gap_ns:
            return _Verdict.PAIR
        if not rival_is_here:
            return _Verdict.PAIR if crowded else _Verdict.WAIT
        # it does, but it may have a still nearer partner of its own, and then the two oldest stay together
        rival_stamp_ns = earlier.waiting[1][0]
        if rival_stamp_ns <= later.oldest_ns:
            return _Verdict.OUTDONE
        partner_ns, partner_is_here = later.next_distance_ns(rival_stamp_ns)
        if partner_ns >= rival_ns:
            return _Verdict.OUTDONE
        if not partner_is_here:
            return _Verdict.OUTDONE if crowded else _Verdict.WAIT
        return _Verdict.PAIR

    def _update_slop(self) -> None:
        shorter, longer = sorted((self._infrared.period_ns, self._rgb.period_ns))
        if shorter:
            self._slop_ns = min(round(min(longer / 2, 0.75 * shorter)), round(LARGEST_SLOP_S * NS_PER_S))

    def _take_pair(self) -> Pair[Item]:
        infrared_ns, infrared = self._infrared.take()
        rgb_ns, rgb = self._rgb.take()
        self._offsets_ns.append(infrared_ns - rgb_ns)
        self._misses_ns.clear()
        self._delays_ns.clear()
        return Pair(infrared=infrared, rgb=rgb, offset_ns=infrared_ns - rgb_ns)

    def _drop(self, earlier: _Stream[Item], later: _Stream[Item], verdict: _Verdict) -> None:
        stamp_ns, _ = earlier.take()
        if later.given_up_ns is not None and stamp_ns <= later.given_up_ns + self._slop_ns:
            assert later.newest_ns is not None
            self._drops["late"] += 1
            delay_ns = later.newest_ns - stamp_ns
            self._delays_ns.append(delay_ns if earlier is self._infrared else -delay_ns)
            return
        # periods are 0 as long as they are not known
        self._drops["surplus" if 0 < earlier.period_ns < _FASTER * later.period_ns else "orphan"] += 1
        if verdict is _Verdict.OUT_OF_REACH:
            miss_ns = stamp_ns - later.oldest_ns
            if later.decided_ns is not None and stamp_ns - later.decided_ns < -miss_ns:
                miss_ns = stamp_ns - later.decided_ns
            self._misses_ns.append(miss_ns if earlier is self._infrared else -miss_ns)


def summary(offsets_ns: deque[int]) -> OffsetSummary:
    """Return the summary of offsets in nanoseconds."""
    if not offsets_ns:
        return OffsetSummary()
    return OffsetSummary(
        count=len(offsets_ns),
        mean_ns=statistics.fmean(offsets_ns),
        max_ns=max(map(abs, offsets_ns)),
        deviation_ns=statistics.pstdev(offsets_ns),
    )
