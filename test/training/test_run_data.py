# SPDX-License-Identifier: Apache-2.0
"""A run goes on with the contents of the data that its steps were taken with."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from segmif_ros.evaluation.contents import MEMORY_FILE
from segmif_ros.training.batches import open_source
from segmif_ros.training.config import RecipeError, SourceConfig, TrainingConfig
from segmif_ros.training.run_data import DATA_FILE, keep_data_identity, named_sources, require_same_data

PAIRS = SourceConfig(kind="pairs", path="pairs", targets="targets", hold_out_every=2)
CAMVID = SourceConfig(kind="camvid", path="camvid", split="train")
SCENES = SourceConfig(kind="scenes", count=2, height=64, width=64)
CONFIG = TrainingConfig(name="tiny", steps=9, sources=(PAIRS, CAMVID, SCENES), validation=(PAIRS,))
FOLDERS = {
    "pairs": ("infrared", "visible", "labels", "absent"),
    "pairs/targets": ("",),
    "camvid": ("train/images", "train/labels"),
}


@pytest.fixture
def data(tmp_path):
    """Two pairs with all that can lie beside them, and two labelled RGB images."""
    root = tmp_path / "data"
    for top, folders in FOLDERS.items():
        for folder in folders:
            (root / top / folder).mkdir(parents=True)
            for name in "ab":
                assert cv2.imwrite(str(root / top / folder / f"{name}.png"), np.zeros((64, 64), np.uint8))
    return root


def sources(root):
    def opened(configs, held_out):
        return [open_source(each, root, None, held_out=held_out) for each in configs]

    return named_sources(CONFIG, opened(CONFIG.sources, False), opened(CONFIG.validation, True))


def run_of(folder, root, resumed=True):
    folder.mkdir(exist_ok=True)
    keep_data_identity(folder, sources(root), resumed=resumed)


def test_the_same_contents_elsewhere_and_of_another_time_go_on(tmp_path, data):
    run_of(tmp_path / "run", data, resumed=False)
    moved = tmp_path / "disk2"
    shutil.copytree(data, moved)
    for file in moved.rglob("*.png"):
        os.utime(file, (1e9, 1e9))
    run_of(tmp_path / "run", moved)


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("pairs/infrared/a.png", r"sources\[0\] \(pairs pairs\): put"),
        ("pairs/labels/a.png", r"sources\[0\] \(pairs pairs\): put"),
        ("pairs/absent/a.png", r"sources\[0\] \(pairs pairs\): put"),
        ("pairs/visible/b.png", r"contents of validation\[0\] \(pairs pairs\): put"),
        ("pairs/targets/a.png", r"sources\[0\] \(pairs pairs\), validation\[0\] \(pairs pairs\): put"),
        ("camvid/train/images/a.png", r"contents of sources\[1\] \(camvid camvid\): put"),
        ("camvid/train/labels/a.png", r"contents of sources\[1\] \(camvid camvid\): put"),
    ],
)
def test_other_contents_are_refused_with_the_way_out(tmp_path, data, file, named):
    run_of(tmp_path / "run", data, resumed=False)
    assert cv2.imwrite(str(data / file), np.ones((64, 64), np.uint8))
    with pytest.raises(RecipeError, match=named + " the files back, or give another --out, and 'init' to start"):
        run_of(tmp_path / "run", data)
    with pytest.raises(RecipeError, match="put the files back"):
        require_same_data(tmp_path / "run", sources(data))
    run_of(tmp_path / "run", data, resumed=False)  # without a step taken there is nothing to hold to


def test_another_pair_is_other_contents(tmp_path, data):
    run_of(tmp_path / "run", data, resumed=False)
    for folder in FOLDERS["pairs"]:
        shutil.copy(data / "pairs" / folder / "a.png", data / "pairs" / folder / "c.png")
    with pytest.raises(RecipeError, match="other contents"):
        run_of(tmp_path / "run", data)


def test_files_are_read_once_and_remembered(tmp_path, data):
    for file in data.rglob("*.png"):
        os.utime(file, (1e9, 1e9))
    run_of(tmp_path / "run", data, resumed=False)
    remembered = json.loads((tmp_path / "run" / MEMORY_FILE).read_text())
    assert len(remembered) == len(list(data.rglob("*.png")))
    # same size and time, other bytes: not read, so not seen
    image = data / "pairs/infrared/a.png"
    image.write_bytes(bytes(len(image.read_bytes())))
    os.utime(image, (1e9, 1e9))
    run_of(tmp_path / "run", data)


def test_a_run_from_before_takes_todays_contents_for_its_own(tmp_path, data):
    run_of(tmp_path / "run", data)
    assert set(json.loads((tmp_path / "run" / DATA_FILE).read_text())) == {
        "sources[0] (pairs pairs)", "sources[1] (camvid camvid)", "validation[0] (pairs pairs)"
    }  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_a_damaged_identity_is_one_line(tmp_path, data, content):
    run_of(tmp_path / "run", data, resumed=False)
    (tmp_path / "run" / DATA_FILE).write_bytes(content)
    with pytest.raises(RecipeError, match=r"data\.json: not readable: delete it if the data is the same"):
        run_of(tmp_path / "run", data)
