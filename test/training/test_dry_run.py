# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
import yaml
from module_command import command_of

from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.labels import FMB
from segmif_ros.model import SegMiFConfig
from segmif_ros.training import __main__ as train
from segmif_ros.training.config import SourceConfig, TrainingConfig
from segmif_ros.training.dry_run import dry_run
from segmif_ros.training.trainer import Trainer

main = command_of(train)


CROP = AugmentConfig(crop_height=64, crop_width=64)
TINY = TrainingConfig(
    name="tiny",
    steps=100,
    batch_size=2,
    model=SegMiFConfig(
        encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=2, fusion_output="blend", decoder_channels=16
    ),
    sources=(SourceConfig(kind="pairs", path="train", augment=CROP),),
    validation=(SourceConfig(kind="pairs", path="test"),),
    validation_samples=1,
    freeze=("encoder.stages.1",),
    num_threads=1,
)


@pytest.fixture
def data(tmp_path):
    """Two pairs to train on and one held out, 64x72, road (1) above sky (7)."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    labels = np.repeat(np.array([1, 7], np.uint8), 32)[:, None] * np.ones((1, 72), np.uint8)
    for split, names in (("train", "ab"), ("test", "c")):
        for folder in ("Infrared", "Visible", "Label"):
            (root / split / folder).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(root / split / f"Infrared/{name}.png"), rng.integers(0, 255, (64, 72), np.uint8))
            cv2.imwrite(str(root / split / f"Visible/{name}.png"), rng.integers(0, 255, (64, 72, 3), np.uint8))
            cv2.imwrite(str(root / split / f"Label/{name}.png"), labels)
    return root


@pytest.fixture
def plan(data, tmp_path):
    """Runs the dry run; returns the number of problems and what was said."""

    def run(config=TINY):
        lines = []
        found = dry_run(config, data_root=data, output=tmp_path / "run", say=lines.append)
        return found, "\n".join(lines)

    return run


def test_the_plan_tells_data_schedule_costs_and_what_is_frozen(plan, tmp_path):
    found, said = plan()
    assert found == 0
    assert "pairs train: 2 samples, each seen 100.0 times" in said
    assert "2 read, 2 with labels; 72x64 (2)" in said
    assert "pixels: sky 50.0%, road 50.0%, ignored 0.0%" in said
    assert "no pixel of these classes in what was read to train on: unlabelled, sidewalk" in said
    assert "validation pairs test: 1 samples" in said
    assert f"{tmp_path / 'run'}: a new run" in said
    assert "joint, 100 steps of 2 samples" in said
    assert "fusion: " in said and "decoder: " in said
    assert "frozen: encoder.stages.1, " in said
    for measured in ("s a step", "time: about ", "memory: ", "disk: "):
        assert measured in said
    sheet = cv2.imread(str(tmp_path / "run/dry-run.png"))
    assert sheet.shape[1] == 5 * 320


def test_the_plan_tells_whether_the_output_would_go_on_or_be_refused(plan, data, tmp_path):
    broken = data / "train/Infrared/a.png"
    Trainer(TINY, data_root=data, output=tmp_path / "run").run(stop_at=1)
    broken.write_bytes(b"")  # or steps would be tried
    assert f"{tmp_path / 'run'}: would go on at step 1 of 100" in plan()[1]
    found, said = plan(dataclasses.replace(TINY, batch_size=1))
    assert found == 2
    assert "PROBLEM" in said and "the run here was started with another batch_size" in said
    assert json.loads((tmp_path / "run/recipe.json").read_text())["batch_size"] == 2


def test_a_dry_run_leaves_nothing_but_the_sheet(plan, tmp_path):
    plan()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["dry-run.png"]


def test_every_file_that_cannot_be_used_is_named(plan, data):
    (data / "train/Infrared/a.png").write_bytes(b"no image")
    cv2.imwrite(str(data / "train/Label/b.png"), np.full((64, 72), len(FMB), np.uint8))
    cv2.imwrite(str(data / "test/Visible/c.png"), np.zeros((8, 8, 3), np.uint8))
    found, said = plan()
    assert found == 3
    assert "a.png: not a readable image" in said
    assert "Label/b.png: ids [15] are not fmb's 0..14" in said
    assert "Visible/c.png: 8x8, but c.png of Infrared/ has 72x64" in said
    assert "3 problems in the data; no step was tried" in said


def test_a_missing_folder_is_a_problem_beside_the_others(plan, data):
    shutil.rmtree(data / "test")
    found, said = plan()
    assert found == 1
    assert "no such folder" in said
    assert "pairs train: 2 samples" in said


def test_scenes_are_tried_and_counted_and_their_classes_mapped(plan):
    scenes = SourceConfig(kind="scenes", count=4, height=64, width=96, augment=CROP)
    own = dataclasses.replace(TINY.model, num_classes=9)
    config = dataclasses.replace(TINY, label_set="mfnet", model=own, sources=(scenes,), validation=())
    found, said = plan(config)
    assert found == 0
    assert "1 of 4 scenes still to be made" in said
    assert "bicycle -> bike" in said


def test_the_command_ends_with_an_error_where_something_is_wrong(data, tmp_path, capsys):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(TINY)))))
    (data / "train/Infrared/a.png").write_bytes(b"")
    command = [str(recipe), "--data", str(data), "--out", str(tmp_path / "run"), "--dry-run"]
    assert main(command) == 2
    assert "PROBLEM" in capsys.readouterr().out
