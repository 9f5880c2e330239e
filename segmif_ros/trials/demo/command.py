# SPDX-License-Identifier: Apache-2.0
"""The demo from start to report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from segmif_ros.bag.reading import BagError
from segmif_ros.bag.record_synthetic import LABELS_TOPIC
from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.inference.config import EngineConfig
from segmif_ros.inference.weights import FASTEST_WEIGHTS, parse_weights, resolve_weights
from segmif_ros.reporting.tables import print_tables, wide_console
from segmif_ros.result_folder import ResultFolder
from segmif_ros.ros.transport import profile_path, use_profile
from segmif_ros.scenes.faults import parse_faults
from segmif_ros.settings import setting
from segmif_ros.settings.options import add_options, from_options, given
from segmif_ros.trials.demo.demo_report import Figures, ShownMoment, figures, read_picture, tables, write_report
from segmif_ros.trials.demo.timeline import points
from segmif_ros.trials.domains import take_domain
from segmif_ros.trials.processes import END_S, Child, Children, DemoError, child_environment, ros_arguments
from segmif_ros.trials.samples import SampleEntry, WatchRecord

LIGHTINGS = ("cycle", "day", "dusk", "night")
_OF_THE_NODE = ("weights", "device", "backend", "precision", "calibration_pairs", "palette")  # options of the demo
_START_TIMEOUT_S = 120.0  # a large model on a slow disk
_FIRST_FRAME_TIMEOUT_S = 60.0  # a busy machine imports ROS and torch slowly
_FIRST_PICTURE_S = 20.0  # more than the recording time, where a slow node has delivered nothing yet
_WRITE_TIMEOUT_S = 60.0  # hundreds of pictures on a busy machine
_PROBE_S = 3.0
_RATE_HZ = 10.0
_HEADROOM = 0.7  # of the measured rate: the rig then takes a share of the processor too
_MAX_PICTURES = 250
_STREET_FRAMES = 15  # of one synthetic street, before the next one in another light


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What to show.

    Attributes:
        out: Folder that pictures, report.json and index.html are written to.
        pairs: Folder with infrared/ and visible/; None for the synthetic road.
        seconds: With ``pairs`` the longest, as it ends when every pair has been shown; 0 takes 15, with ``pairs`` 75.
        rate_hz: 0 takes 10, with ``pairs`` what the node was measured to hold.
        pictures: How many moments of the synthetic road become pictures.
        engine: Parameters of the node that choose its engine, by name; those left out keep their defaults.
        faults: Of the cameras, as `segmif_ros.scenes.faults` reads them; the page then shows a timeline.
        record_bag: Folder of a bag of what the cameras sent, with the labels of the synthetic road; None for none.
    """

    out: Path
    pairs: Path | None = None
    seconds: float = setting(0.0, "Recording time.", minimum=0.1)
    rate_hz: float = setting(0.0, "Pairs per second.", minimum=0.01)
    lighting: str = setting("cycle", "Light of the synthetic road; cycle: one after the other.", choices=LIGHTINGS)
    width: int = setting(640, "Columns and rows of the synthetic images.", minimum=16, maximum=8192)
    height: int = setting(480, "Rows of the synthetic images.", minimum=16, maximum=8192)
    pictures: int = 9
    engine: Mapping[str, str] = field(default_factory=dict)
    faults: str = ""
    record_bag: Path | None = None

    @property
    def time_s(self) -> float:
        """Recording time, with the default filled in."""
        return self.seconds or (75.0 if self.pairs else 15.0)


@dataclass
class _Seen:
    """What the recorder has reported."""

    state: str = ""
    diagnostics: bool = False
    inputs: int = 0
    outputs: int = 0
    samples: int = 0

    def take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "state":
                self.state = event["state"]
            case "diagnostics":
                self.diagnostics = True
            case "progress":
                self.inputs, self.outputs, self.samples = event["inputs"], event["outputs"], event["samples"]


@dataclass
class _Run:
    """What the parts of a run share."""

    config: DemoConfig
    group: Children
    say: Callable[[str], Any]
    node: Child


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif demo`."""
    add = parser.add_argument
    add("--pairs", type=Path, metavar="FOLDER", help="show the image pairs of FOLDER/infrared and FOLDER/visible")
    usual = {"seconds": "15, with --pairs at most 75", "rate_hz": "10, with --pairs as measured"}
    add_options(parser, DemoConfig, defaults=usual)
    add_options(parser, EngineConfig, _OF_THE_NODE)
    add(
        "--fault",
        action="append",
        default=[],
        metavar="CAMERA:KIND@START+DURATION",
        help="let a camera fail, for example infrared:freeze@5s+4s; the page shows the timeline",
    )
    add("--record-bag", type=Path, metavar="FOLDER", help="also record what the cameras sent, for segmif replay")
    add("--out", type=Path, default=Path("out/demo"), help="folder to write to (out/demo)")


def run(options: argparse.Namespace) -> int:
    """Run the demo; 0 if pairs were processed and every process ended well, else DemoError."""
    config = DemoConfig(
        out=options.out,
        pairs=options.pairs,
        engine=given(options, EngineConfig),
        faults=",".join(map(str, parse_faults(",".join(options.fault)))),
        record_bag=options.record_bag,
    )
    config = from_options(options, config)
    # SIGTERM as an exception, so that the children are ended on the way out
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    demo(config, wide_console())
    return 0


def demo(config: DemoConfig, console: Console) -> Figures:
    """Start the processes, record, end them, write the report and print its tables.

    Raises:
        DemoError: A process could not start, failed or did not end; or nothing was processed.
        DatasetError: ``config.pairs`` holds no image pairs.
        BagError: Something lies at ``config.record_bag``.
    """
    bag = config.record_bag
    if bag and bag.exists() and not (bag.is_dir() and not any(bag.iterdir())):
        raise BagError(f"{bag}: is there already: give --record-bag another name")
    pairs = PairFolder(config.pairs) if config.pairs else None
    if weights := config.engine.get("weights"):
        resolve_weights(parse_weights(weights))  # the node would say it, after a while and in its log
    with ResultFolder(config.out, "segmif demo"):
        return _demo(config, console, pairs)


def _demo(config: DemoConfig, console: Console, pairs: PairFolder | None) -> Figures:
    began = time.monotonic()
    logs = config.out / "logs"
    environment = child_environment(logs, take_domain())
    profile = use_profile(environment)
    with Children(environment, logs) as group, console.status("") as status:
        # where nothing can be drawn over, each step is a line of its own
        say = status.update if console.is_terminal else partial(console.print, highlight=False)
        run = _start(config, group, say)
        rate_hz = config.rate_hz or (_measured_rate(run) if pairs else _RATE_HZ)
        record_folder = _record(run, rate_hz, len(pairs) if pairs else 0)
        if (ended := run.node.stop()) != 0:
            raise DemoError(f"segmif_node ended with status {ended} after SIGINT{run.node.last_lines()}")
        say("writing pictures and page")
        record: WatchRecord = json.loads((record_folder / "record.json").read_text())
        found = figures(record)
        if not found.processed:
            raise DemoError(f"no pair was processed ({found.pairs} came in){run.node.last_lines()}")
        pictures = _pictures(record_folder, record, pairs)
        source = f"{len(pairs)} image pairs of {config.pairs}" if pairs else "a synthetic road"
        facts = _facts(config, record, rate_hz=rate_hz, source=source, fast_dds_profile=_profile_name(profile))
        lead = _lead(found, source, rate_hz, pairs, pictures) + _advice(found, rate_hz, facts)
        write_report(
            config.out,
            found,
            pictures,
            title="segmif_ros demo",
            lead=lead,
            notes=tuple((key.replace("_", " "), str(value)) for key, value in facts.items()),
            facts=facts,
            timeline=points(record["timeline"]) if config.faults else (),
        )
    shutil.rmtree(record_folder)
    print_tables(console, tables(found))
    console.print(lead, highlight=False, markup=False)
    page = config.out / "index.html"
    count = f"{len(pictures)} picture" + ("s" if len(pictures) != 1 else "")
    console.print(f"{count} and the page: open {page}", soft_wrap=True, highlight=False)
    if config.record_bag:
        one_camera = " --single-camera continue" if config.faults else ""
        labels = "" if pairs else f" --labels-topic {LABELS_TOPIC}"
        line = f"bag of the cameras: segmif replay {config.record_bag}{labels}{one_camera}"
        console.print(line, soft_wrap=True, highlight=False)
    console.print(f"{time.monotonic() - began:.0f} s in all", highlight=False)
    return found


# --- the processes ---------------------------------------------------------------------------------------------------


def _start(config: DemoConfig, group: Children, say: Callable[[str], Any]) -> _Run:
    """Start the node; its watcher waits until it is active."""
    values = dict(config.engine)
    if config.pairs is None:
        values |= {"warm_up_width": str(config.width), "warm_up_height": str(config.height)}
    if config.faults:
        values["diagnostics_period_s"] = "0.1"  # so that the timeline is fine
    say("starting segmif_node: loading and warming up the model")
    return _Run(config, group, say, group.start("segmif_node", _ros_command("run", values)))


def _active(run: _Run, recorder: Child, seen: _Seen) -> None:
    """Wait until the node is active and the recorder knows its counts."""
    needed = [run.node, recorder]
    run.group.wait_until(lambda: seen.state == "active", needed, _START_TIMEOUT_S, "segmif_node was not active")
    run.group.wait_until(lambda: seen.diagnostics, needed, _FIRST_FRAME_TIMEOUT_S, "no diagnostics of segmif_node came")


def _measured_rate(run: _Run) -> float:
    """Show pairs for a short time, faster than most processors can, and return the rate that the node holds."""
    seen = _Seen()
    recorder = _recorder(run, "probe", seen, run.config.out / "logs" / "probe")
    _active(run, recorder, seen)
    run.say("measuring the rate that the node holds")
    rig = _rig(run, "probe-rig", _RATE_HZ)
    needed = [run.node, recorder, rig]
    run.group.wait_until(lambda: seen.outputs > 0, needed, _START_TIMEOUT_S, "no fused image came")
    first, began = seen.outputs, time.monotonic()

    def enough() -> bool:  # for slow models at least three pairs, however long they take
        return seen.outputs >= first + 3 and time.monotonic() > began + _PROBE_S

    run.group.wait_until(enough, needed, _START_TIMEOUT_S, "fewer than three fused images came")
    rate_hz = (seen.outputs - first) / (time.monotonic() - began)
    _ended_well(rig)
    _ended_well(recorder)
    return _HEADROOM * min(rate_hz, _RATE_HZ)


def _record(run: _Run, rate_hz: float, pairs: int) -> Path:
    """Let the rig show everything while the recorder watches; return the recorder's folder."""
    config, seen = run.config, _Seen()
    choice = ["--samples", str(config.pictures), "--spread-over", str(config.time_s)]
    if pairs:
        choice = ["--samples", str(min(pairs, _MAX_PICTURES)), "--each-once"]
    folder = config.out / "record"
    # first, so that it listens when the rig begins
    bag = run.group.start("bag", _bag_command(config.record_bag)) if config.record_bag else None
    recorder = _recorder(run, "recorder", seen, folder, *choice)
    _active(run, recorder, seen)
    length = f"at most {config.time_s:.0f} s" if pairs else f"{config.time_s:.0f} s"
    run.say(f"recording: {'every pair once' if pairs else config.lighting}, {rate_hz:.1f} Hz, {length}")
    rig = _rig(run, "simulated_rig", rate_hz)
    needed = [rig, run.node, recorder, *([bag] if bag else [])]
    run.group.wait_until(lambda: seen.inputs > 0, needed, _FIRST_FRAME_TIMEOUT_S, "no image of simulated_rig came")
    end = time.monotonic() + config.time_s

    def over() -> bool:  # a slow machine gets more time for its first picture
        late_s = time.monotonic() - end
        return 0 < pairs <= seen.samples or late_s > (0 if seen.samples else _FIRST_PICTURE_S)

    limit_s = config.time_s + _FIRST_PICTURE_S + _FIRST_FRAME_TIMEOUT_S
    run.group.wait_until(over, needed, limit_s, "nothing was heard of the recorder")
    _ended_well(rig)
    run.say("writing the record")
    if bag:
        _ended_well(bag, _WRITE_TIMEOUT_S)
    _ended_well(recorder, _WRITE_TIMEOUT_S)
    return folder


def _recorder(run: _Run, name: str, seen: _Seen, folder: Path, *choice: str) -> Child:
    return run.group.start(name, ["-m", "segmif_ros.trials.watcher", "--out", str(folder), *choice], seen.take)


def _rig(run: _Run, name: str, rate_hz: float) -> Child:
    config = run.config
    values = {"rate_hz": f"{rate_hz:.3f}"}
    if config.pairs:
        values["pairs_folder"] = str(config.pairs.expanduser().resolve())
    else:
        values |= {"lighting": config.lighting, "width": str(config.width), "height": str(config.height)}
        # few frames, shown again and again: rendering would take the processor from the network
        values |= {"scene_frames": str(_STREET_FRAMES), "loop_frames": str(3 * _STREET_FRAMES)}
    if config.faults:
        values["faults"] = config.faults
    return run.group.start(name, _ros_command("rig", values))


def _bag_command(bag: Path) -> list[str]:
    return ["-m", "segmif_ros.cli", "record", str(bag.expanduser().resolve()), "--also", LABELS_TOPIC]


def _ros_command(command: str, parameters: Mapping[str, str]) -> list[str]:
    return ["-m", "segmif_ros.cli", command, *ros_arguments(**parameters)]


def _ended_well(child: Child, timeout_s: float = END_S) -> None:
    status = child.stop(timeout_s)
    if status != 0:
        raise DemoError(f"{child.name} ended with status {status} after SIGINT{child.last_lines()}")


# --- the report ------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, record: WatchRecord, pairs: PairFolder | None) -> list[ShownMoment]:
    names = _names(pairs) if pairs else {}
    first_ns = record["first_stamp_ns"]

    def title(sample: SampleEntry) -> str:
        if pairs:
            return names.get(sample["content"], "unnamed")
        return f"after {max(0.0, (sample['stamp_ns'] - first_ns) * 1e-9):.1f} s"

    samples = sorted(record["samples"], key=title) if pairs else record["samples"]
    return [read_picture(folder, each, number, title(each)) for number, each in enumerate(samples, start=1)]


def _names(pairs: PairFolder) -> dict[int, str]:
    """Return the names of the pairs by the checksum of their RGB image, by which the recorder tells them apart."""
    names = {}
    for index in range(min(len(pairs), _MAX_PICTURES)):
        try:
            pair = pairs.load(index)
        except DatasetError:
            continue
        names[zlib.crc32(pair.rgb.tobytes())] = pair.name
    return names


def _lead(
    found: Figures, source: str, rate_hz: float, pairs: PairFolder | None, pictures: Sequence[ShownMoment]
) -> str:
    line = (
        f"{source[0].upper()}{source[1:]} at {rate_hz:.1f} Hz: {found.processed} of {found.pairs} pairs were fused and "
        f"segmented, {found.rate_hz:.1f} a second."
    )
    if pairs and len(pictures) < min(len(pairs), _MAX_PICTURES):
        line += (
            f" {len(pictures)} of {len(pairs)} pairs were seen in the time given: "
            "take more --seconds to see all of them."
        )
    return line


def _profile_name(profile: str) -> str:
    """Return which Fast DDS profile is in force, without a path of this machine: the page may be passed on."""
    return "the package's" if Path(profile) == profile_path() else Path(profile).name


def _advice(found: Figures, rate_hz: float, facts: Mapping[str, Any]) -> str:
    """Return what helps where fewer than half of the pairs were processed; empty where the machine keeps up."""
    if found.rate_hz >= 0.5 * rate_hz:
        return ""
    options = [] if facts["model"].startswith(FASTEST_WEIGHTS) else [f"--weights {FASTEST_WEIGHTS}"]
    if facts["device"] == "cpu" and facts["backend"] == "torch":
        from segmif_ros.inference.backends import missing_packages  # torch comes with it

        missing = missing_packages("openvino")
        options += ["--backend openvino" + (" (pip install openvino)" if missing else "")]
    advice = f": try {' and '.join(options)}, and see" if options else "; advice is in"
    return f" This machine is too slow for that rate{advice} docs/tuning.md."


def _facts(config: DemoConfig, record: WatchRecord, **more: Any) -> dict[str, Any]:
    diagnostics = record["diagnostics"]
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        **more,
        "model": diagnostics.get("model", ""),
        **{name: diagnostics.get(name, "") for name in ("device", "backend", "precision")},
        "streaming_s": round(record["streaming_s"], 1),
        "size": "as they are" if config.pairs else f"{config.width} x {config.height}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }
