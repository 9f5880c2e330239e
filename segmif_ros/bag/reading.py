# SPDX-License-Identifier: Apache-2.0
"""Bags as two streams of frames, in the order of their stamps."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from segmif_ros.bag import limits
from segmif_ros.bag.messages import CAMERA_INFO, COMPRESSED, IMAGE, camera_info_of, header_of, image_of
from segmif_ros.bag.ros1 import Ros1Reader
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.imaging.encodings import EncodingError, view
from segmif_ros.stream.pairing import JUMP_BACK_NS
from segmif_ros.stream.processing import in_one_line, opened

limits.install()

AnyReader = Reader | Ros1Reader
INFRARED_TOPIC = "/infrared/image_raw"
RGB_TOPIC = "/rgb/image_raw"
# How long (by the bag's clock) a message is held back so that one with an earlier stamp can go first.
_HELD_BACK_NS = 2_000_000_000


class BagError(EvaluationError):
    """A bag that can't be read, or holds something else than was asked for; one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BagMessage:
    """One message as recorded.

    Attributes:
        role: "infrared", "rgb" or "labels".
        stamp_ns: Of its header.
        frame_id: Of its header.
        recorded_ns: When it was recorded, by the bag's clock.
        raw: Its bytes.
        message_type: Image or CompressedImage.
    """

    role: str
    stamp_ns: int
    frame_id: str
    recorded_ns: int
    raw: bytes
    message_type: str


@dataclass(frozen=True, kw_only=True)
class Topics:
    """Topic by role; labels None where there is no ground truth."""

    infrared: str = INFRARED_TOPIC
    rgb: str = RGB_TOPIC
    labels: str | None = None


@dataclass
class Bag:
    """An open bag; see `open_bag`.

    Attributes:
        path: Folder or file.
        counts: Messages by role, as in the bag's index.
        damage: Why reading ended early; empty if it didn't.
        unreadable: Messages whose header could not be read.
    """

    path: Path
    reader: AnyReader
    truth_reader: AnyReader  # of its own: a reader keeps one place in its file
    connections: dict[str, Connection]
    counts: dict[str, int]
    damage: str = ""
    unreadable: int = 0
    _truth: list[tuple[int, int]] = field(default_factory=list)  # stamp, recording time

    def files(self) -> list[Path]:
        """Return the files that the bag consists of, in the order of their names."""
        if self.path.is_file():
            return [self.path]
        return sorted(path for path in self.path.iterdir() if path.suffix in (".yaml", ".mcap", ".db3", ".zstd"))

    def frames(self) -> Iterator[BagMessage]:
        """Yield infrared and RGB messages in the order of their stamps.

        A stream whose stamps jump back (a loop, another recording) starts a new order there. Damage in the middle of
        the bag ends the iteration and is described in ``damage``.
        """
        return _in_order(self._read("infrared", "rgb"))

    def index_truth(self) -> int:
        """Look for the stamps of the label maps; return how many there are."""
        self._truth = sorted((message.stamp_ns, message.recorded_ns) for message in self._read("labels"))
        return len(self._truth)

    def truth_near(self, stamp_ns: int, slop_ns: int) -> BagMessage | None:
        """Return the label map whose stamp is nearest, if it is within the slop; after `index_truth`."""
        at = bisect.bisect_left(self._truth, (stamp_ns, 0))
        near = self._truth[max(0, at - 1) : at + 1]
        if not near:
            return None
        found_ns, recorded_ns = min(near, key=lambda each: abs(each[0] - stamp_ns))
        if abs(found_ns - stamp_ns) > slop_ns:
            return None
        # recording time is what bags are indexed by
        for message in self._read("labels", start=recorded_ns, stop=recorded_ns + 1):
            if message.stamp_ns == found_ns:
                return message
        return None

    def camera_info(self, role: str) -> dict[str, Any] | None:
        """Return the first readable CameraInfo beside a camera's image topic, as plain values; None without one.

        Messages that can't be read are counted in ``unreadable``.
        """
        base = _rooted(self.connections[role].topic).removesuffix("/compressed").rsplit("/", 1)[0]
        topic = f"{base}/camera_info"
        beside = [each for each in self.reader.connections if _rooted(each.topic) == topic]
        infos = [each for each in beside if each.msgtype == CAMERA_INFO]
        for _, _, raw in self._undamaged(self.reader, infos) if infos else ():
            try:
                return camera_info_of(raw)
            except ValueError:  # noqa: PERF203  # it is the first message, but for damaged ones
                self.unreadable += 1
        return None

    def _read(self, *roles: str, start: int | None = None, stop: int | None = None) -> Iterator[BagMessage]:
        wanted = {self.connections[role].topic: role for role in roles if role in self.connections}
        if not wanted:
            return
        connections = [self.connections[role] for role in roles if role in self.connections]
        reader = self.truth_reader if roles == ("labels",) else self.reader
        for connection, recorded_ns, raw in self._undamaged(reader, connections, start, stop):
            try:
                stamp_ns, frame_id = header_of(raw)
            except ValueError:
                self.unreadable += 1
                continue
            yield BagMessage(
                role=wanted[connection.topic],
                stamp_ns=stamp_ns,
                frame_id=frame_id,
                recorded_ns=recorded_ns,
                raw=raw,
                message_type=connection.msgtype,
            )

    def _undamaged(
        self, reader: AnyReader, connections: list[Connection], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield connection, recording time and bytes of messages, up to damage, which is described in ``damage``."""
        messages = reader.messages(connections, start, stop)
        while True:
            try:
                message = next(messages)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001  # parsers and databases raise many types on damage; it is reported
                self.damage = f"reading ended early: {in_one_line(error)}"
                return
            yield message


@contextmanager
def open_bag(path: Path, topics: Topics) -> Iterator[Bag]:
    """Open a rosbag2 folder, .mcap or .db3 file, or a .bag of ROS 1.

    Raises BagError if it isn't one, is damaged, lacks a topic (the message lists those that are there), or holds
    another type on it.
    """
    if not path.exists():
        raise BagError(f"{path}: no such bag")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        old = sorted(path.glob("*.bag"))
        advice = f"; {old[0].name} is a bag of ROS 1: give that file" if old else ""
        raise BagError(f"{path}: no metadata.yaml in it: give the bag's folder, or its .mcap or .db3 file{advice}")
    with ExitStack() as stack:
        reader, truth_reader = (_opened(path, stack) for _ in range(2))
        roles = {"infrared": topics.infrared, "rgb": topics.rgb}
        if topics.labels:
            roles["labels"] = topics.labels
        connections = {role: _connection(path, reader.connections, role, topic) for role, topic in roles.items()}
        counts = {role: connection.msgcount for role, connection in connections.items()}
        yield Bag(path=path, reader=reader, truth_reader=truth_reader, connections=connections, counts=counts)


def _opened(path: Path, stack: ExitStack) -> AnyReader:
    try:
        if path.is_dir():
            limits.require_metadata(path)
        reader: AnyReader = Ros1Reader(path) if _is_ros1(path) else Reader(path)
        reader.open()
    except Exception as error:
        raise BagError(f"{path}: not a readable bag: {in_one_line(error)}{_repair(path, error)}") from error
    stack.callback(reader.close)
    return reader


def _connection(path: Path, connections: Sequence[Connection], role: str, topic: str) -> Connection:
    """Return the connection of a topic, or of the compressed one beside it."""
    topic = _rooted(topic)
    for name in (topic, f"{topic}/compressed"):
        same = [each for each in connections if _rooted(each.topic) == name]
        images = [each for each in same if each.msgtype in (IMAGE, COMPRESSED)]
        if images:
            return images[0]
        if same:
            raise BagError(f"{path}: {role} topic {name} holds {same[0].msgtype}; {IMAGE} or {COMPRESSED} is needed")
    there = ", ".join(f"{each.topic} ({each.msgtype.rsplit('/', 1)[-1]})" for each in connections) or "none"
    raise BagError(f"{path}: no topic {topic} for {role}: name it with --{role}-topic; topics there: {there}")


def _rooted(topic: str) -> str:
    """Return a topic's name with its slash: some recorders leave it out, and ROS means the same."""
    return topic if topic.startswith("/") else f"/{topic}"


def _is_ros1(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(9) == b"#ROSBAG V"


def _repair(path: Path, error: Exception) -> str:
    """Return what can be done about a bag that can't be opened; empty where nothing is known."""
    files = [path] if path.is_file() else [*path.glob("*.mcap"), *path.glob("*.db3")]
    for file in files:
        with suppress(OSError), file.open("rb") as stream:
            if stream.read(23) == b"version https://git-lfs":
                return f" ({file.name} is a Git LFS pointer and not the recording: run `git lfs pull`)"
    if "serialization" in str(error).lower():
        return " (messages of ROS 2 are serialized as cdr; convert it with `ros2 bag convert`)"
    if path.suffix == ".bag":
        return " (a bag of ROS 1 that was cut off can be repaired: `rosbag reindex`)"
    return " (a recording that was cut off can be repaired: `mcap recover` for an mcap, `sqlite3 .recover` for a db3)"


def _in_order(messages: Iterator[BagMessage]) -> Iterator[BagMessage]:
    held: list[tuple[int, int, BagMessage]] = []  # stamp, number, message
    newest: dict[str, int] = {}
    for number, message in enumerate(messages):
        before_ns = newest.get(message.role)
        if before_ns is not None and message.stamp_ns < before_ns - JUMP_BACK_NS:
            while held:
                yield heapq.heappop(held)[2]
            newest.clear()
        newest[message.role] = max(message.stamp_ns, newest.get(message.role, message.stamp_ns))
        heapq.heappush(held, (message.stamp_ns, number, message))
        while held and (
            # each stream is past it already, or it has waited long enough for a stream that is silent
            (len(newest) > 1 and held[0][0] < min(newest.values()))
            or held[0][2].recorded_ns < message.recorded_ns - _HELD_BACK_NS
        ):
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def label_map(message: BagMessage) -> npt.NDArray[np.uint8]:
    """Return the class ids (H, W) uint8 of a ground truth message; BagError if it isn't mono8."""
    try:
        image = opened(image_of(message.raw, message.message_type))
        if image.encoding not in ("mono8", "8UC1"):
            raise BagError(f"the ground truth comes as '{image.encoding}': mono8, one class id a pixel, is needed")
        return np.asarray(view(image), np.uint8)
    except EncodingError as error:
        raise BagError(f"ground truth: {error}") from error
