# SPDX-License-Identifier: Apache-2.0
"""Pairing as message_filters does, for the parameter sync_policy.

What message_filters lacks is added: pairing continues after an exception and after a bag that loops, and what it drops
is counted. message_filters is imported only for one of its policies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

from builtin_interfaces.msg import Time

from segmif_ros.ros.messages import NS_PER_S
from segmif_ros.stream.pairing import (
    INITIAL_SLOP_S,
    JUMP_BACK_NS,
    OffsetSummary,
    Pair,
    Pairer,
    summary,
)
from segmif_ros.stream.processing import in_one_line

Item = TypeVar("Item")
PairerMaker = Callable[[float, int, float], Pairer[Any]]


def pairer_maker(policy: str, say: Callable[[str], None]) -> PairerMaker:
    """Return what makes the pairer of a policy of message_filters.

    Args:
        policy: "exact" or "approximate".
        say: Takes a line when message_filters itself fails.

    Raises:
        RuntimeError: If message_filters is needed and not installed; one line.
    """
    try:
        import message_filters
    except ImportError as error:
        raise RuntimeError(
            f"sync_policy '{policy}' needs message_filters, which is not installed ({error}): "
            "apt install ros-$ROS_DISTRO-message-filters brings it, or set sync_policy to nearest"
        ) from error

    def synchronizer(filters: list[Any], queue_size: int, slop_s: float) -> Any:
        # keywords: the positions of the last ones have changed between versions
        if policy == "exact":
            return message_filters.TimeSynchronizer(filters, queue_size=queue_size)
        return message_filters.ApproximateTimeSynchronizer(filters, queue_size=queue_size, slop=slop_s)

    def make(slop_s: float, queue_size: int, time_offset_s: float) -> Pairer[Any]:
        return SynchronizerPairer(
            message_filters.SimpleFilter, synchronizer, say, slop_s=slop_s, queue_size=queue_size,
            time_offset_s=time_offset_s,
        )  # fmt: skip

    return make


class SynchronizerPairer(Generic[Item]):
    """Pairs as a synchroniser of message_filters does; keeps `segmif_ros.stream.pairing.Pairer`. Not thread-safe.

    Args:
        make_filter: Returns an input: message_filters' SimpleFilter.
        make_synchronizer: Returns the synchroniser of two inputs, a queue size and a slop in seconds.
        say: Takes a line when the synchroniser raises.
        slop_s: Largest difference of the stamps of a pair; 0 takes 0.02 s, as nothing is derived here.
        queue_size: Frames of one stream that wait for a partner at most.
        time_offset_s: Taken off the infrared stamps before they are compared.
    """

    def __init__(
        self,
        make_filter: Callable[[], Any],
        make_synchronizer: Callable[[list[Any], int, float], Any],
        say: Callable[[str], None],
        *,
        slop_s: float,
        queue_size: int,
        time_offset_s: float = 0.0,
    ) -> None:
        self._make_filter = make_filter
        self._make_synchronizer = make_synchronizer
        self._say = say
        self._late = self._added = self._paired = 0
        self._pairs: list[Pair[Item]] = []
        self._offsets_ns: deque[int] = deque(maxlen=256)
        self.configure(slop_s, queue_size, time_offset_s)

    def configure(self, slop_s: float, queue_size: int, time_offset_s: float = 0.0) -> None:
        """Change the settings; pairing restarts.

        Args:
            slop_s: Largest difference of the stamps of a pair; 0 takes 0.02 s.
            queue_size: Frames of one stream that wait at most.
            time_offset_s: Taken off the infrared stamps.
        """
        self._slop_s, self._queue_size = slop_s or INITIAL_SLOP_S, queue_size
        self._time_offset_ns = round(time_offset_s * NS_PER_S)
        self.reset()

    def reset(self) -> None:
        """Forget all waiting frames (counted as orphans)."""
        self._newest_ns: list[int | None] = [None, None]
        self._inputs = [self._make_filter(), self._make_filter()]
        self._synchronizer = self._make_synchronizer(self._inputs, self._queue_size, self._slop_s)
        # only kept here: it calls back under a lock that an exception would leave locked for good
        self._synchronizer.registerCallback(self._keep)

    @property
    def drops(self) -> dict[str, int]:
        """Frames that got no partner: "late" came out of order, "orphan" is all that message_filters let go."""
        waiting = sum(map(len, self._synchronizer.queues))
        return {"late": self._late, "orphan": self._added - 2 * self._paired - waiting}

    @property
    def offsets(self) -> OffsetSummary:
        """Offsets of the last 256 pairs."""
        return summary(self._offsets_ns)

    @property
    def misses(self) -> OffsetSummary:
        """Nothing: message_filters doesn't tell."""
        return OffsetSummary()

    @property
    def delays(self) -> OffsetSummary:
        """Nothing: message_filters doesn't tell."""
        return OffsetSummary()

    @property
    def slop_s(self) -> float:
        """The slop in force, in seconds."""
        return self._slop_s

    def add_infrared(self, stamp_ns: int, item: Item) -> list[Pair[Item]]:
        """Take an infrared frame; return the pairs that it completes.

        Args:
            stamp_ns: As the driver set it.
            item: The frame.
        """
        return self._add(0, stamp_ns - self._time_offset_ns, item)

    def add_rgb(self, stamp_ns: int, item: Item) -> list[Pair[Item]]:
        """Take an RGB frame; return the pairs that it completes.

        Args:
            stamp_ns: As the driver set it.
            item: The frame.
        """
        return self._add(1, stamp_ns, item)

    def _add(self, stream: int, stamp_ns: int, item: Item) -> list[Pair[Item]]:
        newest_ns = self._newest_ns[stream]
        if newest_ns is not None and stamp_ns < newest_ns - JUMP_BACK_NS:
            self.reset()  # a bag that loops: queues full of frames from its end would starve all that follow
        elif stamp_ns < 0 or (newest_ns is not None and stamp_ns <= newest_ns):
            self._late += 1
            return []
        self._newest_ns[stream] = stamp_ns
        self._added += 1
        self._pairs = []
        try:
            stamp = Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)  # an offset may bring it out of range
            self._inputs[stream].signalMessage(
                SimpleNamespace(header=SimpleNamespace(stamp=stamp), stamp_ns=stamp_ns, item=item)
            )
        except Exception as error:  # noqa: BLE001  whatever it is, its lock would stay locked: restart, and say why
            self._say(f"message_filters failed, pairing restarts: {in_one_line(error)}")
            self.reset()
        return self._pairs

    def _keep(self, infrared: Any, rgb: Any) -> None:
        self._paired += 1
        offset_ns = infrared.stamp_ns - rgb.stamp_ns
        self._offsets_ns.append(offset_ns)
        self._pairs.append(Pair(infrared=infrared.item, rgb=rgb.item, offset_ns=offset_ns))
