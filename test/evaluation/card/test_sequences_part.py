# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError
from segmif_ros.evaluation.card.sequences_part import open_sequences, report_sequence
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.labels import FMB


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Six frames whose RGB becomes bright by halves: left half from the third on."""
    for folder in ("infrared", "visible"):
        (tmp_path / folder).mkdir()
    for i in range(6):
        rgb = np.full((16, 20, 3), 60, np.uint8)
        rgb[:, :10] = 60 if i < 3 else 180
        cv2.imwrite(str(tmp_path / f"infrared/{i}.png"), np.full((16, 20), 80, np.uint8))
        cv2.imwrite(str(tmp_path / f"visible/{i}.png"), rgb)
    return tmp_path


def test_frames_from_the_middle_of_a_folder_are_measured(frames, engine, advance):
    (sequence,) = open_sequences(frames)
    gallery = Gallery(FMB)
    report = report_sequence(engine, sequence, 4, "walk", gallery, advance)
    # of three steps one makes half of the pixels bright, which are road then
    assert report["relabelled"] == pytest.approx(0.5 / 3)
    assert report["change"]["RGB"] == pytest.approx(120 * 0.5 / 3)
    assert (report["frames"], advance.done) == (4, 4)
    assert set(gallery.write(frames)) == {"sequence-walk"}


def test_videos_of_equal_names_are_sequences_of_their_own(tmp_path, engine, advance):
    for folder, level in (("infrared", 40), ("visible", 200)):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            codec = cv2.VideoWriter.fourcc(*"MJPG")
            video = cv2.VideoWriter(str(tmp_path / folder / f"{name}.avi"), codec, 10, (32, 32))
            for _ in range(3):
                video.write(np.full((32, 32, 3), level, np.uint8))
            video.release()
    found = open_sequences(tmp_path)
    assert [(each.name, len(each)) for each in found] == [("a", 3), ("b", 3)]
    report = report_sequence(engine, found[0], 2, "a", Gallery(FMB), advance)
    assert report["relabelled"] == 0
    assert abs(int(engine.pairs[0][0].mean()) - 40) < 3


def test_a_folder_of_one_pair_is_no_sequence(frames):
    for folder in ("infrared", "visible"):
        for i in range(1, 6):
            (frames / folder / f"{i}.png").unlink()
    with pytest.raises(DatasetError, match="1 frames; a sequence needs two or more"):
        open_sequences(frames)
