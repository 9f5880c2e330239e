# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.object_truth import OBJECTS, ObjectFolder
from segmif_ros.evaluation.card.card_tables import street_tables
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.evaluation.card.street_part import DROPPED, NOISY, failing_cameras, report_street
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB

PERSON = FMB.id_of("person")


class HotIsPerson:
    """Calls a pixel person where infrared is above 150, road elsewhere."""

    label_set = FMB

    def infer(self, infrared, rgb):
        labels = np.where(infrared > 150, PERSON, FMB.id_of("road")).astype(np.uint8)
        return EngineResult(fused=rgb, labels=labels, confidence=np.zeros_like(labels))


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """One pair a light: a hot person of 20x10 in a box, a hot stone of half that size, and a warm person unseen."""
    for name in ("1D", "2N"):
        infrared = np.full((40, 60), 40, np.uint8)
        truth = np.zeros((40, 60), np.uint8)
        infrared[10:30, 10:20], truth[10:30, 10:20] = 220, PERSON
        infrared[10:20, 40:50] = 220
        truth[30:40, 30:40] = PERSON
        images = {"infrared": infrared, "visible": np.full((40, 60, 3), 90, np.uint8), "labels_fmb": truth}
        for folder, image in images.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), image)
        (tmp_path / "boxes_infrared").mkdir(exist_ok=True)
        boxes = f"0 {15 / 60} 0.5 {10 / 60} 0.5\n0 {35 / 60} {35 / 40} {10 / 60} 0.25\n"
        (tmp_path / "boxes_infrared" / f"{name}.txt").write_text(boxes)
    return tmp_path


def test_hits_false_ones_misses_and_boxes_are_counted_by_light(street):
    report = report_street(HotIsPerson(), ObjectFolder(street), None, "street", Gallery(FMB), lambda _: None)
    assert list(report["objects"]) == ["day", "night", "all"]
    night = report["objects"]["night"]["fused"]
    assert night["iou"] == {"person": 200 / (200 + 100 + 100), "car": None, "bicycle": None}
    assert (night["precision"]["person"], night["recall"]["person"]) == (200 / 300, 200 / 300)
    assert (night["persons_found"], night["person_boxes"]) == (1, 2)
    assert report["objects"]["all"]["fused"]["pairs"] == 2


def test_each_camera_alone_noise_and_a_camera_that_drops_out_are_measured(street):
    report = report_street(HotIsPerson(), ObjectFolder(street), None, "street", Gallery(FMB), lambda _: None)
    day = report["objects"]["day"]
    assert list(day) == ["fused", "RGB alone", "infrared alone", NOISY, DROPPED]
    assert day["RGB alone"]["iou"]["person"] == 0
    assert day["infrared alone"]["iou"] == day["fused"]["iou"]
    assert 0 < day[NOISY]["iou"]["person"] < day["fused"]["iou"]["person"] + 0.05


def test_the_figures_of_failing_cameras_are_means_over_the_cameras_states():
    values = {"fused": 0.6, "RGB alone": 0.3, "infrared alone": 0.0, NOISY: 0.4, DROPPED: 0.2}
    found = failing_cameras({name: {"miou": value} for name, value in values.items()})
    expected = (0.9 * 0.6 + 0.1 * 0.3) / 1.1
    assert found == pytest.approx({"EMM": 0.3, "EMM expected": expected, "RMM": 0.2, "NM": 0.4})


def test_there_are_sheets_of_both_lights_and_of_the_worst(street, tmp_path):
    gallery = Gallery(FMB)
    report_street(HotIsPerson(), ObjectFolder(street), None, "street", gallery, lambda _: None)
    assert set(gallery.write(tmp_path)) == {"street-day", "street-night", "street-worst"}


def test_the_tables_name_every_object_and_light(street):
    report = report_street(HotIsPerson(), ObjectFolder(street), None, "street", Gallery(FMB), lambda _: None)
    found, failing = street_tables("msrs", {**report, "held_out": False})
    assert found.columns[1:5] == (*OBJECTS, "mean")
    assert [line[0] for line in found.rows][:2] == ["day, fused", "day, RGB alone"]
    assert found.rows[0][1] == "50.0" and found.rows[0][-1] == "1 of 2"
    assert [line[0] for line in failing.rows] == ["day", "night", "all"]
