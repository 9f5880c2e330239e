# SPDX-License-Identifier: Apache-2.0
"""Damaged bags: the files as a whole, and single messages in whole files."""

from __future__ import annotations

import random
import shutil
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from segmif_ros.bag.export_dataset import ExportConfig, export
from segmif_ros.bag.messages import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    camera_info_message,
    compressed_message,
    image_message,
    typestore,
)
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.result_folder import FolderError
from segmif_ros.trials.fuzz.mutation import damaged
from segmif_ros.trials.fuzz.tally import Tally

_FRAMES = 3
_SIZE = (24, 32)
_K = np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]])
_KINDS = {
    "mcap": (StoragePlugin.MCAP, None),
    "mcap zstd": (StoragePlugin.MCAP, CompressionMode.STORAGE),
    "db3": (StoragePlugin.SQLITE3, None),
    "db3 messages zstd": (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "db3 file zstd": (StoragePlugin.SQLITE3, CompressionMode.FILE),
}


def run(tally: Tally, count: int, seed: int) -> None:
    """Throw ``count`` bags."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(scratch)
        for kind in _KINDS:
            _write(folder / kind, kind, random.Random(0), spoil=0.0)
        for number in range(count):
            kind = rng.choice(list(_KINDS))
            bag = folder / "bag"
            if rng.random() < 0.5:
                shutil.copytree(folder / kind, bag)
                files = sorted(each for each in bag.iterdir() if each.suffix != ".yaml" or rng.random() < 0.2)
                target = rng.choice(files)
                target.write_bytes(damaged(target.read_bytes(), rng))
                what = f"number {number}, {kind}: {target.name}"
            else:
                _write(bag, kind, rng, spoil=0.3)
                what = f"number {number}, {kind}: messages"
            tally.attempt(
                f"export {kind}",
                partial(export, bag, folder / "out", ExportConfig()),
                (EvaluationError, FolderError),
                what,
                partial(_content, bag),
            )
            shutil.rmtree(bag, ignore_errors=True)
            shutil.rmtree(folder / "out", ignore_errors=True)


def _content(bag: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(bag.iterdir()))


def _write(path: Path, kind: str, rng: random.Random, *, spoil: float) -> None:
    """Write a bag, with damage in a share of its messages."""
    plugin, mode = _KINDS[kind]
    bag = Writer(path, version=9, storage_plugin=plugin)
    if mode is not None:
        bag.set_compression(mode, CompressionFormat.ZSTD)
    packed = rng.random() < 0.5
    with bag:
        for camera in ("infrared", "rgb"):
            suffix, image_type = ("/compressed", COMPRESSED) if packed else ("", IMAGE)
            topics = {f"/{camera}/image_raw{suffix}": image_type, f"/{camera}/camera_info": CAMERA_INFO}
            connections = {each: bag.add_connection(each, topics[each], typestore=typestore()) for each in topics}
            for frame in range(_FRAMES):
                stamp_ns = 1_700_000_000_000_000_000 + frame * 100_000_000
                for topic, connection in connections.items():
                    raw = _message(topics[topic], camera, stamp_ns, frame)
                    raw = damaged(raw, rng, 3) if rng.random() < spoil else raw
                    bag.write(connection, stamp_ns, raw)


def _message(message_type: str, camera: str, stamp_ns: int, frame: int) -> bytes:
    if message_type == CAMERA_INFO:
        return bytes(camera_info_message(*_SIZE, _K, stamp_ns, camera))
    grey = np.random.default_rng(frame).integers(3000, 4000, _SIZE).astype(np.uint16)
    image = grey if camera == "infrared" else np.repeat((grey % 256).astype(np.uint8)[..., None], 3, axis=2)
    encoding, kind = ("mono16", "png") if camera == "infrared" else ("rgb8", "jpeg")
    if message_type == COMPRESSED:
        return bytes(compressed_message(image, encoding, kind, stamp_ns, camera))
    return bytes(image_message(image, encoding, stamp_ns, camera))
