# SPDX-License-Identifier: Apache-2.0
"""`segmif predict`: fused images and labels of one's own pictures, as files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np

from segmif_ros.bag.node_options import follow_params_file, offline_pipeline_config
from segmif_ros.command_line import StoppedError, complain
from segmif_ros.data.image_files import DatasetError
from segmif_ros.evaluation import engine_options
from segmif_ros.evaluation.card.sheets import Gallery, SheetRow
from segmif_ros.evaluation.report import model_facts
from segmif_ros.predict.input_images import ImageError
from segmif_ros.predict.model import Model, Prediction
from segmif_ros.predict.predict_options import OUTPUTS, default_out
from segmif_ros.predict.predict_options import add_arguments as add_arguments
from segmif_ros.predict.sources import Item, PictureSource, open_source
from segmif_ros.reporting.journal import Journal, disk_error
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.result_folder import ResultFolder
from segmif_ros.stream.pipeline_config import PipelineConfig

PROG = "segmif predict"
SHEET = "sheet"
_IN_VIDEO = ("fused", "colours", "overlay", "confidence")  # ids don't survive a video's compression
_MOST_ROWS = 8  # of the sheet


class PairRecord(TypedDict, total=False):
    """One pair of a run.

    Attributes:
        key: Its name.
        error: Why there are no outputs.
        outputs: Those that were written.
        shares: Of the pixels, by class.
        stage_ms: Milliseconds by stage.
    """

    key: str
    error: str
    outputs: list[str]
    shares: dict[str, float]
    stage_ms: dict[str, float]


def predict(
    source: PictureSource,
    model: Model,
    config: PipelineConfig,
    out: Path,
    outputs: tuple[str, ...],
    *,
    settings: dict[str, Any] | None = None,
    fresh: bool = False,
    advance: Callable[[int], None] = lambda _count: None,
) -> list[PairRecord]:
    """Run every pair, and write the outputs to OUT/OUTPUT/NAME.png and a contact sheet of the first pairs.

    A pair that can't be read or processed costs itself. What is done is kept; the same call resumes it, and one
    that asks for other outputs adds them.

    Args:
        source: The pairs.
        model: Runs them.
        config: How images are prepared, for the run's identity.
        out: The folder.
        outputs: Some of `OUTPUTS`.
        settings: The engine's, for the run's identity.
        fresh: Forget what ``out`` holds.
        advance: Called with the number of pairs that were just finished.

    Returns:
        A record of each pair, in their order: "key", and "error" or "outputs" that are there, "shares" of the classes
        and "stage_ms".

    Raises:
        EvaluationError: The folder holds another run, or can't be written.
        FolderError: The folder isn't ours.
    """
    identity = {
        "source": {"kind": source.kind, "where": list(source.where)},
        "model": model_facts(model.engine),
        "configuration": {**(settings or {}), "preparation": asdict(config)},
    }
    gallery = Gallery(model.label_set)
    records: list[PairRecord] = []
    with ResultFolder(out, PROG):
        journal: Journal[PairRecord] = Journal(out, identity, fresh=fresh)
        there = {key: set(journal.records[key]["outputs"]) for key in journal.done}
        try:
            for index, item in enumerate(source.items()):
                in_sheet = index < _MOST_ROWS
                before = there.get(item.name, set())
                done = before >= set(outputs)
                if done and not in_sheet:
                    record = journal.records[item.name]
                else:
                    wanted = tuple(each for each in OUTPUTS if each in {*outputs, *before})
                    record, made = _one(model, item, out, wanted)
                    if not done:
                        journal.add(record)
                    if made is not None and in_sheet:
                        gallery.show(SHEET, _row(item.name, made))
                records.append(record)
                advance(1)
            gallery.write(out)
            if source.rate_hz:
                for output in (each for each in outputs if each in _IN_VIDEO):
                    _write_video(out, output, source.rate_hz, [each["key"] for each in records])
        except OSError as error:
            raise disk_error(out, error) from error
        finally:
            journal.close()
    return records


def _one(model: Model, item: Item, out: Path, outputs: tuple[str, ...]) -> tuple[PairRecord, Prediction | None]:
    try:
        infrared, rgb = item.load()
        # read by us, so its order of channels is known
        made = model.predict(infrared, rgb[..., ::-1], bgr=True, stamp_s=item.stamp_s)
    except (DatasetError, ImageError) as error:
        return {"key": item.name, "error": str(error)}, None
    made.save(out, item.name, outputs)
    shares = {name: round(share, 4) for name, share in made.shares().items()}
    record: PairRecord = {"key": item.name, "outputs": list(outputs), "shares": shares, "stage_ms": dict(made.stage_ms)}
    return record, made


def _row(name: str, made: Prediction) -> SheetRow:
    return SheetRow(caption=f"pair {name}", infrared=made.infrared, rgb=made.rgb, fused=made.fused, labels=made.labels)


def _write_video(out: Path, output: str, rate_hz: float, names: list[str]) -> None:
    """Put the frames of one output into OUT/OUTPUT.mp4."""
    writer: cv2.VideoWriter | None = None
    for path in (out / output / f"{name}.png" for name in names):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if image is None:
            continue
        if writer is None:
            size = image.shape[1], image.shape[0]
            writer = cv2.VideoWriter(str(out / f"{output}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), rate_hz, size)
        writer.write(np.asarray(image, np.uint8))
    if writer is not None:
        writer.release()


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif predict`; return 1 if some pairs failed, else 0."""
    source = open_source(arguments.infrared, arguments.rgb)
    config = offline_pipeline_config(follow_params_file(arguments))
    settings = engine_options.engine_settings(arguments)
    model = Model(engine_options.engine_factory(arguments)(), config)
    for line in source.notes:
        complain(PROG, line)
    outputs = tuple(dict.fromkeys(arguments.save))
    out = arguments.out or default_out(arguments.infrared)
    try:
        with progress_bar("predict", source.count) as advance:
            records = predict(
                source, model, config, out, outputs,
                settings=settings, fresh=arguments.fresh, advance=advance,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; the same command resumes what {out} holds") from None
    failed = [each for each in records if "error" in each]
    print(f"{len(records) - len(failed)} of {len(records)} pairs with {model}")
    if len(records) == 1 and not failed:
        print(", ".join(f"{name} {100 * share:.1f} %" for name, share in records[0]["shares"].items()))
    print(f"written: {', '.join(outputs)} in {out}, sheet {out / SHEET}.jpg")
    for each in failed[:5]:
        complain(PROG, f"{each['key']}: {each['error']}")
    return 1 if failed else 0
