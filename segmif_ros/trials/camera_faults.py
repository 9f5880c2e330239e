# SPDX-License-Identifier: Apache-2.0
"""Run rig and node with one camera fault after the other: how soon each is found, and what comes out meanwhile.

$ python -m segmif_ros.trials.camera_faults --minutes 60 --log out/faults.jsonl

Two processes over DDS and a listener. Each round has every fault once, with quiet between them. Rounds are appended to
the log, so the same command resumes where it was stopped. PASS, with status 0, if every fault was found within a
second, nothing was called a fault in between, and memory stayed flat in the second half of this run. Where the rig
itself paused, as on a busy machine, a camera that is called silent is no false alarm: such pauses are counted apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict, cast

from segmif_ros.command_line import run_module
from segmif_ros.reporting.errors import WorkFailedError
from segmif_ros.reporting.journal import resumed_lines
from segmif_ros.reporting.tables import Table, print_tables, wide_console
from segmif_ros.scenes.faults import Fault, parse_faults
from segmif_ros.settings import part, setting
from segmif_ros.settings.options import from_options
from segmif_ros.trials.live import NodeStatus, listen
from segmif_ros.trials.measuring import CameraSettings, WatchedNode, add_measuring_options, memory_mib, use_domain
from segmif_ros.trials.processes import RIG, ros_arguments, running
from segmif_ros.trials.soak import MemorySample, slope_mib_per_hour

LASTS_S, QUIET_S = 4.0, 4.0
BESIDE_S = 0.05  # after a frame at 10 Hz, so that jitter doesn't decide whether the fault has that frame
# in turn, infrared and RGB
KINDS = (
    *("infrared:silent", "rgb:silent", "infrared:freeze", "rgb:freeze", "infrared:flat", "rgb:flat"),
    *("infrared:shutter", "rgb:black", "infrared:white", "rgb:white", "infrared:stamp", "rgb:stamp"),
    *("infrared:fog", "rgb:fog", "rgb:glare"),
)
DEGRADED = ("fog", "glare")  # such a camera is still used
FOUND_WITHIN_S = 1.0
_SETTLED_S = 2.0  # after a fault, before a camera that isn't well is a false alarm
_PAUSE_S = 0.4  # without a frame: the node, whose limit is 0.5 s, may see it a little longer than the listener
_PAUSE_BEFORE_S = 1.5  # a camera is called silent so soon after the beginning of its pause


@dataclass(frozen=True, kw_only=True)
class FaultsConfig:
    """How long is watched, and what."""

    minutes: float = setting(2.0, "Minutes of rounds, those in the log included.", minimum=0.0)
    node: WatchedNode = part(
        WatchedNode, weights="segmif-rt", cameras=CameraSettings(width=320, height=240, rate_hz=10.0)
    )


@dataclass(frozen=True, kw_only=True)
class HealthReport:
    """One message on /diagnostics: when it came, in seconds from the rig's first frame, and its values."""

    time_s: float
    infrared: str
    rgb: str
    cameras: str

    def health(self, camera: str) -> str:
        """Return what a camera was like."""
        return self.infrared if camera == "infrared" else self.rgb


@dataclass
class Sightings:
    """What the listener saw; times in seconds from the rig's first frame."""

    looks: list[HealthReport] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)
    frames: dict[str, list[float]] = field(default_factory=lambda: {"infrared": [], "rgb": []})


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of one fault.

    Attributes:
        fault: As it was asked for.
        condition: What the camera was called first; empty if none was reported.
        found_s: How long after its beginning that was; None if never.
        masks: Masks that came while it lasted, from a second after its beginning.
        frames: Frames of the other camera in the same time.
        back_s: How long after its end both cameras were in use again; None if never.
    """

    fault: str
    condition: str
    found_s: float | None
    masks: int
    frames: int
    back_s: float | None


def one_of_each(kinds: Sequence[str] = KINDS, start_s: float = QUIET_S + BESIDE_S) -> tuple[Fault, ...]:
    """Return the faults of one round, each followed by quiet."""
    every_s = LASTS_S + QUIET_S
    return parse_faults(",".join(f"{each}@{start_s + i * every_s:g}s+{LASTS_S:g}s" for i, each in enumerate(kinds)))


def judged(fault: Fault, seen: Sightings) -> Found:
    """Return what became of a fault."""
    start, end = fault.start_s, fault.start_s + fault.duration_s
    other = "rgb" if fault.camera == "infrared" else "infrared"
    ill = next((each for each in seen.looks if start < each.time_s < end and each.health(fault.camera) != "ok"), None)
    back = next((each for each in seen.looks if each.time_s > end and each.cameras == "infrared+rgb"), None)
    return Found(
        fault=f"{fault.camera}:{fault.kind}",
        condition=ill.health(fault.camera) if ill else "",
        found_s=ill.time_s - start if ill else None,
        masks=sum(start + 1 <= each < end for each in seen.masks),
        frames=sum(start + 1 <= each < end for each in seen.frames[other]),
        back_s=back.time_s - end if back else None,
    )


def aligned(seen: Sightings, silent: Fault) -> Sightings:
    """Return what was seen on the rig's clock: the listener may have missed the rig's first frames.

    ``silent`` is a fault that the frames themselves show: it began half a frame period after the last one before it.
    """
    frames = seen.frames[silent.camera]
    gaps = [before for before, after in pairwise(frames) if after - before > 0.75 * silent.duration_s]
    if not gaps:
        return seen
    period_s = statistics.median(after - before for before, after in pairwise(frames))
    shift_s = silent.start_s - (gaps[0] + period_s / 2)
    return Sightings(
        looks=[replace(each, time_s=each.time_s + shift_s) for each in seen.looks],
        masks=[each + shift_s for each in seen.masks],
        frames={camera: [each + shift_s for each in times] for camera, times in seen.frames.items()},
    )


def alarms(faults: Sequence[Fault], seen: Sightings, from_s: float = 1.0) -> tuple[list[str], list[str]]:
    """Return the conditions reported of a camera without a fault, once for each time that one began.

    Args:
        faults: Of the round.
        seen: By the listener.
        from_s: Nothing before is judged.

    Returns:
        The false alarms, and the pauses: "silent" where no frame reached the listener either.
    """
    false: list[str] = []
    pauses: list[str] = []
    for camera in ("infrared", "rgb"):
        before = "ok"
        for look in seen.looks:
            now = look.health(camera)
            own = any(
                each.camera == camera and each.start_s <= look.time_s < each.start_s + each.duration_s + _SETTLED_S
                for each in faults
            )
            if now not in ("ok", before) and not own and look.time_s > from_s:
                paused = now == "silent" and _paused(seen.frames[camera], look.time_s)
                (pauses if paused else false).append(f"{camera} {now} at {look.time_s:.1f} s")
            before = "ok" if own else now
    return false, pauses


def _paused(frames: Sequence[float], time_s: float) -> bool:
    """Return whether a camera's frames paused shortly before a time, or began: between rounds there is no rig."""
    if not frames or time_s - frames[0] <= _PAUSE_BEFORE_S:
        return True
    near = [each for each in frames if time_s - _PAUSE_BEFORE_S <= each <= time_s]
    return max((after - before for before, after in pairwise([*near, time_s])), default=_PAUSE_S) >= _PAUSE_S


class Round(TypedDict):
    """One round, a line of the log.

    Attributes:
        seconds: How long it took.
        found: The values of a `Found` for each fault.
        false_alarms: In words.
        pauses: Of the rig itself, in words.
        memory_mib: Of the node.
    """

    seconds: float
    found: list[dict[str, Any]]
    false_alarms: list[str]
    pauses: list[str]
    memory_mib: float


def table(rounds: Sequence[Round]) -> Table:
    """Return what sums up rounds by fault."""
    lines = []
    for name in dict.fromkeys(str(each["fault"]) for one in rounds for each in one["found"]):
        rows = [Found(**each) for one in rounds for each in one["found"] if each["fault"] == name]
        times = [each.found_s for each in rows if each.found_s is not None]
        backs = [each.back_s for each in rows if each.back_s is not None]
        kept = sum(each.masks for each in rows) / max(1, sum(each.frames for each in rows))
        line = ", ".join(sorted({each.condition for each in rows if each.condition})) or "nothing"
        found = f"{statistics.median(times):.2f}, at most {max(times):.2f}" if times else "never"
        again = f"{statistics.median(backs):.2f}" if backs else "never"
        lines.append((name, f"{len(times)}/{len(rows)}", line, found, f"{100 * kept:.0f}%", again))
    columns = ("fault", "rounds", "called", "found after, s", "masks kept", "both again, s")
    return Table(title="", columns=columns, rows=tuple(lines))


def run(options: argparse.Namespace) -> int:
    """Run and watch; return the exit status."""
    config = from_options(options, FaultsConfig())
    use_domain(options.domain)
    rounds = cast("list[Round]", resumed_lines(options.log, "found")) if options.log else []
    done_s = sum(float(each["seconds"]) for each in rounds)
    if rounds:
        print(f"{options.log}: {len(rounds)} rounds, {done_s / 60:.1f} minutes done")
    node = config.node.command(0.1)
    memory: list[MemorySample] = []
    began = time.monotonic()
    first = True
    with running(node) as (node_process,):
        while first or done_s < 60 * config.minutes:
            first = False
            faults = one_of_each()
            length_s = faults[-1].start_s + LASTS_S + QUIET_S
            watched = _watch(config.node.cameras, faults, length_s)
            if watched is None or node_process.poll() is not None or not watched.masks:
                # a round that was cut short is no measurement: it isn't logged, and the next call repeats it
                raise WorkFailedError("rig or node ended within a round, or no mask came")
            seen = aligned(watched, faults[0])
            false, pauses = alarms(faults, seen)
            one: Round = {
                "seconds": length_s,
                "found": [asdict(judged(each, seen)) for each in faults],
                "false_alarms": false,
                "pauses": pauses,
                "memory_mib": memory_mib(node_process.pid),
            }
            rounds.append(one)
            done_s += length_s
            memory.append(
                MemorySample(
                    elapsed_s=time.monotonic() - began, memory_mib=one["memory_mib"], processed=len(seen.masks)
                )
            )
            if options.log:
                options.log.parent.mkdir(parents=True, exist_ok=True)
                with options.log.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(one) + "\n")
            line = f"{done_s / 60:6.1f} min  memory {one['memory_mib']:7.1f} MiB  false alarms {false}"
            print(line + (f"  pauses of the rig {pauses}" if pauses else ""), flush=True)
    passed, line = verdict(rounds, memory, config.node.limit_mib_per_hour)
    print_tables(wide_console(), [table(rounds)])
    print(line)
    return 0 if passed else 1


def verdict(rounds: Sequence[Round], memory: Sequence[MemorySample], limit_mib_per_hour: float) -> tuple[bool, str]:
    """Return whether the run passes, and why in one line."""
    late = [
        str(each["fault"]) for one in rounds for each in one["found"]
        if each["found_s"] is None or each["found_s"] > FOUND_WITHIN_S
    ]  # fmt: skip
    false = [alarm for one in rounds for alarm in one["false_alarms"]]
    pauses = sum(len(one.get("pauses", ())) for one in rounds)
    minutes = sum(one["seconds"] for one in rounds) / 60
    half = memory[len(memory) // 2 :]
    slope = slope_mib_per_hour(half)
    line = f"{len(rounds)} rounds, {minutes:.0f} minutes; later than {FOUND_WITHIN_S:g} s or never: {len(late)}"
    line += f" {sorted(set(late))}" if late else ""
    line += f"; false alarms: {len(false)} {false[:3] if false else ''}"
    line += f"; pauses of the rig: {pauses}" if pauses else ""
    flat = slope <= limit_mib_per_hour
    if len(half) >= 3:
        line += f"; memory {half[0].memory_mib:.1f} to {half[-1].memory_mib:.1f} MiB, {slope:+.1f} MiB/h"
    passed = not late and not false and flat
    return passed, f"{'PASS' if passed else 'FAIL'}: {line}"


def _watch(cameras: CameraSettings, faults: Sequence[Fault], length_s: float) -> Sightings | None:
    """Show one round to the node and listen; None if the rig ended before it was over."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.qos import qos_profile_sensor_data
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image

    seen, began = Sightings(), [0.0]

    def now_s() -> float:
        return time.monotonic() - began[0]

    def frame(camera: str) -> None:
        began[0] = began[0] or time.monotonic()
        seen.frames[camera].append(now_s())

    def look(status: NodeStatus) -> None:
        values = status.values
        if began[0] and "cameras" in values:
            seen.looks.append(
                HealthReport(
                    time_s=now_s(),
                    infrared=values["infrared_health"],
                    rgb=values["rgb_health"],
                    cameras=values["cameras"],
                )
            )

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # an interrupt ends with one line
    listener = Node("camera_faults")
    quality = qos_profile_sensor_data
    listener.create_subscription(Image, "infrared/image_raw", lambda _m: frame("infrared"), quality, raw=True)
    listener.create_subscription(Image, "rgb/image_raw", lambda _m: frame("rgb"), quality, raw=True)
    listener.create_subscription(Image, "segmentation/mask", lambda _m: seen.masks.append(now_s()), 10, raw=True)
    listen(listener, look)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    while listener.count_publishers("segmentation/mask") == 0:  # until the model is loaded
        executor.spin_once(timeout_sec=0.2)
    rig = [
        *RIG,
        *ros_arguments(
            rate_hz=cameras.rate_hz, jitter_s=0.002, width=cameras.width, height=cameras.height,
            lighting="day", scene_frames=1_000_000, loop_frames=60, faults=",".join(map(str, faults)),
        ),
    ]  # fmt: skip
    with running(rig) as (rig_process,):
        while (not began[0] or now_s() < length_s) and rig_process.poll() is None:
            executor.spin_once(timeout_sec=0.1)
        whole = rig_process.poll() is None
    executor.shutdown()
    listener.destroy_node()
    rclpy.shutdown()
    return seen if whole else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how long, and what is run."""
    parser.add_argument("--log", type=Path, metavar="FILE", help="append rounds to it, and resume what it holds")
    add_measuring_options(parser, FaultsConfig)


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.camera_faults", __doc__, add_arguments, run))
