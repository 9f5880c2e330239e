# SPDX-License-Identifier: Apache-2.0
"""From a record to figures, pictures and the page."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segmif_ros.stream.statistics import DROP_REASONS
from segmif_ros.trials.demo.demo_report import figures, read_picture, tables, write_report

AGE = {"p50": 100.0, "p95": 180.0, "p99": 190.0, "max": 200.0}


def _record() -> dict[str, Any]:
    topic = {"frames": 40, "rate_hz": 8.0, "age_ms": AGE}
    return {
        "inputs": {"infrared/image_raw": topic, "rgb/image_raw": topic},
        "outputs": {"fused/image": {**topic, "matched": 39}, "segmentation/mask": {**topic, "frames": 0, "age_ms": {}}},
        "diagnostics_first": {"pairs": "10", "processed": "8", "dropped_superseded": "2"},
        "diagnostics": {
            "pairs": "60",
            "processed": "48",
            "dropped_superseded": "12",
            "stage_network_ms_p50": "70.5",
            "stage_network_ms_p95": "150.0",
            "stage_network_ms_p99": "152.0",
        },
    }


def _sample(folder: Path, classes: list[dict[str, Any]]) -> dict[str, Any]:
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[..., 2] = 250  # red in OpenCV's order
    labels = np.zeros((60, 80), np.uint8)
    labels[:15] = 1
    files = {}
    for part, image in (
        ("infrared", labels),
        ("rgb", rgb),
        ("fused", rgb),
        ("labels", labels),
        ("confidence", labels),
        ("overlay", rgb),
    ):
        files[part] = f"{part}.png"
        cv2.imwrite(str(folder / files[part]), image)
    return {"files": files, "classes": classes}


CLASSES = [
    {"id": 0, "name": "road", "colour": [10, 20, 30], "pixels": 3600},
    {"id": 1, "name": "car", "colour": [40, 50, 60], "pixels": 1200},
    {"id": 2, "name": "bus", "colour": [70, 80, 90], "pixels": 0},
]


def test_counts_are_those_since_the_recorder_began() -> None:
    found = figures(_record())
    assert (found.pairs, found.processed, dict(found.dropped)) == (50, 40, {"superseded": 10})


def test_stage_times_come_from_the_node_and_ages_from_outside() -> None:
    found = figures(_record())
    assert found.stage_ms == {"network": {"p50": 70.5, "p95": 150.0, "p99": 152.0}}
    assert found.age_ms == AGE
    assert found.rate_hz == 8.0


def test_the_tables_say_every_drop_and_every_topic() -> None:
    pairs, stages, topics = tables(figures(_record()))
    assert [row[:2] for row in pairs.rows] == [("in", "50"), ("processed", "40"), ("dropped: superseded", "10")]
    assert stages.rows == (("network", "70.5", "150", "152"),)
    assert topics.rows[2] == ("fused/image", "40", "39", "8.0", "100", "180", "190", "200")
    assert topics.rows[3][4:] == ("-", "-", "-", "-")


def test_a_record_without_a_single_diagnostic_has_zero_counts() -> None:
    found = figures({**_record(), "diagnostics_first": {}, "diagnostics": {}})
    assert (found.pairs, found.processed) == (0, 0)


def test_labels_are_coloured_by_the_class_table_and_absent_classes_left_out(tmp_path: Path) -> None:
    picture = read_picture(tmp_path, _sample(tmp_path, CLASSES), 1, "after 2.0 s")
    labels = picture.panels["labels"]
    assert labels[0, 0].tolist() == [40, 50, 60]
    assert labels[59, 0].tolist() == [10, 20, 30]
    assert [(each.name, each.share) for each in picture.legend] == [("road", 0.75), ("car", 0.25)]
    assert picture.panels["RGB"][0, 0].tolist() == [250, 0, 0]
    assert picture.file == "001_after_2_0_s.png"


def test_without_a_class_table_labels_stay_grey_and_there_is_no_legend(tmp_path: Path) -> None:
    picture = read_picture(tmp_path, _sample(tmp_path, []), 1, "x")
    assert picture.panels["labels"].ndim == 2
    assert picture.legend == ()


def test_a_lost_file_is_said(tmp_path: Path) -> None:
    sample = _sample(tmp_path, CLASSES)
    (tmp_path / "fused.png").unlink()
    with pytest.raises(OSError, match=r"fused\.png can't be read"):
        read_picture(tmp_path, sample, 1, "x")


def test_the_report_is_pictures_json_and_a_page(tmp_path: Path) -> None:
    old = tmp_path / "pictures" / "007_of_an_earlier_run.png"
    mine = tmp_path / "pictures" / "holiday.png"
    old.parent.mkdir()
    old.touch()
    mine.touch()
    picture = read_picture(tmp_path, _sample(tmp_path, CLASSES), 1, "night")
    write_report(
        tmp_path,
        figures(_record()),
        [picture],
        title="Demo",
        lead="All went well.",
        notes=[("model", "tiny")],
        facts={"model": "tiny"},
    )
    assert not old.exists()
    assert mine.exists()
    sheet = cv2.imread(str(tmp_path / "pictures" / "001_night.png"))
    assert sheet.shape[1] == 6 * 80 + 5 * 6
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["model"], report["processed"], report["dropped"]) == ("tiny", 40, {"superseded": 10})
    assert report["pictures"][0]["classes"] == {"road": 0.75, "car": 0.25}
    page = (tmp_path / "index.html").read_text()
    for each in ("All went well.", "40 of 50", "pictures/001_night.png", "superseded", "tiny"):
        assert each in page


def test_a_page_shows_a_choice_of_many_pictures(tmp_path: Path) -> None:
    sample = _sample(tmp_path, CLASSES)
    pictures = [read_picture(tmp_path, sample, i, f"pair {i}") for i in range(1, 31)]
    write_report(tmp_path, figures(_record()), pictures, title="", lead="", notes=[], facts={})
    assert (tmp_path / "index.html").read_text().count("<figure>") == 12 * 6
    assert len(list((tmp_path / "pictures").iterdir())) == 30


def test_every_reason_to_drop_is_explained() -> None:
    dropped = {f"dropped_{reason}": "0" for reason in DROP_REASONS}
    pairs, *_ = tables(figures({**_record(), "diagnostics_first": dropped, "diagnostics": dropped}))
    assert all(meaning for _, _, meaning in pairs.rows)
    assert len(pairs.rows) == 2 + len(DROP_REASONS)
