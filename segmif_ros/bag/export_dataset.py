# SPDX-License-Identifier: Apache-2.0
"""`segmif export-dataset`: registered, paired images of a bag in FMB's layout, ready for annotation and training.

OUT/{train,test}/{Infrared,Visible}/NNNNN.png    and, with a ground truth topic, Label/NNNNN.png
OUT/manifest.json                                where each pair is from, calibration, configuration, hashes
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Image
from segmif_ros.bag.node_options import (
    add_replay_arguments,
    expected_pairs,
    follow_params_file,
    offline_pipeline_config,
)
from segmif_ros.bag.reading import Bag, BagError, Topics, label_map, open_bag
from segmif_ros.bag.recorded_pairs import PairingFacts, Recorded, no_pairs, pairs_of
from segmif_ros.command_line import StoppedError, complain
from segmif_ros.evaluation.report import canonical_hash, software
from segmif_ros.files import write_json
from segmif_ros.imaging.encodings import EncodingError, to_infrared, to_rgb
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.reporting.journal import disk_error
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.result_folder import ResultFolder
from segmif_ros.rig.errors import RegistrationError
from segmif_ros.stream.pairing import Pair
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import opened

PROG = "segmif export-dataset"
MANIFEST_FILE = "manifest.json"
_THUMBNAIL = (32, 24)  # what a change of scene is judged on


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What to export.

    Attributes:
        topics: Where the images and, if there is any, the ground truth are.
        pipeline: The node's settings of pairing and gain.
        every: Take every n-th pair.
        scene_change: Take only pairs whose RGB image differs from the last one taken by this mean grey level difference
            (0..255) at a small size; 0 takes all.
        test_every: Every n-th exported pair goes into test/, the others into train/; 0 puts all into train/.
    """

    topics: Topics = field(default_factory=Topics)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    every: int = 1
    scene_change: float = 0.0
    test_every: int = 5

    def __post_init__(self) -> None:
        if self.every < 1 or self.test_every < 0 or self.scene_change < 0:
            raise BagError("--every must be 1 or more, --test-every and --scene-change must not be negative")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    """A pair to be written."""

    pair: Pair[Recorded]
    infrared: Image
    rgb: Image


def export(path: Path, out: Path, config: ExportConfig, advance: Callable[[int], None] = lambda _: None) -> int:
    """Write the pairs of one bag; return how many.

    Existing exports are not written over. The manifest is written last: a folder without one is incomplete.

    Raises:
        BagError: If the bag can't be read, or has no pair within the slop.
        FolderError: If ``out`` holds something already.
        EvaluationError: If the folder can't be written.
    """
    with open_bag(path, config.topics) as bag, ResultFolder(out, PROG, again=False):
        found_truth = bag.index_truth() if config.topics.labels else 0
        facts = PairingFacts()
        skipped: list[SkippedPair] = []
        entries: list[ExportedPair] = []
        try:
            for ready in _chosen(bag, config, facts, skipped, advance):
                entries.append(_write(bag, out, ready, len(entries), config))
            if not facts.pairs:
                raise no_pairs(bag, config.pipeline, facts)
            calibration = _calibration(bag)
            source = {"bag": path.name, "topics": asdict(config.topics), "damage": bag.damage}
            manifest = {
                "source": {**source, "unreadable_messages": bag.unreadable},
                "pairs": entries,
                "skipped": skipped,
                "pairs_in_bag": facts.pairs,
                "labels_in_bag": found_truth,
                "calibration": calibration,
                "registration": config.pipeline.make_registration().describe(),
                "configuration": asdict(config),
                "configuration_sha256": canonical_hash(asdict(config)),
                "software": software(),
            }
            write_json(out / MANIFEST_FILE, manifest)
        except OSError as error:
            raise disk_error(out, error) from error
    return len(entries)


class ExportedFile(TypedDict):
    """A file of a pair, below the folder."""

    file: str
    sha256: str


class ExportedPair(TypedDict):
    """A pair's entry of the manifest; files by the folder of their kind."""

    name: str
    split: str
    rgb_stamp_ns: int
    infrared_stamp_ns: int
    offset_ns: int
    files: dict[str, ExportedFile]


class SkippedPair(TypedDict):
    """A pair that can't be decoded or registered."""

    pair: int
    stamp_ns: int
    reason: str


def _chosen(
    bag: Bag,
    config: ExportConfig,
    facts: PairingFacts,
    skipped: list[SkippedPair],
    advance: Callable[[int], None],
) -> Iterator[_Ready]:
    """Yield the pairs to be written; the gain sees every pair, so that it is what the node's would be."""
    gain = ThermalGain(config.pipeline.gain)
    registration = config.pipeline.make_registration()
    decoding = config.pipeline.decoding()
    last: Float32Array | None = None
    for number, pair in enumerate(pairs_of(bag, config.pipeline, facts)):
        advance(1)
        try:
            raw = decoding.infrared_crop.apply(to_infrared(opened(pair.infrared.frame().image, decoding.max_pixels)))
            infrared = gain.apply(raw, pair.infrared.message.stamp_ns)
            if number % config.every:
                continue
            registered = registration.apply(infrared, to_rgb(opened(pair.rgb.frame().image, decoding.max_pixels)))
        except (EncodingError, RegistrationError) as error:
            skipped.append({"pair": number, "stamp_ns": pair.rgb.message.stamp_ns, "reason": str(error)})
            continue
        small = cv2.resize(cv2.cvtColor(registered.rgb, cv2.COLOR_RGB2GRAY), _THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = small.astype(np.float32)
        if last is not None and float(np.abs(thumbnail - last).mean()) < config.scene_change:
            continue
        last = thumbnail
        yield _Ready(pair=pair, infrared=registered.infrared, rgb=registered.rgb)


def _write(bag: Bag, out: Path, ready: _Ready, number: int, config: ExportConfig) -> ExportedPair:
    """Write one pair, and its label map if there is one; return its line of the manifest."""
    split = "test" if config.test_every and number % config.test_every == config.test_every - 1 else "train"
    name = f"{number + 1:05d}.png"
    rgb_stamp_ns = ready.pair.rgb.message.stamp_ns
    infrared_stamp_ns = ready.pair.infrared.message.stamp_ns
    images = {"Infrared": ready.infrared, "Visible": np.asarray(cv2.cvtColor(ready.rgb, cv2.COLOR_RGB2BGR), np.uint8)}
    truth = bag.truth_near(rgb_stamp_ns, config.pipeline.truth_slop_ns) if config.topics.labels else None
    if truth is not None:
        labels = label_map(truth)
        if labels.shape != ready.infrared.shape:
            sizes = [f"{each.shape[1]}x{each.shape[0]}" for each in (labels, ready.infrared)]
            raise BagError(f"{bag.path}: the ground truth is {sizes[0]} and the images are {sizes[1]}: record one size")
        images["Label"] = labels
    files: dict[str, ExportedFile] = {}
    for folder, image in images.items():
        target = out / split / folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".png", image)
        if not done:
            raise BagError(f"{target}: an image of {image.shape} can't be written as png")
        content = data.tobytes()
        target.write_bytes(content)
        files[folder] = {"file": f"{split}/{folder}/{name}", "sha256": hashlib.sha256(content).hexdigest()}
    return {
        "name": name.removesuffix(".png"),
        "split": split,
        "rgb_stamp_ns": rgb_stamp_ns,
        "infrared_stamp_ns": infrared_stamp_ns,
        "offset_ns": ready.pair.offset_ns,
        "files": files,
    }


def _calibration(bag: Bag) -> dict[str, Any]:
    """Return the first CameraInfo of each camera, as values; empty where none was recorded."""
    return {camera: info for camera in ("infrared", "rgb") if (info := bag.camera_info(camera)) is not None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif export-dataset`."""
    default = ExportConfig()
    parser.add_argument("bag", type=Path, metavar="BAG", help="rosbag2 folder, .mcap or .db3 file")
    parser.add_argument("--out", type=Path, default=Path("out/dataset"), help="default: %(default)s")
    parser.add_argument("--every", type=int, default=default.every, metavar="N", help="take every n-th pair")
    parser.add_argument(
        "--scene-change",
        type=float,
        default=default.scene_change,
        metavar="LEVELS",
        help="leave out pairs that differ from the last one taken by less than this mean grey level (0..255)",
    )
    parser.add_argument(
        "--test-every", type=int, default=default.test_every, metavar="N", help="every n-th goes into test/; 0: none"
    )
    add_replay_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif export-dataset`; 1 if the bag is damaged."""
    topics = Topics(infrared=arguments.infrared_topic, rgb=arguments.rgb_topic, labels=arguments.labels_topic)
    try:
        config = ExportConfig(
            topics=topics,
            pipeline=offline_pipeline_config(follow_params_file(arguments)),
            every=arguments.every,
            scene_change=arguments.scene_change,
            test_every=arguments.test_every,
        )
        with progress_bar(arguments.bag.name, expected_pairs(arguments.bag, topics)) as advance:
            count = export(arguments.bag, arguments.out, config, advance)
    except KeyboardInterrupt:
        raise StoppedError(f"stopped; {arguments.out} is incomplete (no {MANIFEST_FILE})") from None
    manifest = json.loads((arguments.out / MANIFEST_FILE).read_text(encoding="utf-8"))
    print(f"{count} of {manifest['pairs_in_bag']} pairs in {arguments.out}, {len(manifest['skipped'])} undecodable")
    if unreadable := manifest["source"]["unreadable_messages"]:
        complain(PROG, f"{unreadable} messages of the bag can't be read")
    if manifest["source"]["damage"]:
        complain(PROG, f"the bag is damaged, {manifest['source']['damage']}")
    return 1 if unreadable or manifest["source"]["damage"] else 0
