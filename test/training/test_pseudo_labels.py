# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
import torch
from torch import nn

from segmif_ros import cli
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.mixture import PairSource
from segmif_ros.data.pair_folder import PairFolder
from segmif_ros.labels import CAMVID
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.result_folder import MARK_FILE
from segmif_ros.training.pseudo_labels import PseudoLabelConfig, pseudo_label, write_labelled_copy

TINY = SegMiFConfig(
    encoder="mit_b0", num_classes=3, fusion_channels=8, growth=4, fusion_scale=2, fusion_output="blend",
    decoder_channels=16,
)  # fmt: skip


class Brightness(nn.Module):
    """Sure of class 1 where the red plane is bright, of class 2 where it is dark, and unsure between."""

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def segment(self, rgb):
        red = nn.functional.avg_pool2d(rgb[:, :1], 4)
        return torch.cat((torch.zeros_like(red), 40 * (red - 0.5), 40 * (0.5 - red)), dim=1)


def stripe(*levels):
    """Three vertical bands of a grey level each, uint8 (48, 96, 3)."""
    return np.repeat(np.repeat(np.array([levels], np.uint8), 32, axis=1)[..., None], 3, axis=2).repeat(48, axis=0)


def test_a_pixel_gets_the_class_that_all_views_are_sure_of_and_no_label_otherwise():
    labels = pseudo_label(Brightness(), stripe(255, 128, 0), PseudoLabelConfig(confidence=0.9, darkest=0))
    assert set(labels[:, 8:24].ravel()) == {1}
    assert set(labels[:, 44:52].ravel()) == {255}
    assert set(labels[:, 72:88].ravel()) == {2}


def test_an_image_with_a_dark_sky_gets_no_label():
    night = stripe(20, 30, 40)
    night[24:] = 255  # headlights on the road
    assert set(pseudo_label(Brightness(), night, PseudoLabelConfig(darkest=60)).ravel()) == {255}


def test_labels_are_written_in_the_ids_of_another_label_set():
    labels = pseudo_label(Brightness(), stripe(255, 255, 0), PseudoLabelConfig(darkest=0), ids={0: None, 1: 7, 2: None})
    assert set(labels[:, 8:48].ravel()) == {7}
    assert set(labels[:, 72:88].ravel()) == {255}


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("infrared", "visible"):
        (tmp_path / "pairs" / name).mkdir(parents=True)
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"pairs/infrared/{i}.png"), rng.integers(0, 256, (48, 64), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / f"pairs/visible/{i}.jpg"), rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    return tmp_path / "pairs"


def test_the_copy_is_a_pair_folder_with_labels(tmp_path, pairs):
    config = PseudoLabelConfig(confidence=0.0, darkest=0)
    share = write_labelled_copy(Brightness(), PairFolder(pairs), tmp_path / "out", config)
    copy = PairFolder(tmp_path / "out")
    assert share == 1.0
    for index in range(2):
        assert np.array_equal(copy.load(index).infrared, PairFolder(pairs).load(index).infrared)
        assert set(copy.load(index).labels.ravel()) <= {0, 1, 2}


def test_pairs_that_are_held_out_get_no_label_file(tmp_path, pairs, capsys):
    save_checkpoint(SegMiF(TINY), tmp_path / "teacher.safetensors")
    given = ["pseudo-label", str(pairs), "--weights", str(tmp_path / "teacher.safetensors"), "--out"]
    (tmp_path / "out/labels").mkdir(parents=True)
    (tmp_path / "out/labels/1.png").write_bytes(b"of a call before")
    (tmp_path / "out" / MARK_FILE).write_text("segmif pseudo-label\n")
    given += [str(tmp_path / "out"), "--confidence", "0", "--darkest", "0", "--hold-out-every", "2"]
    assert cli.main(given) == 0
    assert "2 pairs, 1 of them held out without a label file, 50.0 %" in capsys.readouterr().out
    every = {"hold_out_every": 2, "mapping": LabelMapping(CAMVID, CAMVID)}
    rng = np.random.default_rng(0)
    assert (PairSource(tmp_path / "out", held_out=True, **every).sample(0, rng).labels == 255).all()
    assert (PairSource(tmp_path / "out", held_out=False, **every).sample(0, rng).labels != 255).all()


def test_the_command_labels_a_folder_with_a_checkpoint(tmp_path, pairs, capsys):
    save_checkpoint(SegMiF(TINY), tmp_path / "teacher.safetensors")
    given = ["pseudo-label", str(pairs), "--weights", str(tmp_path / "teacher.safetensors"), "--out"]
    assert cli.main([*given, str(tmp_path / "out"), "--confidence", "0.2"]) == 0
    assert "2 pairs" in capsys.readouterr().out
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"--weights": "nowhere.safetensors"}, "nowhere.safetensors"), ({"--confidence": "2"}, "confidence is 2")],
)
def test_what_cannot_be_used_is_one_line(tmp_path, pairs, capsys, changes, words):
    given = {"--weights": str(tmp_path / "teacher.safetensors"), "--out": str(tmp_path / "out"), **changes}
    save_checkpoint(SegMiF(TINY), tmp_path / "teacher.safetensors")
    assert cli.main(["pseudo-label", str(pairs), *(part for pair in given.items() for part in pair)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert words in errors[0]


def test_a_broken_picture_and_raw_infrared_cost_their_pairs(tmp_path, pairs, capsys):
    save_checkpoint(SegMiF(TINY), tmp_path / "teacher.safetensors")
    names = sorted(path.name for path in (pairs / "visible").iterdir())
    (pairs / "visible" / names[0]).write_bytes(b"no picture")
    given = ["pseudo-label", str(pairs), "--weights", str(tmp_path / "teacher.safetensors"), "--darkest", "0"]
    assert cli.main([*given, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "1 of 2 pairs" in said.out and "is left out" in said.err and "not a readable image" in said.err
    [thermal] = [path for path in (pairs / "infrared").iterdir() if path.stem == names[1].split(".")[0]]
    grey = cv2.imread(str(thermal), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 30
    thermal.unlink()
    assert cv2.imwrite(str(thermal.with_suffix(".png")), grey)
    assert cli.main([*given, "--out", str(tmp_path / "none")]) == 2
    assert cli.main([*given, "--out", str(tmp_path / "raw"), "--gain-policy", "minmax"]) == 1
    written = cv2.imread(str(tmp_path / "raw" / "infrared" / f"{thermal.stem}.png"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint8
