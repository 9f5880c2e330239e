# SPDX-License-Identifier: Apache-2.0
"""What an integrator must be told: inputs that don't come, QoS that doesn't match, stamps that don't pair.

Plain values in, one line out, so that every case is a test. A line is logged once when its condition begins, once when
it is cured, and stays in /diagnostics meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segmif_ros.stream.pairing import OffsetSummary

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.adaptive import BudgetState

# Images larger than this don't fit the shared-memory segment that Fast DDS has by default.
DEFAULT_SEGMENT_BYTES = 512 * 1024
_MIN_OFFSETS = 30  # pairs before their offset is judged
_MIN_MISSES = 20  # frames in a row without a partner before that is called a problem
_MIN_OFFSET_NS = 5_000_000
_PROFILE_HINT = (
    "if the camera's process runs Fast DDS without the profile of this package (config/fastdds.xml), frames of more "
    "than 512 KiB get lost on the way"
)


@dataclass(frozen=True, kw_only=True)
class InputFacts:
    """What is known of one input.

    Attributes:
        camera: "infrared" or "rgb".
        topic: Its full name.
        publishers: How many publishers of images there are on it.
        message_type: What is subscribed to.
        wrong_type: Message type of a publisher that sends something else; empty if there is none.
        other_transport: "raw" or "compressed" where the images come that way and not on ``topic``; else empty.
        incompatible: Why the QoS of a publisher doesn't match, in the middleware's words; empty if all match.
        silent_s: Seconds since the last frame, or since activation if there was none.
        received: Whether any frame came since activation.
        rate_hz: Of the frames received.
        frame_bytes: Size of the last frame.
        unstamped: Whether the last frame's stamp was 0.
    """

    camera: str
    topic: str
    publishers: int = 1
    message_type: str = "sensor_msgs/msg/Image"
    wrong_type: str = ""
    other_transport: str = ""
    incompatible: str = ""
    silent_s: float = 0.0
    received: bool = True
    rate_hz: float = 0.0
    frame_bytes: int = 0
    unstamped: bool = False


@dataclass(frozen=True)
class Problem:
    """Something to tell.

    Attributes:
        kind: The same for as long as it is the same problem.
        line: In words, with numbers that may change meanwhile.
    """

    kind: str
    line: str


def input_problem(facts: InputFacts, timeout_s: float) -> Problem | None:
    """Return what is wrong with an input, or None."""
    camera, topic = facts.camera, facts.topic
    if facts.silent_s <= timeout_s:
        if not facts.unstamped:
            return None
        return Problem(f"{camera} unstamped", f"{camera} frames on {topic} have no stamp (0): frames pair by stamp")
    if facts.publishers == 0 and facts.wrong_type:
        line = f"{camera}: {topic} carries {facts.wrong_type}, {facts.message_type} is needed"
        return Problem(f"{camera} type", line)
    if facts.publishers == 0 and facts.other_transport:
        line = f"{camera}: nobody publishes {topic}, but there is a {facts.other_transport} one: set {camera}_transport"
        return Problem(f"{camera} transport", line)
    if facts.publishers == 0:
        line = f"{camera}: nobody publishes {topic}; start the camera or remap {camera}/image_raw to its topic"
        return Problem(f"{camera} absent", line)
    if facts.incompatible:
        line = f"{camera}: the publisher of {topic} and this node don't match: {facts.incompatible}"
        return Problem(f"{camera} QoS", line)
    if not facts.received:
        return Problem(f"{camera} blocked", f"{camera}: {topic} has a publisher but no frame arrives; {_PROFILE_HINT}")
    return Problem(f"{camera} silent", f"{camera}: {topic} fell silent")


def starved_problem(facts: InputFacts, other: InputFacts) -> Problem | None:
    """Return the warning that most frames of one camera seem to get lost, or None."""
    large = facts.frame_bytes > DEFAULT_SEGMENT_BYTES
    if not (large and facts.received and other.rate_hz > 2 and facts.rate_hz < 0.25 * other.rate_hz):
        return None
    return Problem(
        f"{facts.camera} starved",
        f"{facts.camera}: few frames of {facts.topic} arrive beside {other.camera}'s, {facts.frame_bytes} bytes each; "
        f"{_PROFILE_HINT}",
    )


def pairing_problem(misses: OffsetSummary, slop_s: float) -> Problem | None:
    """Return why no pairs come about although frames do, or None."""
    if misses.count < _MIN_MISSES:
        return None
    gap_s = 1e-9 * misses.mean_ns
    if abs(gap_s) > 3600:
        line = "no pairs: infrared and RGB stamps are hours apart; the two cameras' clocks don't agree"
        return Problem("clocks", line)
    behind = "behind" if gap_s > 0 else "before"
    return Problem(
        "no pairs",
        f"no pairs: infrared stamps are {abs(gap_s):.3g} s {behind} the nearest RGB stamps, slop_s is {slop_s}; "
        "set time_offset_s if a driver stamps late, or raise slop_s",
    )


def offset_problem(offsets: OffsetSummary, slop_s: float, time_offset_s: float) -> Problem | None:
    """Return the warning that the pairs' offset is large and steady, as a driver that stamps arrival makes it."""
    mean_ns = abs(offsets.mean_ns)
    large = mean_ns >= max(_MIN_OFFSET_NS, 0.25e9 * slop_s)
    if offsets.count < _MIN_OFFSETS or not large or offsets.deviation_ns > max(1e6, 0.2 * mean_ns):
        return None
    behind = "behind" if offsets.mean_ns > 0 else "before"
    return Problem(
        "offset",
        f"infrared stamps are steadily {1e-6 * mean_ns:.1f} ms {behind} RGB's: if a driver stamps arrival instead of "
        f"exposure, set time_offset_s to {time_offset_s + 1e-9 * offsets.mean_ns:.4f}",
    )


def budget_problems(state: BudgetState | None) -> list[Problem]:
    """Return that the network's image is smaller than it could be, and that even so the budget is exceeded."""
    if state is None:
        return []
    found = []
    now, full = (f"{width}x{height}" for height, width in (state.size, state.full_size))
    if state.size != state.full_size:
        found.append(Problem("smaller image", f"the network's image is {now} instead of {full}: {state.reason}"))
    elif state.on_trial:  # the same problem still, so that a size that is tried in vain isn't said each time
        found.append(Problem("smaller image", f"the network's image is {full} again, on trial: {state.reason}"))
    if state.exceeded:
        found.append(
            Problem(
                "budget exceeded",
                f"frames take {state.median_ms:.0f} ms with the smallest image, {now}, and frame_budget_ms is "
                f"{state.budget_ms:g}: take a faster backend, a lower precision or a smaller model, or raise it",
            )
        )
    return found


class Conditions:
    """The problems that hold now, and which began or ended since the last look."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    @property
    def lines(self) -> list[str]:
        """What holds now."""
        return list(self._lines.values())

    def update(self, problems: Iterable[Problem]) -> tuple[list[str], list[str]]:
        """Take the problems of this moment; return the lines of those that began and of those that ended."""
        lines = {each.kind: each.line for each in problems}
        began = [line for kind, line in lines.items() if kind not in self._lines]
        ended = [line for kind, line in self._lines.items() if kind not in lines]
        self._lines = lines
        return began, ended
