# SPDX-License-Identifier: Apache-2.0
import gc
import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from patience import WAIT_S

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.transforms import Sample
from segmif_ros.labels import CAMVID, FMB
from segmif_ros.training.batches import SegmentationSamples, as_tensors, batches, open_source
from segmif_ros.training.config import RecipeError, SourceConfig


def written(root, **folders):
    for folder, (shape, level) in folders.items():
        (root / folder.replace("__", "/")).mkdir(parents=True)
        cv2.imwrite(str(root / folder.replace("__", "/") / "1.png"), np.full(shape, level, np.uint8))


def labels_of(config, root, **options):
    return open_source(config, root, None, held_out=False, **options).sample(0, np.random.default_rng(0)).labels


PAIRS = {"train__Infrared": ((6, 7), 1), "train__Visible": ((6, 7, 3), 2), "train__Label": ((6, 7), 3)}


def test_an_exported_folder_is_a_source_of_pairs_with_labels(tmp_path):
    written(tmp_path, **PAIRS)
    assert (labels_of(SourceConfig(kind="pairs", path="train"), tmp_path) == 3).all()


def test_pairs_are_taken_without_their_labels_where_the_recipe_says_so(tmp_path):
    written(tmp_path, **PAIRS)
    assert (labels_of(SourceConfig(kind="pairs", path="train", unlabelled=True), tmp_path) == 255).all()


def test_what_is_surely_absent_comes_with_the_sample_where_it_has_no_label(tmp_path):
    written(tmp_path, **PAIRS, train__absent=((6, 7), 5))
    sample = open_source(SourceConfig(kind="pairs", path="train"), tmp_path, None, held_out=False).sample(0, None)
    assert (sample.absent == 5).all()
    assert not as_tensors(sample, "mean")["absent"].any()
    unlabelled = replace(sample, labels=np.full_like(sample.labels, 255))
    assert (as_tensors(unlabelled, "mean")["absent"] == 5).all()


def test_pairs_with_maps_of_absence_alone_count_as_labelled(tmp_path):
    written(tmp_path, infrared=((6, 7), 1), visible=((6, 7, 3), 2), absent=((6, 7), 1))
    config = SourceConfig(kind="pairs", labelled_only=True)
    assert (labels_of(config, tmp_path) == 255).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_of_the_labels_every_nth_row_and_column_counts(stride):
    sample = Sample(
        infrared=np.zeros((8, 8), np.uint8),
        rgb=np.zeros((8, 8, 3), np.uint8),
        labels=np.arange(64, dtype=np.uint8).reshape(8, 8),
        name="ramp",
    )
    tensors = SegmentationSamples([sample], seed=3, blend=False, label_stride=stride)[0]
    labels = tensors["labels"].numpy()
    assert labels.shape == tensors["absent"].shape == (8 // stride, 8 // stride)
    assert np.all(np.diff(labels, axis=1) == stride) and np.all(np.diff(labels, axis=0) == 8 * stride)


def test_label_files_of_another_set_are_mapped(tmp_path):
    written(tmp_path, **PAIRS)
    config = SourceConfig(kind="pairs", path="train", label_set="camvid", label_map={"road": "sidewalk"})
    assert CAMVID.names[3] == "road"
    assert (labels_of(config, tmp_path) == FMB.id_of("sidewalk")).all()


def test_a_published_set_is_opened_with_its_split(tmp_path):
    written(tmp_path, **PAIRS)
    assert (labels_of(SourceConfig(kind="fmb"), tmp_path) == 3).all()
    camvid = labels_of(SourceConfig(kind="fmb"), tmp_path, labels="camvid")
    assert FMB.names[3] == "building"
    assert (camvid == CAMVID.id_of("building")).all()


def test_labelled_rgb_without_infrared_is_opened(tmp_path):
    written(tmp_path, images=((6, 7, 3), 40), labels=((6, 7), 2))
    assert (labels_of(SourceConfig(kind="rgb_labels", split=""), tmp_path) == 2).all()


def test_a_map_that_does_not_fit_names_the_source(tmp_path):
    written(tmp_path, **PAIRS)
    with pytest.raises(RecipeError, match="source fmb : label_map: label set 'fmb' has no class 'horse'"):
        labels_of(SourceConfig(kind="fmb", label_map={"horse": "road"}), tmp_path)


class Unreadable:
    """Samples of which none can be read."""

    def __getitem__(self, number):
        raise DatasetError(f"{number}.png: not a readable image")


class Readable:
    """Samples of nothing but a number."""

    def __getitem__(self, number):
        pixel = torch.full((1, 1, 1), float(number))
        labels = torch.zeros((1, 1), dtype=torch.int64)
        planes = dict.fromkeys(("infrared", "rgb", "prior", "target"), pixel)
        return {**planes, "labels": labels, "absent": labels.to(torch.uint8), "names": str(number)}


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_cannot_be_used_is_one_line_whoever_prepares_it(workers):
    with pytest.raises(DatasetError, match=r"\A0\.png: not a readable image\Z"):
        list(batches(Unreadable(), first=0, end=1, size=1, workers=workers))


def test_processes_that_prepare_data_end_with_the_error_that_it_cannot_be_used():
    gc.disable()  # which would collect what the error keeps at some later time
    try:
        with pytest.raises(DatasetError) as kept:
            list(batches(Unreadable(), first=0, end=1, size=1, workers=1))
        assert not multiprocessing.active_children(), kept
    finally:
        gc.enable()


def test_processes_that_prepare_data_end_where_the_rest_is_not_wanted():
    with closing(batches(Readable(), first=0, end=9, size=1, workers=1)) as prepared:
        next(prepared)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


@contextmanager
def holder():
    """Run `hold`; yields it and the number of the process that prepares its data."""
    # this file imports what pytest finds beside the suites
    places = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def is_running(process):
    """Whether it is there and no zombie, for which nobody has asked yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_ends_though_it_still_holds_batches_that_others_prepare():
    with holder() as (process, worker):
        process.stdin.close()
        assert process.wait(timeout=WAIT_S) == 0
        assert not is_running(worker)


def test_processes_that_prepare_data_end_after_a_trainer_that_was_killed():
    with holder() as (process, worker):
        process.kill()
        end = time.monotonic() + WAIT_S
        while is_running(worker) and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_running(worker)


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_signal_of_somebody_else_leaves_the_batches_coming(name):
    with closing(batches(Readable(), first=0, end=9, size=1, workers=1)) as prepared:
        next(prepared)
        subprocess.run(["sh", "-c", f"kill -s {name} {multiprocessing.active_children()[0].pid}"], check=True)
        assert len(list(prepared)) == 8


def test_pairs_are_chosen_by_a_pattern_of_their_names_after_the_held_out_ones(tmp_path):
    for folder, shape in (("infrared", (6, 7)), ("visible", (6, 7, 3))):
        (tmp_path / folder).mkdir()
        for name in ("1N", "2N", "3D", "4D", "5N", "6N"):
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), np.zeros(shape, np.uint8))
    config = SourceConfig(kind="pairs", names="*N", hold_out_every=2)
    parts = [open_source(config, tmp_path, None, held_out=each).names for each in (False, True)]
    # every second of all six is held out, and the pattern chooses among what each part has
    assert sorted(map(sorted, parts)) == [["1N", "5N"], ["2N", "6N"]]


def test_a_pattern_that_no_name_has_names_the_folder(tmp_path):
    written(tmp_path, infrared=((6, 7), 1), visible=((6, 7, 3), 2))
    with pytest.raises(DatasetError, match=r"no pair of these has a name like '\*N'"):
        open_source(SourceConfig(kind="pairs", names="*N"), tmp_path, None, held_out=False)


@pytest.mark.parametrize(("lost", "levels"), [("rgb", (1, 0)), ("infrared", (0, 2))])
def test_a_lost_camera_gives_a_black_image(tmp_path, lost, levels):
    written(tmp_path, infrared=((6, 7), 1), visible=((6, 7, 3), 2))
    sample = open_source(SourceConfig(kind="pairs", lost=lost), tmp_path, None, held_out=False).sample(0, None)
    assert (sample.infrared.max(), sample.rgb.max()) == levels


def hold():
    """Print the process that prepares the data, and hold on to its batches to the end."""
    held.append(batches(Readable(), first=0, end=9, size=1, workers=1))
    next(held[0])
    print(multiprocessing.active_children()[0].pid, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    held = []
    hold()
