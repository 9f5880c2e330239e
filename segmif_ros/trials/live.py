# SPDX-License-Identifier: Apache-2.0
"""A running node seen from outside: the one reader of /diagnostics, and the topics of the ROS graph.

`segmif status` prints it, `segmif view` shows it beside the pictures, and whatever measures a node counts with it. The
sums are plain functions of plain values; only `listen` and `Listener` speak ROS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segmif_ros.ros.health import likeliest_topics

PIPELINE = ": pipeline"  # what the node's status on /diagnostics is called after its name
LEVELS = ("OK", "WARN", "ERROR", "STALE")
IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
STALE_S = 5.0  # a status that is older is not of now


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """One message of a node on /diagnostics.

    Attributes:
        node: Its name with the namespace, without the leading slash.
        level: One of `LEVELS`.
        message: Problems, or the lifecycle state.
        values: Keys and values as the node gives them.
        heard_s: When it came, by a clock that never steps back.
    """

    node: str
    level: str
    message: str
    values: Mapping[str, str] = field(default_factory=dict)
    heard_s: float = 0.0

    def number(self, key: str) -> float | None:
        """Return a value as a number; None if it is missing or not one."""
        try:
            return float(self.values[key])
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, kw_only=True)
class NodeWork:
    """What a node did between two statuses.

    Attributes:
        first: Values at the beginning; empty for the node's own start.
        latest: Values at the end.
    """

    first: Mapping[str, str]
    latest: Mapping[str, str]

    def count(self, key: str) -> int:
        """Return by how much a counter grew."""
        return int(self.latest.get(key, 0)) - int(self.first.get(key, 0))

    def dropped(self) -> dict[str, int]:
        """Return counts by reason."""
        keys = [key for key in self.latest if key.startswith("dropped_")]
        return {key.removeprefix("dropped_"): self.count(key) for key in keys}

    def stage_ms(self) -> dict[str, dict[str, float]]:
        """Return percentiles by stage, in the order of the work."""
        stages: dict[str, dict[str, float]] = {}
        for key, value in self.latest.items():
            if key.startswith("stage_") and "_ms_" in key:
                stage, _, percentile = key.removeprefix("stage_").rpartition("_ms_")
                stages.setdefault(stage, {})[percentile] = float(value)
        return stages


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """A node now and before, for rates.

    Attributes:
        now: Its newest status.
        before: The oldest status that is kept; None while there is one alone.
    """

    now: NodeStatus
    before: NodeStatus | None = None

    def rate_hz(self, counter: str) -> float | None:
        """Return by how much a counter grows in a second; None while that is unknown."""
        if self.before is None:
            return None
        span_s = self.now.heard_s - self.before.heard_s
        last, first = self.now.number(counter), self.before.number(counter)
        if span_s <= 0 or last is None or first is None or last < first:
            return None
        return (last - first) / span_s


def screen(seen: Tracked, images: Sequence[str], now_s: float) -> list[str]:
    """Return the state of one node as lines for a terminal.

    Args:
        seen: The node.
        images: Image topics that somebody publishes.
        now_s: Now, by the clock of ``heard_s``.
    """
    now = seen.now
    problems = now.message.split("; ") if now.level != "OK" else []
    state = now.values.get("state", now.message if not problems else "")
    lines = [f"{now.node}  {now.level}  {state}".rstrip() + f"  ({now_s - now.heard_s:.1f} s ago)"]
    if now.values:
        lines += [f"  {name:9} {text}" for name, text in _rows(seen) if text]
    lines += [f"  problem   {each}" for each in problems]
    absent = [each for each in problems if "nobody publishes" in each]
    if absent:
        lines.append(f"  images    {', '.join(images) or 'nobody publishes an image topic'}")
        for each in absent:
            wanted = each.partition("nobody publishes ")[2].split(";")[0].split(",")[0]
            if near := likeliest_topics(wanted, images):
                lines.append(f"  hint      for {wanted} there is {' or '.join(near)}")
    return lines


def _rows(seen: Tracked) -> list[tuple[str, str]]:
    now = seen.now
    model = " ".join(filter(None, (now.values.get(key, "") for key in ("model", "device", "backend", "precision"))))
    inputs = []
    for camera in ("infrared", "rgb"):
        rate = seen.rate_hz(f"frames_{camera}")
        shown = "rate not known yet" if rate is None else f"{rate:.1f} Hz"
        topic = now.values.get(f"topic_{camera}", "")
        inputs.append((camera, f"{topic}  {shown}, {now.values.get(f'frames_{camera}', '?')} frames".strip()))
    dropped = NodeWork(first={}, latest=now.values).dropped()
    counted = ", ".join(f"{reason} {count}" for reason, count in dropped.items() if count)
    age = [(name, now.number(f"age_ms_{name}")) for name in ("p50", "p95", "p99")]
    ages = ", ".join(f"{name.upper()} {value:.0f} ms" for name, value in age if value is not None)
    pairs = f"{now.values.get('processed', '?')} of {now.values.get('pairs', '?')} processed"
    rate = now.number("rate_hz")
    return [
        ("model", model),
        *inputs,
        ("pairs", pairs + ("" if rate is None else f", {rate:.1f} a second")),
        ("dropped", counted or "nothing"),
        ("age", ages if now.number("processed") else "no result yet"),
    ]


def as_json(seen: Tracked, images: Sequence[str]) -> dict[str, Any]:
    """Return the state of one node as values for JSON."""
    now = seen.now
    rates = {camera: seen.rate_hz(f"frames_{camera}") for camera in ("infrared", "rgb")}
    return {
        "node": now.node,
        "level": now.level,
        "message": now.message,
        "input_rate_hz": rates,
        "values": dict(now.values),
        "image_topics": list(images),
    }


def statuses(message: Any, heard_s: float) -> list[NodeStatus]:
    """Return what a message on /diagnostics reports of our nodes, without the leading slashes of their names."""
    found = []
    for each in message.status:
        if each.name.endswith(PIPELINE):
            level = each.level[0] if isinstance(each.level, bytes) else int(each.level)
            found.append(
                NodeStatus(
                    node=each.name.removesuffix(PIPELINE),
                    level=LEVELS[min(level, len(LEVELS) - 1)],
                    message=each.message,
                    values={value.key: value.value for value in each.values},
                    heard_s=heard_s,
                )
            )
    return found


def listen(
    node: Any, take: Callable[[NodeStatus], object], name: str = "", now_s: Callable[[], float] = time.monotonic
) -> None:
    """Call ``take`` with every status on /diagnostics of the node called ``name``; of every node of ours without one.

    Args:
        node: An rclpy node, which its user spins.
        take: Called on the executor's thread.
        name: With the namespace, without the leading slash.
        now_s: A clock that never steps back.
    """
    from diagnostic_msgs.msg import DiagnosticArray

    def hear(message: Any) -> None:
        for each in statuses(message, now_s()):
            if not name or each.node == name:
                take(each)

    node.create_subscription(DiagnosticArray, "/diagnostics", hear, 10)


class Listener:
    """Hears /diagnostics and looks at the graph, on a node that its user spins.

    Args:
        node: An rclpy node.
        now_s: A clock that never steps back.
        kept: How many messages a rate is taken over at most.
    """

    def __init__(self, node: Any, now_s: Any, kept: int = 10) -> None:
        self._node = node
        self._now_s = now_s
        self._kept = kept
        self._heard: dict[str, list[NodeStatus]] = {}
        listen(node, self._hear, now_s=now_s)

    def seen(self) -> list[Tracked]:
        """Return what is known of each node that was heard of within `STALE_S`, by name."""
        now_s = self._now_s()
        fresh = {name: kept for name, kept in self._heard.items() if now_s - kept[-1].heard_s < STALE_S}
        return [Tracked(now=kept[-1], before=kept[0] if len(kept) > 1 else None) for _, kept in sorted(fresh.items())]

    def image_topics(self) -> list[str]:
        """Return the image topics that somebody publishes."""
        topics = self._node.get_topic_names_and_types()
        images = [name for name, types in topics if set(types) & set(IMAGE_TYPES)]
        return sorted(name for name in images if self._node.count_publishers(name))

    def _hear(self, status: NodeStatus) -> None:
        kept = self._heard.setdefault(status.node, [])
        kept.append(status)
        del kept[: -self._kept]
