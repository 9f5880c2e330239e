# SPDX-License-Identifier: Apache-2.0
"""Offline replay: every pair of a bag, in order, through the node's own pairing, gain and engine, without DDS.

What comes out depends on the bag, the weights and the configuration alone: two runs write the same bytes, also if one
of them was stopped and resumed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segmif_ros.arrays import Image
from segmif_ros.bag.grid_replay import GRID_FILE, GridReplay, GridReplayConfig, grid_section
from segmif_ros.bag.messages import IMAGE, SEMANTIC_MAP, image_message, semantic_map_message
from segmif_ros.bag.output_infos import OutputInfos, usable_info
from segmif_ros.bag.reading import Bag, BagError, Topics, label_map, open_bag
from segmif_ros.bag.recorded_pairs import PairingFacts, Recorded, moment_hash, moments_of, no_pairs
from segmif_ros.bag.replay_sections import joined, pairing_section, time_series
from segmif_ros.bag.spool import Spool
from segmif_ros.bag.writing import new_bag
from segmif_ros.evaluation.contents import MEMORY_FILE, contents_hash
from segmif_ros.evaluation.fusion_metrics import TEXTBOOK_METRICS
from segmif_ros.evaluation.records import PairResult, measure
from segmif_ros.evaluation.report import (
    EXTREMES,
    ReportInput,
    build_report,
    model_facts,
    timing,
)
from segmif_ros.evaluation.report_page import write_results
from segmif_ros.evaluation.report_types import Report
from segmif_ros.files import write_json
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.imaging.overlay import OverlayConfig, draw_overlay
from segmif_ros.inference.engine import EngineProtocol, EngineResult
from segmif_ros.labels import LabelSet
from segmif_ros.reporting.extremes import Extremes, drop_pictures, encode_layers, keep_pictures
from segmif_ros.reporting.journal import Journal, disk_error
from segmif_ros.result_folder import ResultFolder
from segmif_ros.rig.calibration_file import calibration_yaml
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Output, PairProcessor, PairRefusedError
from segmif_ros.stream.single_camera import Moment

PROG = "segmif replay"
OUTPUT_BAG = "outputs"
SPOOL_FILE = "outputs.spool"
FUSED, MASK, CONFIDENCE, OVERLAY, MAP = OUTPUT_TOPICS = (
    "/fused/image",
    "/segmentation/mask",
    "/segmentation/confidence",
    "/segmentation/overlay",
    "/segmentation/semantic_map",
)


_NESTED = ("gain", "calibration_file")  # of the pipeline's settings; a file is what it holds, wherever it lies


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """How to replay one bag.

    Attributes:
        topics: Where the images and the ground truth are.
        pipeline: The node's settings of pairing and gain.
        overlay_alpha: Weight of the colours in the overlay.
        metrics: Fusion metrics.
        settings: The engine's settings, for the report.
        outputs: Whether to write the bag of outputs.
        fresh: Forget what the folder of results holds.
        grid: How to make the planner's grid too, None for none; it goes into the bag of outputs.
    """

    topics: Topics = field(default_factory=Topics)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    overlay_alpha: float = OverlayConfig.alpha
    metrics: tuple[str, ...] = TEXTBOOK_METRICS
    settings: dict[str, str] = field(default_factory=dict)
    outputs: bool = True
    fresh: bool = False
    grid: GridReplayConfig | None = None

    def as_values(self) -> dict[str, Any]:
        """Return what the figures depend on, as JSON values."""
        calibration = calibration_yaml(self.pipeline.calibration()).encode() if self.pipeline.calibration_file else b""
        return {
            **self.settings,
            **{f"topic_{role}": topic for role, topic in asdict(self.topics).items()},
            **{name: value for name, value in asdict(self.pipeline).items() if name not in _NESTED},
            "calibration_sha256": hashlib.sha256(calibration).hexdigest() if calibration else "",
            **{f"gain_{name}": value for name, value in asdict(self.pipeline.gain).items()},
            "overlay_alpha": self.overlay_alpha,
            "fusion_metrics": list(self.metrics),
            "outputs": self.outputs,
            **(self.grid.as_values() if self.grid else {}),
        }


def replay(
    path: Path,
    out: Path,
    engine: EngineProtocol,
    config: ReplayConfig,
    advance: Callable[[int], None] = lambda _count: None,
) -> Report:
    """Replay one bag into a folder: outputs/ (a bag), report.json, timing.json, report.html.

    A pair that can't be processed is named in the report and costs itself; damage in the middle of the bag ends the
    replay there and is noted in the report. The same call resumes what the folder holds.

    Raises:
        BagError: If the bag can't be read, lacks a topic, or has no pair within the slop.
        EvaluationError: If the folder holds another run or can't be written.
    """
    with open_bag(path, config.topics) as bag, ResultFolder(out, PROG):
        found_truth = bag.index_truth() if config.topics.labels else 0
        try:
            run = _Replay(bag, out, engine, config)
            try:
                return run.finish(run.process(advance), found_truth)
            finally:
                run.close()
        except OSError as error:
            raise disk_error(out, error) from error


class _Skip:
    """An engine that does nothing, for pairs whose outputs are there already: the gain has to see them all the same."""

    def __init__(self, engine: EngineProtocol) -> None:
        self.label_set: LabelSet = engine.label_set
        self.model_name, self.model_hash = engine.model_name, engine.model_hash
        self.device_name, self.backend_name, self.precision = engine.device_name, engine.backend_name, engine.precision

    def warm_up(self, height: int, width: int) -> None:
        pass

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        return EngineResult(fused=rgb, labels=infrared, confidence=infrared)


class _Replay:
    def __init__(self, bag: Bag, out: Path, engine: EngineProtocol, config: ReplayConfig) -> None:
        self._bag, self._out, self._engine, self._config = bag, out, engine, config
        self._configuration = config.as_values()
        self._data = {"name": bag.path.name, **{f"messages_{role}": count for role, count in bag.counts.items()}}
        self._model = model_facts(engine)
        identity = {
            "kind": "replay",
            "data": {
                **self._data,
                "root": str(bag.path.resolve()),
                "contents": contents_hash(bag.files(), out / MEMORY_FILE),
            },
            "model": {**self._model, "classes": list(engine.label_set.names), "ignore_id": engine.label_set.ignore_id},
            "configuration": self._configuration,
        }
        # a run that was finished has its outputs in a bag and no spool; without either there is nothing to resume
        self._finished = (out / OUTPUT_BAG / "metadata.yaml").is_file() and not (out / SPOOL_FILE).is_file()
        lost = config.outputs and not self._finished and not (out / SPOOL_FILE).is_file()
        self._journal: Journal[PairResult] = Journal(out, identity, fresh=config.fresh or lost)
        self._finished = self._finished and bool(self._journal.records)
        done = list(self._journal.records.values())
        try:
            self._spool = Spool(out / SPOOL_FILE, done[-1]["spool_end"] if done and not self._finished else 0)
        except OSError as error:
            self._journal.close()
            raise disk_error(out, error) from error
        self._extremes = Extremes(EXTREMES)
        for record in done:
            self._extremes.offer(record["key"], record.get("score"))
        self._facts = PairingFacts()
        self._notes: list[str] = []
        self._processor = PairProcessor(
            engine,
            gain=ThermalGain(config.pipeline.gain),
            now_ns=time.perf_counter_ns,
            registration=config.pipeline.make_registration(),
            notice=lambda _kind, line: self._notes.append(line),
            decoding=config.pipeline.decoding(),
            temporal=config.pipeline.temporal_filter(),
            single_confidence=config.pipeline.single_confidence(),
        )
        self._started_s = time.monotonic()
        self._new = 0

    def close(self) -> None:
        self._journal.close()
        self._spool.close()

    def process(self, advance: Callable[[int], None]) -> list[PairResult]:
        """Return the records of all pairs, in order."""
        before = dict(self._journal.records)
        records = []
        # a filter has to see the labels of all frames again, the gain only the images
        again = self._engine if self._processor.temporal else _Skip(self._engine)
        for number, moment in enumerate(moments_of(self._bag, self._config.pipeline, self._facts)):
            key = f"{number:06d}"
            if key in before:
                self._processor.engine = again
                self._attempt(moment)
            else:
                self._finished = False
                self._processor.engine = self._engine
                record = self._record(key, moment)
                record["spool_end"] = self._spool.flush()
                self._journal.add(record)
                self._new += 1
            records.append(self._journal.records[key])
            advance(1)
        if not records:
            if self._bag.damage:
                raise BagError(f"{self._bag.path}: {self._bag.damage}; no pair came before that")
            raise no_pairs(self._bag, self._config.pipeline, self._facts)
        return records

    def finish(self, records: list[PairResult], found_truth: int) -> Report:
        """Write the bag of outputs and the report."""
        info, why = None, ""
        if self._config.outputs:
            info, why = usable_info(self._bag.camera_info(self._config.pipeline.master), records)
            if not self._finished:
                self._write_outputs(info)
        grid = grid_section(self._out) if self._config.grid else {}
        report = build_report(
            ReportInput(
                kind="replay",
                data=self._data,
                model=self._model,
                configuration=self._configuration,
                label_set=self._engine.label_set,
                records=records,
                notes=[*self._notes, *filter(None, [why]), *self._remarks(records, found_truth)],
                extra=joined(pairing_section(self._facts, records), grid),
            )
        )
        measured = timing(records, time.monotonic() - self._started_s, self._new, 1)
        measured["series"] = time_series(records)
        write_results(self._out, report, measured, self._engine.label_set)
        self._spool.close(remove=True)
        return report

    def _attempt(self, moment: Moment[Recorded]) -> Output | PairRefusedError:
        infrared, rgb = (None if each is None else each.frame() for each in (moment.infrared, moment.rgb))
        try:
            return self._processor.process(moment.holding(infrared, rgb))
        except PairRefusedError as refusal:
            return refusal

    def _record(self, key: str, moment: Moment[Recorded]) -> PairResult:
        digest = moment_hash(moment)
        about: PairResult = {
            "key": key, "lighting": "", "stamp_ns": _stamp_ns(moment), "offset_ns": moment.offset_ns,
            "alone": moment.cameras.single,
        }  # fmt: skip
        output = self._attempt(moment)
        if isinstance(output, PairRefusedError):
            return {**about, "error": str(output), "reason": output.reason}
        if self._config.outputs:
            recorded_ns = max(each.message.recorded_ns for each in (moment.infrared, moment.rgb) if each is not None)
            for topic, raw in enumerate(_messages(output, self._engine, self._config.overlay_alpha)):
                self._spool.add(topic, recorded_ns, raw)
        try:
            truth = self._truth(output, digest)
            record = measure(
                key=key,
                infrared=output.registered.infrared,
                rgb=output.registered.rgb,
                result=output.result,
                truth=truth,
                label_set=self._engine.label_set,
                metrics=() if moment.cameras.single else self._config.metrics,
            )
        except ValueError as error:  # the outputs are good, what they are measured against is not
            return {**about, "error": str(error), "reason": "measure"}
        self._picture(record, output, truth)
        return {**about, **record, "sha256": digest.hexdigest(), "stage_ms": output.stage_ms}

    def _truth(self, output: Output, digest: hashlib._Hash) -> Image | None:
        """Return the label map that belongs to the pair; ValueError if it doesn't fit it."""
        if not self._config.topics.labels:
            return None
        message = self._bag.truth_near(output.master.stamp_ns, self._config.pipeline.truth_slop_ns)
        if message is None:
            return None
        digest.update(message.raw)
        labels = label_map(message)
        made = output.result.labels
        if labels.shape != made.shape:
            sizes = [f"{each.shape[1]}x{each.shape[0]}" for each in (labels, made)]
            raise BagError(f"the ground truth is {sizes[0]} and the labels are {sizes[1]}: record both at one size")
        return labels

    def _picture(self, record: PairResult, output: Output, truth: Image | None) -> None:
        wanted, gone = self._extremes.offer(record["key"], record["score"])
        drop_pictures(self._out, filter(None, [gone]))
        if wanted:
            files = encode_layers(
                infrared=output.registered.infrared,
                rgb=output.registered.rgb,
                fused=output.result.fused,
                labels=output.result.labels,
                truth=truth,
                label_set=self._engine.label_set,
                confidence=output.result.confidence,
            )
            keep_pictures(self._out, record["key"], files)

    def _write_outputs(self, camera_info: dict[str, Any] | None) -> None:
        grid = GridReplay(self._bag, self._config.pipeline.master, self._config.grid) if self._config.grid else None
        with new_bag(self._out / OUTPUT_BAG, compress=True, overwrite=True) as bag:
            for topic in OUTPUT_TOPICS:
                bag.declare(topic, SEMANTIC_MAP if topic == MAP else IMAGE)
            infos = OutputInfos(bag, self._engine.label_set, camera_info)
            for index, recorded_ns, raw in self._spool:
                topic = OUTPUT_TOPICS[index]
                bag.write(topic, SEMANTIC_MAP if topic == MAP else IMAGE, recorded_ns, raw)
                infos.write(topic, recorded_ns, raw)
                if grid is not None and topic == MAP:
                    for each in grid.grids(raw):
                        bag.write(each.topic, each.message_type, recorded_ns, each.raw)
        if grid is not None:
            write_json(self._out / GRID_FILE, grid.figures())

    def _remarks(self, records: list[PairResult], found_truth: int) -> Iterator[str]:
        if self._bag.damage:
            yield f"The bag is damaged: {self._bag.damage}. The figures are of the part before that."
        if self._bag.unreadable:
            yield f"{self._bag.unreadable} messages had no readable header."
        if self._config.topics.labels:
            matched = sum(record.get("confusion") is not None for record in records)
            yield (
                f"Ground truth by stamp on {self._config.topics.labels}: {found_truth} label maps, {matched} of "
                f"{len(records)} pairs compared."
            )


def _stamp_ns(moment: Moment[Recorded]) -> int:
    recorded = moment.rgb or moment.infrared
    assert recorded is not None
    return recorded.stamp_ns


def _messages(output: Output, engine: EngineProtocol, alpha: float) -> Iterator[memoryview]:
    """Yield the serialized outputs, in the order of OUTPUT_TOPICS."""
    result, stamp_ns, frame_id = output.result, output.master.stamp_ns, output.master.frame_id
    overlay = draw_overlay(result.fused, result.labels, engine.label_set.palette, alpha=alpha)
    yield image_message(result.fused, "rgb8", stamp_ns, frame_id)
    yield image_message(result.labels, "mono8", stamp_ns, frame_id)
    yield image_message(result.confidence, "mono8", stamp_ns, frame_id)
    yield image_message(overlay, "rgb8", stamp_ns, frame_id)
    yield semantic_map_message(
        result,
        engine.label_set,
        stamp_ns=stamp_ns,
        frame_id=frame_id,
        pair_offset_s=1e-9 * output.offset_ns,
        model_name=engine.model_name,
        model_hash=engine.model_hash,
        cameras=output.cameras,
    )
