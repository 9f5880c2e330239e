# SPDX-License-Identifier: Apache-2.0
"""`segmif replay --online`: a bag played to the node over DDS, and the report of how the node kept up.

This module starts processes and does sums; what speaks ROS is segmif_ros.trials.player, in a process of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segmif_ros.bag.reading import BagError, Topics, open_bag
from segmif_ros.bag.recorded_pairs import PairingFacts, moment_hash, no_pairs, pairs_of
from segmif_ros.evaluation.records import PairResult
from segmif_ros.evaluation.report import (
    ReportInput,
    build_report,
    data_hash,
)
from segmif_ros.evaluation.report_page import write_results
from segmif_ros.evaluation.report_types import Report, Timing
from segmif_ros.inference.weights import DEFAULT_WEIGHTS, resolve_weights, weights_hash
from segmif_ros.labels import FMB
from segmif_ros.reporting.errors import WorkFailedError
from segmif_ros.result_folder import ResultFolder
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.single_camera import Moment
from segmif_ros.trials.domains import local_environment, take_domain
from segmif_ros.trials.online_figures import facts_of, remarks_on, summarise, tables_of
from segmif_ros.trials.player import Measured, compressed_cameras
from segmif_ros.trials.processes import NODE, cpu_s, end_process, ros_arguments

PROG = "segmif replay --online"
NODE_COMMAND = NODE[1:]
_SAMPLE_S = 0.25


@dataclass(frozen=True, kw_only=True)
class OnlineConfig:
    """How to play and what to measure.

    Attributes:
        topics: Where the images are.
        pipeline: What the node pairs with; it gives the number of pairs in the bag.
        rate: Times the bag's own pace.
        loops: Passes over the bag.
        clock: Publish /clock, and have the node follow it.
        attach_s: Publish nothing and watch a running node for so long; None plays.
        own_node: Start the node (on a domain of its own) instead of using a running one.
        domain_id: That domain; None takes one that nobody on this machine uses.
        node_command: Python arguments of the node to start.
        node_parameters: ROS parameters of the node to start.
        pid: Process of a running node, for CPU and memory.
        wait_s: How long the node may take to be ready.
    """

    topics: Topics = field(default_factory=Topics)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    rate: float = 1.0
    loops: int = 1
    clock: bool = False
    attach_s: float | None = None
    own_node: bool = True
    domain_id: int | None = None
    node_command: tuple[str, ...] = NODE_COMMAND
    node_parameters: Mapping[str, Any] = field(default_factory=dict)
    pid: int | None = None
    wait_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.rate > 0 or self.loops < 1:
            raise BagError(f"rate {self.rate:g} and {self.loops} loops: a rate above 0 and 1 loop or more are needed")
        if self.domain_id is not None and not (self.own_node and 0 <= self.domain_id <= 232):
            raise BagError(f"domain {self.domain_id}: 0 to 232 for a node that is started; a running one has its own")


class ResourceWatch:
    """CPU time and resident memory of a process, sampled from /proc on a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._status = pid, Path(f"/proc/{pid}/statm")
        self.samples: list[tuple[float, float, float]] = []  # steady time s, CPU seconds, MiB
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resources", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            try:
                used_s = cpu_s(self._pid)
                memory = int(self._status.read_text().split()[1]) * page / 2**20
            except (OSError, IndexError):
                return  # the process has ended
            self.samples.append((time.monotonic(), used_s, memory))
            if self._ended.wait(_SAMPLE_S):
                return


def replay_online(path: Path, out: Path, config: OnlineConfig) -> Report:
    """Play one bag to the node and write report.json, timing.json and report.html.

    A node that gives no output is a report, too; without images there is none.

    Raises BagError if the bag can't be played, the node doesn't come up or ends, or, with ``attach_s``, no image comes.
    """
    if config.pid is not None and not Path(f"/proc/{config.pid}").exists():
        raise BagError(f"no process has the id {config.pid}: give the node's as --pid")
    facts = PairingFacts()
    contents: list[PairResult] = []
    with open_bag(path, config.topics) as bag:
        counts = dict(bag.counts)
        if config.attach_s is None:
            packed = {f"{name}_transport": "compressed" for name in compressed_cameras(path, config.topics)}
            if config.own_node:  # a running one has its own transports
                config = replace(config, node_parameters={**packed, **config.node_parameters})
            for pair in pairs_of(bag, config.pipeline, facts):
                contents.append({"key": f"{len(contents):06d}", "sha256": moment_hash(Moment.of(pair, 0)).hexdigest()})
            if not facts.pairs:
                raise no_pairs(bag, config.pipeline, facts)
    with ResultFolder(out, PROG):
        try:
            measured, resources = _measure(path, out, config)
            return _reported(path, out, config, counts, contents, facts, measured, resources)
        except OSError as error:
            raise BagError(f"{out}: {error.strerror or error}") from error


def _reported(
    path: Path,
    out: Path,
    config: OnlineConfig,
    counts: Mapping[str, int],
    contents: list[PairResult],
    facts: PairingFacts,
    measured: Measured,
    resources: list[tuple[float, float, float]],
) -> Report:
    """Write the report of what was measured."""
    offered = facts.pairs * config.loops if config.attach_s is None else len(measured["masters"])
    if not offered:
        topic = getattr(config.topics, config.pipeline.master)
        raise BagError(
            f"no image came on {topic} within {config.attach_s:g} s: start the player (`ros2 bag play`) before, "
            "on the same ROS_DOMAIN_ID"
        )
    online, series = summarise(measured, resources, offered)
    last = measured["diagnostics_last"]
    model = {"name": last.get("model", "unknown"), "sha256": _weights(config), "device": last.get("device", "unknown")}
    report = build_report(
        ReportInput(
            kind="online replay",
            data={"name": path.name, **{f"messages_{role}": count for role, count in counts.items()}},
            model=model,
            configuration={
                "rate": config.rate,
                "loops": config.loops,
                "clock": config.clock,
                "attach_s": config.attach_s,
                **{f"node_{name}": str(value) for name, value in config.node_parameters.items()},
            },
            label_set=FMB,
            records=[],
            notes=remarks_on(online),
            extra={"online": online, "tables": tables_of(online), "facts": facts_of(online)},
        )
    )
    # as an offline replay without ground truth names it; what another player offers can't be known
    report["header"]["data"]["sha256"] = data_hash(contents) if contents else "unknown"
    report["pairs"] = {"offered": offered, "processed": online["processed"], "failed": []}
    timing: Timing = {"machine": sys.platform, "workers": 1, "stage_ms": {}, "series": series}
    write_results(out, report, timing)
    return report


def _weights(config: OnlineConfig) -> str:
    """Return the hash of the weights of a node that we start; another's can't be known."""
    if not config.own_node or config.node_command != NODE_COMMAND:
        return "unknown"
    names = str(config.node_parameters.get("weights", DEFAULT_WEIGHTS)).split(",")
    return weights_hash(resolve_weights(names))


def _measure(path: Path, out: Path, config: OnlineConfig) -> tuple[Measured, list[tuple[float, float, float]]]:
    """Run the node and the player; return what the player measured, and the node's resources."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    if config.own_node:
        # this machine only, and away from whatever else runs on it, another online replay for one
        environment |= local_environment(take_domain() if config.domain_id is None else config.domain_id)
    file = out / "online.json"
    file.unlink(missing_ok=True)
    node = watch = player = None
    try:
        with (out / "node.log").open("w") as log:
            if config.own_node:
                node = subprocess.Popen(
                    [sys.executable, *config.node_command, *_ros_arguments(config)],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C reaches only us, and we end it in order
                )
            pid = node.pid if node else config.pid
            watch = ResourceWatch(pid) if pid else None
            player = subprocess.Popen(
                [sys.executable, "-m", "segmif_ros.trials.player", *_player_arguments(path, file, config)],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            stderr = _wait(player, lambda: _end_of_node(node, config.pid))
    finally:
        if watch:
            watch.stop()
        if player is not None:
            end_process(player, signal.SIGTERM)
        status = end_process(node, signal.SIGTERM) if node else 0
    if player.returncode or not file.is_file():
        lines = [line for line in stderr.splitlines() if line.strip()] or ["the player ended without a word"]
        about = f" (the node's log: {out / 'node.log'})" if config.own_node else ""
        raise WorkFailedError(f"{lines[-1].removeprefix('python -m segmif_ros.trials.player: ')}{about}")
    if status:
        raise WorkFailedError(f"the node ended with status {status} when it was stopped: see {out / 'node.log'}")
    return json.loads(file.read_text(encoding="utf-8")), watch.samples if watch else []


def _wait(player: subprocess.Popen[str], node_ended: Callable[[], str]) -> str:
    """Wait for the player's end and return its stderr; a node that ends before it is the line to say."""
    while True:
        try:
            return player.communicate(timeout=_SAMPLE_S)[1]
        except subprocess.TimeoutExpired:  # noqa: PERF203  # waiting is all this loop does
            if line := node_ended():
                end_process(player, signal.SIGTERM)
                return line


def _end_of_node(node: subprocess.Popen[bytes] | None, pid: int | None) -> str:
    """Return the line about a node that ended while it was measured; empty while it runs, or where nothing is known."""
    if node is not None:
        status = node.poll()
        return "" if status is None else f"the node ended by itself with status {status}"
    return f"the node, process {pid}, has ended" if pid is not None and not Path(f"/proc/{pid}").exists() else ""


def _ros_arguments(config: OnlineConfig) -> list[str]:
    given = dict(config.node_parameters)
    if config.clock:
        given["use_sim_time"] = True
    return ros_arguments(**given) if given else []


def _player_arguments(path: Path, file: Path, config: OnlineConfig) -> list[str]:
    arguments = [str(path), "--out", str(file), "--infrared-topic", config.topics.infrared]
    arguments += ["--rgb-topic", config.topics.rgb]
    arguments += ["--master", config.pipeline.master, "--rate", str(config.rate), "--loops", str(config.loops)]
    arguments += ["--wait", str(config.wait_s)]
    arguments += ["--clock"] if config.clock else []
    return [*arguments, "--attach", str(config.attach_s)] if config.attach_s is not None else arguments
