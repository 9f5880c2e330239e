# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.object_truth import OBJECTS, ObjectFolder, object_table
from segmif_ros.labels import CAMVID, FMB

PERSON, ROAD = FMB.id_of("person"), FMB.id_of("road")


def write(root: Path, folder: str, name: str, image: np.ndarray) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / folder / f"{name}.png"), image)


def pair(root: Path, name: str = "a", level: int = 200) -> None:
    write(root, "infrared", name, np.full((4, 6), 50, np.uint8))
    write(root, "visible", name, np.full((4, 6, 3), level, np.uint8))


def row(*ids: int) -> np.ndarray:
    """A map whose columns are of these ids, 255 after them."""
    return np.tile(np.array([*ids] + [255] * (6 - len(ids)), np.uint8), (4, 1))


def test_labelled_pixels_are_known_for_every_object(tmp_path):
    pair(tmp_path)
    write(tmp_path, "labels", "a", row(PERSON, ROAD))
    found = ObjectFolder(tmp_path).pair(0)
    assert found.objects[0].tolist() == [1, 0, 255, 255, 255, 255]
    assert found.counted[:, 0].tolist() == [[True, True, False, False, False, False]] * 3


def test_absence_makes_an_unlabelled_pixel_known_for_its_object_alone(tmp_path):
    pair(tmp_path)
    write(tmp_path, "absent", "a", np.full((4, 6), 2, np.uint8))
    found = ObjectFolder(tmp_path).pair(0)
    assert [bool(each.all()) for each in found.counted] == [False, True, False]
    assert (found.objects == 255).all()


def test_a_map_of_these_classes_alone_says_none_by_0(tmp_path):
    pair(tmp_path)
    write(tmp_path, "labels_fmb", "a", row(0, FMB.id_of("truck"), FMB.id_of("motorcycle")))
    found = ObjectFolder(tmp_path).pair(0)
    assert found.objects[0].tolist() == [0, 2, 3, 255, 255, 255]
    assert found.counted[0, 0].tolist() == [True, True, True, False, False, False]


def test_boxes_of_persons_become_slices_inside_the_image(tmp_path):
    pair(tmp_path)
    (tmp_path / "boxes_infrared").mkdir()
    (tmp_path / "boxes_infrared/a.txt").write_text("0 0.5 0.5 0.34 0.5\n2 0.5 0.5 1 1\n0 0 0 0.3 0.4\n")
    boxes = ObjectFolder(tmp_path).pair(0).person_boxes
    assert boxes == ((slice(1, 3), slice(2, 4)), (slice(0, 1), slice(0, 1)))


@pytest.mark.parametrize(
    ("name", "level", "light"),
    [("00001D", 10, "day"), ("00001N", 200, "night"), ("a", 10, "night"), ("a", 200, "day"), ("STAND", 10, "night")],
)
def test_day_and_night_go_by_the_name_or_else_by_the_darkness(tmp_path, name, level, light):
    pair(tmp_path, name, level)
    write(tmp_path, "labels", name, row(ROAD))
    assert ObjectFolder(tmp_path).pair(0).light == light


def test_pairs_without_evidence_are_left_out(tmp_path):
    pair(tmp_path, "a")
    pair(tmp_path, "b")
    write(tmp_path, "labels", "b", row(ROAD))
    folder = ObjectFolder(tmp_path)
    assert (len(folder), folder.pair(0).name) == (1, "b")


def test_a_folder_without_any_evidence_is_refused(tmp_path):
    pair(tmp_path)
    with pytest.raises(DatasetError, match="no pair has a file in labels/, absent/, labels_fmb/ or boxes_infrared/"):
        ObjectFolder(tmp_path)


def with_boxes(root: Path, content: bytes) -> ObjectFolder:
    pair(root)
    (root / "boxes_infrared").mkdir()
    (root / "boxes_infrared/a.txt").write_bytes(content)
    return ObjectFolder(root)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"0 0.5 0.5 0.3 0.5\nperson 1 2\n", r"line 2 is no box: 'class x y width height' is needed"),
        (b"0 nan 0.5 0.3 0.5", r"line 1: 'nan 0\.5 0\.3 0\.5' are no shares"),
        (b"0 0.5 inf 0.3 0.5", r"line 1: '0\.5 inf 0\.3 0\.5' are no shares"),
        (b"2 20 15 10 12", r"line 1: '20 15 10 12' are no shares of the image's sides"),
        (b"0 0.5 0.5 -0.3 0.5", r"line 1: .* are no shares"),
        (b"0 0.5 0.5 0.3 0.5 \xe4", r"not a text file"),
    ],
)
def test_a_line_that_is_no_box_is_named(tmp_path, content, said):
    with pytest.raises(DatasetError, match=rf"boxes_infrared/a\.txt: {said}"):
        with_boxes(tmp_path, content).pair(0)


def test_a_folder_in_the_place_of_a_file_of_boxes_is_named(tmp_path):
    folder = with_boxes(tmp_path, b"")
    (tmp_path / "boxes_infrared/a.txt").unlink()
    (tmp_path / "boxes_infrared/a.txt").mkdir()
    with pytest.raises(DatasetError, match=r"a\.txt: Is a directory"):
        folder.pair(0)


def test_blank_lines_between_boxes_are_passed_over(tmp_path):
    assert len(with_boxes(tmp_path, b"\n0 0.5 0.5 0.3 0.5\n\n0 0.2 0.5 0.3 1.005\n").pair(0).person_boxes) == 2


@pytest.mark.parametrize("folder", ["labels", "labels_fmb"])
def test_ids_that_the_classes_lack_are_named(tmp_path, folder):
    pair(tmp_path)
    write(tmp_path, folder, "a", row(PERSON, 77))
    with pytest.raises(DatasetError, match=rf"{folder}/a\.png: ids \[77\] are not fmb's 0\.\.14"):
        ObjectFolder(tmp_path).pair(0)


def test_bits_that_no_group_has_are_named(tmp_path):
    pair(tmp_path)
    write(tmp_path, "absent", "a", np.full((4, 6), 9, np.uint8))
    with pytest.raises(DatasetError, match=r"absent/a\.png: holds 9; a map of absence holds sums of 1 no person, 2 no"):
        ObjectFolder(tmp_path).pair(0)


def test_other_label_sets_names_of_the_same_classes_count():
    table = object_table(CAMVID)
    assert [OBJECTS[table[CAMVID.id_of(name)] - 1] for name in ("pedestrian", "car", "bicyclist")] == list(OBJECTS)
