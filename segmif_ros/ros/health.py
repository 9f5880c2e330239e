# SPDX-License-Identifier: Apache-2.0
"""What an integrator must know: inputs that don't come, QoS that doesn't match, stamps that don't pair.

Plain values in, one line out, so that every case is a test. A line is logged once when its condition begins, once when
it is cured, and stays in /diagnostics meanwhile. Advice is given only where the values measured lead to it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segmif_ros.ros.problems import Problem
from segmif_ros.stream.pairing import OffsetSummary
from segmif_ros.stream.stamps import Rhythm
from segmif_ros.stream.statistics import Progress

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.adaptive_size import BudgetState

# Images larger than this don't fit the shared-memory segment that Fast DDS has by default.
DEFAULT_SEGMENT_BYTES = 512 * 1024
_SHOWN_TOPICS = 4  # image topics in a line about one that is missing
_MIN_OFFSETS = 30  # pairs before their offset is judged
_MIN_MISSES = 20  # frames in a row without a partner before that is called a problem
_MIN_OFFSET_NS = 5_000_000
_MIN_INTERVALS = 10  # of stamps before they are judged
_LOST_SHARE = 0.75  # of the frames; what a small segment lets through is less than a tenth
_LOST_VARIATION = 0.4  # of the intervals of stamps: only frames that get lost make them vary so much
_REACH_S = 10.0  # what slop_s and time_offset_s can bridge at most
_FEW_HZ = 5.0
_OLD_S = 0.5
_MIN_REFUSED = 5
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
        image_topics: Other topics of that type that somebody publishes; asked for only where nobody publishes this one.
        wrong_type: Message type of a publisher that sends something else; empty if there is none.
        other_transport: "raw" or "compressed" where the images come that way and not on ``topic``; else empty.
        incompatible: Why the QoS of a publisher doesn't match, in the middleware's words; empty if all match.
        silent_s: Seconds since the last frame, or since activation if there was none.
        received: Whether any frame came since activation.
        rate_hz: Of the frames received.
        frame_bytes: Size of the last frame.
        unstamped: Whether the last frame's stamp was 0.
        rhythm: Of the stamps of the latest frames.
        lost_share: Known to be lost of the latest frames, 0 to 1; None where the middleware doesn't number messages.
        ahead_s: The last frame's stamp minus the node's clock as the frame arrived.
    """

    camera: str
    topic: str
    publishers: int = 1
    message_type: str = "sensor_msgs/msg/Image"
    image_topics: tuple[str, ...] = ()
    wrong_type: str = ""
    other_transport: str = ""
    incompatible: str = ""
    silent_s: float = 0.0
    received: bool = True
    rate_hz: float = 0.0
    frame_bytes: int = 0
    unstamped: bool = False
    rhythm: Rhythm = field(default_factory=Rhythm)
    lost_share: float | None = None
    ahead_s: float = 0.0


def likeliest_topics(topic: str, images: Sequence[str]) -> list[str]:
    """Return the image topics that could be meant by another name.

    Args:
        topic: The one that nobody publishes.
        images: All image topics.

    Returns:
        At most three, the likeliest first.
    """
    return difflib.get_close_matches(topic, [each for each in images if each != topic], n=3, cutoff=0.4)


def _published_instead(facts: InputFacts) -> str:
    """Return the end of a line: which image topics there are, those first that could be meant."""
    likely = likeliest_topics(facts.topic, facts.image_topics)
    shown = [*likely, *(each for each in facts.image_topics if each not in likely)][:_SHOWN_TOPICS]
    more = len(facts.image_topics) - len(shown)
    return f" (there is {', '.join(shown)}{f' and {more} more' if more > 0 else ''})" if shown else ""


def input_problem(facts: InputFacts, timeout_s: float) -> Problem | None:
    """Return what is wrong with an input, or None.

    Args:
        facts: What is known of the input.
        timeout_s: Silence for so long is a problem.
    """
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
        return Problem(f"{camera} absent", line + _published_instead(facts))
    if facts.incompatible:
        line = f"{camera}: the publisher of {topic} and this node don't match: {facts.incompatible}"
        return Problem(f"{camera} QoS", line)
    if not facts.received:
        return Problem(f"{camera} blocked", f"{camera}: {topic} has a publisher but no frame arrives; {_PROFILE_HINT}")
    return Problem(f"{camera} silent", f"{camera}: {topic} fell silent")


def stamps_problem(facts: InputFacts) -> Problem | None:
    """Return that the stamps of a camera stand still or jump back, or None."""
    camera, rhythm = facts.camera, facts.rhythm
    if facts.unstamped or rhythm.intervals < _MIN_INTERVALS:
        return None
    if rhythm.repeated > rhythm.intervals // 2:
        return Problem(
            f"{camera} stamps",
            f"{camera} stamps don't change: {rhythm.repeated} of the last {rhythm.intervals} frames on {facts.topic} "
            "have the stamp of the frame before, and only one frame of a stamp can pair; have the driver stamp each "
            "frame with its own time",
        )
    if rhythm.backward > rhythm.intervals // 6:
        return Problem(
            f"{camera} stamps",
            f"{camera} stamps jump back: {rhythm.backward} of the last {rhythm.intervals} frames on {facts.topic} are "
            "stamped before the frame before them; see whether two cameras publish it, or the driver's clock is set",
        )
    return None


def starved_problem(facts: InputFacts, other: InputFacts) -> Problem | None:
    """Return the warning that most frames of one camera get lost, or None.

    Where the middleware numbers its messages, gaps show it. Elsewhere it is likely where far fewer frames come than of
    the other camera, at uneven intervals: a camera that is only slow keeps time.

    Args:
        facts: What is known of the input.
        other: Of the other camera's.
    """
    if not facts.received or facts.frame_bytes <= DEFAULT_SEGMENT_BYTES:
        return None
    camera, topic, size = facts.camera, facts.topic, f"{facts.frame_bytes} bytes each"
    if facts.lost_share is not None:
        if facts.lost_share < _LOST_SHARE:
            return None
        line = f"{camera}: {facts.lost_share:.0%} of the frames of {topic} get lost on the way, {size}; {_PROFILE_HINT}"
        return Problem(f"{camera} starved", line)
    few = other.rate_hz > 2 and facts.rate_hz < 0.25 * other.rate_hz
    if not few or (facts.rhythm.intervals >= _MIN_INTERVALS and facts.rhythm.variation < _LOST_VARIATION):
        return None
    line = f"{camera}: few frames of {topic} arrive beside {other.camera}'s, at uneven intervals, {size}"
    return Problem(f"{camera} starved", f"{line}; {_PROFILE_HINT}")


def same_topic_problem(infrared: InputFacts, rgb: InputFacts) -> Problem | None:
    """Return that both inputs are one topic, or None.

    Args:
        infrared: What is known of the input.
        rgb: Likewise.
    """
    if infrared.topic != rgb.topic:
        return None
    line = f"infrared and RGB both come from {rgb.topic}: remap infrared/image_raw to the thermal camera's topic"
    return Problem("one topic", line, error=True)


def clock_problem(
    infrared: InputFacts, rgb: InputFacts, *, simulated: bool, clock_set: bool, tolerance_s: float = 10.0
) -> Problem | None:
    """Return that the frames' stamps and the node's clock don't belong together, or None.

    Args:
        infrared: One input.
        rgb: The other.
        simulated: Whether use_sim_time is true.
        clock_set: Whether the node's clock has a time at all.
        tolerance_s: How far stamps may be off the node's clock.
    """
    if simulated and not clock_set:
        line = "use_sim_time is true and nobody publishes /clock: play the bag with --clock, or set it to false"
        return Problem("no clock", line)
    aheads_s = infrared.ahead_s, rgb.ahead_s
    judged = infrared.received and rgb.received and not (infrared.unstamped or rgb.unstamped)
    if not judged or min(map(abs, aheads_s)) < tolerance_s or aheads_s[0] * aheads_s[1] < 0:
        return None
    ahead_s = rgb.ahead_s
    apart = f"{spoken_time(abs(ahead_s))} {'ahead of' if ahead_s > 0 else 'behind'} this node's clock"
    cure = (
        "use_sim_time is true, and these cameras don't follow /clock"
        if simulated
        else "play a bag with --clock and set use_sim_time, or have the drivers stamp with this machine's clock (PTP's "
        "time is 37 s ahead of UTC)"
    )
    return Problem("clock", f"stamps of both cameras are {apart}, so ages and tf lookups are wrong: {cure}")


def pairing_problem(misses: OffsetSummary, slop_s: float, time_offset_s: float = 0.0) -> Problem | None:
    """Return why no pairs come about although frames do, or None.

    Args:
        misses: Distances of the nearest stamps of frames without a partner.
        slop_s: In force.
        time_offset_s: In force.
    """
    if misses.count < _MIN_MISSES:
        return None
    gap_s, deviation_s = 1e-9 * misses.mean_ns, 1e-9 * misses.deviation_ns
    if abs(gap_s) > _REACH_S:
        return Problem(
            "clocks",
            f"no pairs: infrared and RGB stamps are {spoken_time(abs(gap_s))} apart, the two cameras' clocks don't "
            "agree: have both drivers stamp with one clock",
        )
    if deviation_s > 0.5 * abs(gap_s):
        return Problem(
            "no pairs",
            f"no pairs: the nearest stamps are up to {1e-9 * misses.max_ns:.3g} s apart, now before and now behind, "
            f"and slop_s is {slop_s:g}: the cameras run apart from each other; trigger them together, or raise slop_s",
        )
    behind = "behind" if gap_s > 0 else "before"
    return Problem(
        "no pairs",
        f"no pairs: infrared stamps are {abs(gap_s):.3g} s {behind} the nearest RGB stamps, slop_s is {slop_s:g}; "
        f"set time_offset_s to {time_offset_s + gap_s:.4g} if a driver stamps arrival, else trigger the cameras "
        "together or raise slop_s",
    )


def slop_line(slop_s: float, infrared: Rhythm, rgb: Rhythm) -> str:
    """Return the advice about a slop that pairs frames of different moments once a frame gets lost; empty for none.

    Args:
        slop_s: Largest difference of the stamps of a pair.
        infrared: How regularly its frames come.
        rgb: Likewise.
    """
    known = min(infrared.intervals, rgb.intervals) >= _MIN_INTERVALS
    period_s = max(infrared.period_s, rgb.period_s)
    if not known or slop_s <= 0.5 * period_s:
        return ""
    return (
        f"slop_s is {slop_s:g}, more than half the frame period of {period_s:.3g} s: where a frame gets lost, frames "
        "of different moments pair; set it to 0, which follows the cameras"
    )


def delay_problem(delays: OffsetSummary, queue_size: int, infrared: InputFacts, rgb: InputFacts) -> Problem | None:
    """Return that one camera's frames come so late that their partners don't wait for them any more, or None.

    Args:
        delays: By how much, positive for infrared; see `segmif_ros.stream.pairing.NearestStampPairer.delays`.
        queue_size: Frames that wait at most.
        infrared: For the period of its frames.
        rgb: The same.
    """
    if delays.count < _MIN_MISSES:
        return None
    late, waiting = (infrared, rgb) if delays.mean_ns > 0 else (rgb, infrared)
    delay_s, period_s = 1e-9 * abs(delays.mean_ns), waiting.rhythm.period_s
    needed = math.ceil(1e-9 * delays.max_ns / period_s) + 2 if period_s else 2 * queue_size
    return Problem(
        "late frames",
        f"no pairs: {late.camera} frames arrive {delay_s:.2g} s after {waiting.camera} frames of the same stamp, which "
        f"wait for queue_size {queue_size} frames only: set queue_size to {max(needed, queue_size + 1)}, or find what "
        f"delays {late.topic}",
    )


def output_problem(
    progress: Progress, sending_s: float, timeout_s: float, computer: str, others: Sequence[Problem]
) -> Problem | None:
    """Return that frames come and nothing goes out, with the cause that is known, or None.

    Args:
        progress: Of the pipeline.
        sending_s: For how long both cameras have been sending without a break.
        timeout_s: How long that may last before it is an error; three times the usual time of a pair at least.
        computer: What runs the network, for example "backend torch on cpu".
        others: Problems that hold as well: the first one explains why no pair was formed.
    """
    if not progress.working:
        line = "nothing goes out: the worker's thread has ended; deactivate and activate the node, or restart it"
        return Problem("no output", line, error=True)
    silent_s, limit_s = min(progress.silent_s, sending_s), max(timeout_s, 3 * progress.usual_s)
    overdue = silent_s >= limit_s
    if progress.in_work_s >= limit_s:
        cause = f"one pair is in work for {progress.in_work_s:.0f} s, {computer} compiles for its size or hangs"
    elif progress.refused >= (1 if overdue else _MIN_REFUSED):
        cause = f"every pair is refused, {progress.refused} so far, the last one: {progress.refusal}"
    elif not overdue:
        return None
    elif progress.pairs:
        cause = f"{progress.pairs} pairs were formed, and none is done"
    else:
        cause = f"no pair is formed: {others[0].line}" if others else "no pair is formed"
    lasting = f"nothing goes out for {silent_s:.0f} s although both cameras send" if overdue else "nothing goes out"
    return Problem("no output", f"{lasting}: {cause}", error=overdue)


def slow_problem(progress: Progress, help_: Sequence[str]) -> Problem | None:
    """Return that the machine is too slow for a robot, or None: few pairs are kept, or their results are old.

    Args:
        progress: Of the pipeline.
        help_: What would make it faster, as it is set up now.
    """
    # where pairs take longer than the rate looks back, it is 0
    rate_hz = progress.rate_hz or (1.0 / progress.usual_s if progress.usual_s and not progress.refused else 0.0)
    if not 0 < rate_hz < 0.5 * progress.pair_rate_hz or (rate_hz >= _FEW_HZ and progress.usual_s < _OLD_S):
        return None
    return Problem(
        "slow",
        f"this machine is too slow: it keeps {rate_hz:.1f} of {progress.pair_rate_hz:.0f} pairs a second, results are "
        f"{progress.usual_s:.1f} s old" + (f": {' or '.join(help_)} would help" if help_ else ""),
    )


def spoken_time(seconds: float) -> str:
    """Return a span as people say it: "37 s", "12 minutes", "5 hours", "412 days"."""
    for unit, size_s in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.3g} s"


def offset_problem(offsets: OffsetSummary, slop_s: float, time_offset_s: float) -> Problem | None:
    """Return the warning that the pairs' offset is large and steady, as a driver that stamps arrival makes it.

    Args:
        offsets: Of the latest pairs' stamps.
        slop_s: Largest difference of the stamps of a pair.
        time_offset_s: The one that is set.
    """
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
    elif state.on_trial:  # the same problem still, so that a size that is tried in vain isn't logged each time
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
