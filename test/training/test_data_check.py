# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.mixture import PairSource
from segmif_ros.labels import FMB
from segmif_ros.training.data_check import check_source

PERSON, ROAD, UNKNOWN = FMB.id_of("person"), FMB.id_of("road"), 255


def lines_of(root, columns, absent=None):
    """What is said of one pair, 4x6, whose label map has these ids in its columns, and its map of absence one value."""
    maps = {"infrared": np.zeros((4, 6), np.uint8), "visible": np.zeros((4, 6, 3), np.uint8)}
    maps["labels"] = np.tile(np.array(columns, np.uint8), (4, 1))
    if absent is not None:
        maps["absent"] = np.full((4, 6), absent, np.uint8)
    for folder, image in maps.items():
        (root / folder).mkdir()
        cv2.imwrite(str(root / folder / "a.png"), image)
    report = check_source("pairs", PairSource(root, mapping=LabelMapping(FMB, FMB)))
    return "\n".join(report.lines(FMB, None))


def test_labels_of_one_class_alone_are_told_as_nothing_says_where_it_is_not(tmp_path):
    said = lines_of(tmp_path, [PERSON, PERSON] + [UNKNOWN] * 4)
    assert "1 of 1 are labelled with person alone, and nothing tells where person isn't" in said


@pytest.mark.parametrize(
    ("columns", "absent"),
    [
        ([PERSON, ROAD] + [UNKNOWN] * 4, None),
        ([PERSON, PERSON] + [UNKNOWN] * 4, 1),
        ([ROAD] * 6, None),
        ([UNKNOWN] * 6, None),
    ],
    ids=["another class", "absence", "all is labelled", "nothing is"],
)
def test_labels_that_bound_a_class_are_not(tmp_path, columns, absent):
    assert "alone" not in lines_of(tmp_path, columns, absent)
