# SPDX-License-Identifier: Apache-2.0
"""`segmif calibrate`: from images to the file that the node reads, and what can't be is said in one line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import browser

from segmif_ros.cli import main
from segmif_ros.rig.calibrating.board import parse_board
from segmif_ros.rig.calibrating.clicked_points import read_points
from segmif_ros.rig.calibration import Extrinsics, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml, load_calibration, load_camera
from segmif_ros.rig.registration import Registration, RegistrationConfig
from segmif_ros.ros.simulator.board_view import HeldBoard, planned_pose, pose_in_infrared
from segmif_ros.ros.simulator.rigs import CameraPlan, rotation_of
from segmif_ros.trials.calibrate.calibration_page import click_page
from segmif_ros.trials.calibrate.calibration_sources import NamedPair

BOARD = "checkerboard:7x5:0.08"
TRUTH = RigCalibration(
    infrared=CameraPlan(width=320, height=240, fov_deg=50, lens="plumb_bob").model(),
    rgb=CameraPlan(width=320, height=240, fov_deg=58, lens="plumb_bob").model(),
    extrinsics=Extrinsics(rotation=rotation_of(1, -1, 0.5), translation_m=np.array([0.08, 0.01, 0.0])),
)


def write_pair(folder, name, infrared, rgb) -> None:
    for kind, image in (("infrared", infrared), ("visible", rgb[..., ::-1])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / kind / f"{name}.png"), image)


@pytest.fixture(scope="module")
def board_folder(tmp_path_factory):
    folder, held = tmp_path_factory.mktemp("board"), HeldBoard(parse_board(BOARD))
    rng = np.random.default_rng(0)
    for k in range(10):
        pose = planned_pose(k, 5, held, TRUTH.infrared, TRUTH.rgb, TRUTH.extrinsics)
        rgb = rng.normal(90, 3, (240, 320, 3)).astype(np.uint8)
        counts = rng.normal(7000, 5, (240, 320)).astype(np.uint16)
        there = pose_in_infrared(pose, TRUTH.extrinsics)
        write_pair(
            folder, f"{k:02d}", held.into_infrared(counts, TRUTH.infrared, there), held.into_rgb(rgb, TRUTH.rgb, pose)
        )
    return folder


def test_a_folder_of_board_views_becomes_the_file_that_the_node_reads(board_folder, tmp_path, capsys) -> None:
    known = tmp_path / "known.yaml"
    known.write_text(calibration_yaml(RigCalibration(infrared=TRUTH.infrared, rgb=TRUTH.rgb)))
    out = tmp_path / "out"
    given = ["calibrate", "board", str(board_folder), "--board", BOARD, "--known", str(known), "--out", str(out)]
    assert main(given) == 0
    assert "px" in capsys.readouterr().out
    found = load_calibration(out / "rig.yaml")
    assert np.linalg.norm(found.extrinsics.translation_m - TRUTH.extrinsics.translation_m) < 0.02
    Registration(RegistrationConfig(mode="stereo"), found)
    assert load_camera(out / "infrared.yaml").size == (320, 240)
    report = json.loads((out / "report.json").read_text())
    assert report["pairs"]["both"] >= 6
    page = (out / "report.html").read_text()
    assert page.count('class="swipe"') >= 1
    assert report["verdict"] in page.replace("&#39;", "'")


def test_points_become_a_homography(tmp_path, capsys) -> None:
    write_pair(tmp_path / "pairs", "a", np.zeros((48, 64), np.uint8), np.zeros((96, 128, 3), np.uint8))
    rows = [f"{u} {v} {2 * u + 5} {2 * v + 3}" for u, v in ((5, 5), (55, 6), (8, 40), (50, 38), (30, 20), (20, 33))]
    (tmp_path / "points.txt").write_text("\n".join(rows))
    given = ["calibrate", "points", str(tmp_path / "pairs"), "--points", str(tmp_path / "points.txt")]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    assert "good: 0.0 px mean over 6 pairs" in capsys.readouterr().out
    found = load_calibration(tmp_path / "out" / "rig.yaml").homography
    np.testing.assert_allclose(found.to_rgb([[10, 10]]), [[25, 23]], atol=1e-6)


def test_a_page_to_click_points_on_is_written(tmp_path, capsys) -> None:
    write_pair(tmp_path / "pairs", "a", np.zeros((48, 64), np.uint8), np.zeros((96, 128, 3), np.uint8))
    assert main(["calibrate", "points", str(tmp_path / "pairs"), "--click", "--out", str(tmp_path / "out")]) == 0
    assert "points.html in a browser" in capsys.readouterr().out
    assert (tmp_path / "out" / "points.html").read_text().count("data:image/png") == 2


def test_points_clicked_in_a_browser_are_saved_in_the_pixels_of_the_cameras(tmp_path: Path) -> None:
    pair = NamedPair(name="a", infrared=np.zeros((512, 640), np.uint8), rgb=np.zeros((720, 1280, 3), np.uint8))
    (tmp_path / "points.html").write_text(click_page(pair))
    spots = [(0.2, 0.3), (0.8, 0.3), (0.2, 0.7), (0.8, 0.7)]  # of width and height
    with browser(tmp_path / "profile") as page:
        from selenium.webdriver.common.action_chains import ActionChains

        def click(alt: str, across: float, down: float) -> None:
            image = page.find_element("css selector", f"img[alt='{alt}']")
            width, height = (int(image.size[each]) for each in ("width", "height"))
            place = round((across - 0.5) * width), round((down - 0.5) * height)
            ActionChains(page).move_to_element_with_offset(image, *place).click().perform()

        page.get((tmp_path / "points.html").as_uri())
        click("RGB", 0.5, 0.5)  # not its turn
        for spot in spots:
            assert not page.find_element("id", "save").is_enabled()
            click("infrared", *spot)
            assert "in the RGB image" in page.find_element("id", "next").text
            click("RGB", *spot)
        assert page.find_element("id", "save").is_enabled()
        (tmp_path / "points.txt").write_text(page.find_element("id", "list").text)
    points = read_points(tmp_path / "points.txt")
    expected = [[640 * x, 512 * y, 1280 * x, 720 * y] for x, y in spots]
    np.testing.assert_allclose(points, expected, atol=3)


def test_frozen_images_are_named_by_the_scene_method_too(tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)
    for k in range(10):
        seen = rng.integers(0, 255, (48, 64, 3), np.uint8)
        write_pair(tmp_path / "pairs", str(k), np.full((48, 64), 90, np.uint8), seen)
    assert main(["calibrate", "scene", str(tmp_path / "pairs"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "frozen" in said
    assert len(said.strip().splitlines()) == 1


def test_swapped_folders_are_named(tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 255, (48, 64), np.uint8), rng.integers(0, 255, (48, 64, 3), np.uint8)
    write_pair(tmp_path / "pairs", "a", colour, np.dstack([grey] * 3))
    assert main(["calibrate", "scene", str(tmp_path / "pairs"), "--out", str(tmp_path / "out")]) == 2
    assert "exchange the folders" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["board"], "--board is needed"),
        (["board", "--board", "chess"], "KIND:COLUMNSxROWS:METRES"),
        (["board", "--board", "checkerboard:7x5:80"], "were these millimetres"),
        (["points"], "--points FILE is needed"),
        (["scene", "--translation", "0.1", "0", "0"], "--translation needs --known"),
        (["scene"], "8 at least are needed"),
    ],
)
def test_what_is_missing_is_said_in_one_line(given, told, tmp_path, capsys) -> None:
    write_pair(tmp_path / "pairs", "a", np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3), np.uint8))
    method, *more = given
    assert main(["calibrate", method, str(tmp_path / "pairs"), "--out", str(tmp_path / "out"), *more]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out" / "rig.yaml").exists()
