# SPDX-License-Identifier: Apache-2.0
"""Calibration with a board: the rig is found again, and views that can't be one rig's are refused."""

from dataclasses import replace

import numpy as np
import pytest
from calibrating_fakes import BOARD, views_of

from segmif_ros.rig.calibrating.board import Detection, detect
from segmif_ros.rig.calibrating.board_rig import _advice, calibrate_board
from segmif_ros.rig.calibrating.expected import ExpectedError
from segmif_ros.rig.calibrating.views import BoardCollector
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.rig.registration import Registration, RegistrationConfig
from segmif_ros.ros.simulator.rigs import random_rig

TRUTH = random_rig(1)  # 320x256 plumb_bob beside 640x480 equidistant
SIZES = {"infrared": TRUTH.infrared.size, "rgb": TRUTH.rgb.size}
LENSES = (TRUTH.infrared.distortion_model, TRUTH.rgb.distortion_model)


@pytest.fixture(scope="module")
def views():
    return views_of(TRUTH)


def solve(views, **more):
    return calibrate_board(BOARD, views, SIZES, lenses=LENSES, **more)


def remap_errors(found, truth, depth_m=10.0) -> np.ndarray:
    config = RegistrationConfig(mode="stereo", reference_depth_m=depth_m)
    size = truth.rgb.width // 8, truth.rgb.height // 8
    maps = [Registration(config, each).maps(size, truth.infrared.size) for each in (found, truth)]
    both = (maps[0].valid & maps[1].valid).astype(bool)
    return np.hypot(*np.moveaxis(maps[0].pixels - maps[1].pixels, -1, 0))[both]


def test_the_rig_is_found_again_to_a_fraction_of_a_pixel(views) -> None:
    result = solve(views)
    assert remap_errors(result.calibration, TRUTH).mean() < 0.3
    assert np.linalg.norm(result.calibration.extrinsics.translation_m - TRUTH.extrinsics.translation_m) < 0.003
    assert result.calibration.infrared.K[0, 0] == pytest.approx(TRUTH.infrared.K[0, 0], rel=0.01)
    assert result.verdict.startswith("good: 0.")


def test_known_intrinsics_stay_as_they_are(views) -> None:
    result = solve(views, known=(TRUTH.infrared, TRUTH.rgb))
    assert result.calibration.infrared == TRUTH.infrared
    assert result.calibration.rgb == TRUTH.rgb
    assert remap_errors(result.calibration, TRUTH).mean() < 0.3


def test_bad_views_are_left_out_and_named(views) -> None:
    spoilt = list(views)
    for k in (3, 9):
        rgb = spoilt[k].rgb
        spoilt[k] = replace(spoilt[k], rgb=replace(rgb, pixels=rgb.pixels + np.array([25.0, -10.0])))
    result = solve(spoilt, known=(TRUTH.infrared, TRUTH.rgb))
    assert {each.name for each in result.residuals if not each.used} == {"view 3", "view 9"}
    assert remap_errors(result.calibration, TRUTH).mean() < 0.4


def test_a_view_whose_points_begin_at_the_opposite_corner_is_turned_back(views) -> None:
    turned = list(views)
    turned[5] = replace(turned[5], infrared=replace(turned[5].infrared, pixels=turned[5].infrared.pixels[::-1].copy()))
    result = solve(turned, known=(TRUTH.infrared, TRUTH.rgb))
    assert all(each.used for each in result.residuals)


def test_mirrored_images_are_named(views) -> None:
    def mirrored(found: Detection) -> Detection:
        pixels = found.pixels.copy()
        pixels[:, 0] = TRUTH.infrared.width - 1 - pixels[:, 0]
        return replace(found, pixels=pixels.reshape(6, 8, 2)[:, ::-1].reshape(-1, 2))

    with pytest.raises(CalibrationError, match="mirrored"):
        solve([replace(view, infrared=mirrored(view.infrared)) for view in views], known=(TRUTH.infrared, TRUTH.rgb))


def test_pairs_that_are_not_of_one_moment_are_refused(views) -> None:
    shuffled = [replace(view, infrared=views[(k + 5) % len(views)].infrared) for k, view in enumerate(views)]
    with pytest.raises(CalibrationError, match="one moment"):
        solve(shuffled, known=(TRUTH.infrared, TRUTH.rgb))


def test_too_few_views_are_refused_with_what_is_needed(views) -> None:
    with pytest.raises(CalibrationError, match="6 at least are needed"):
        solve(views[:4])


def test_few_views_are_said(views) -> None:
    result = solve(views[:6], known=(TRUTH.infrared, TRUTH.rgb))
    assert any("6 views were used" in each for each in result.advice)


def test_the_verdict_tells_what_the_error_is_where_no_board_was(views) -> None:
    half = [each for each in views_of(TRUTH, 40, seed=3) if each.rgb.pixels[:, 0].max() < 0.6 * TRUTH.rgb.width]
    whole, partly = solve(views), solve(half)
    assert partly.expected_px > 2 * whole.expected_px
    off = remap_errors(partly.calibration, TRUTH).mean() * TRUTH.rgb.K[0, 0] / TRUTH.infrared.K[0, 0]
    assert off / 3 < partly.expected_px < 6 * off
    left, _, right = np.array([row for row in partly.expected_cells_px if None not in row], float).T
    assert right.mean() > 2 * left.mean()


def test_parts_of_the_view_without_views_are_named() -> None:
    cells = np.array([[0.1, 0.1, 2.0], [0.1, 0.1, 0.2], [np.nan, 0.2, 0.3]])
    advice = _advice(BOARD, [], TRUTH.rgb, ExpectedError(mean_px=0.3, cells_px=cells))
    assert advice[0] == "add views in the upper right of the RGB image, where both cameras see"


def test_views_of_one_camera_alone_hold_its_lens() -> None:
    views = views_of(TRUTH, 8)
    alone = [replace(each, name=f"{each.name} alone", rgb=None) for each in views_of(TRUTH, 10, seed=9)]
    few, more = solve(views), solve([*views, *alone])
    assert sum(each.used for each in more.residuals) == 18
    assert more.expected_px < few.expected_px


def test_a_corner_that_is_far_off_weighs_little(views) -> None:
    spoilt = list(views)
    for k in range(0, len(views), 2):
        pixels = spoilt[k].infrared.pixels.copy()
        pixels[k % 40] += (4.0, -3.0)
        spoilt[k] = replace(spoilt[k], infrared=replace(spoilt[k].infrared, pixels=pixels))
    assert (
        remap_errors(solve(spoilt).calibration, TRUTH).mean()
        < 1.5 * remap_errors(solve(views).calibration, TRUTH).mean() + 0.02
    )


# --- collecting views from images ------------------------------------------------------------------------------------


def blank(size, grey=100) -> np.ndarray:
    return np.full(size[::-1], grey, np.uint8)


def test_no_board_says_what_to_check() -> None:
    collector = BoardCollector(BOARD)
    for k in range(2):
        collector.add(blank((96, 72)), np.dstack([blank((96, 72))] * 3), f"pair {k}")
    with pytest.raises(CalibrationError, match="no board found in 2 pairs"):
        collector.chosen()


def test_no_pair_at_all_is_said() -> None:
    with pytest.raises(CalibrationError, match="one clock"):
        BoardCollector(BOARD).chosen()


def test_frozen_images_are_named() -> None:
    collector = BoardCollector(BOARD)
    for k in range(6):
        collector.add(blank((96, 72)), np.dstack([blank((96, 72), 50 + k)] * 3), f"pair {k}")
    with pytest.raises(CalibrationError, match="infrared images are frozen"):
        collector.chosen()


def test_another_size_is_refused() -> None:
    collector = BoardCollector(BOARD)
    collector.add(blank((96, 72)), np.dstack([blank((96, 72))] * 3), "a")
    with pytest.raises(CalibrationError, match="b: infrared is 80x60, 96x72 before"):
        collector.add(blank((80, 60)), np.dstack([blank((96, 72))] * 3), "b")


def test_a_board_that_a_lamp_heats_unevenly_is_found() -> None:
    printed, _ = BOARD.print(14)
    counts = np.full((200, 320), 7000.0)
    counts[20 : 20 + printed.shape[0], 60 : 60 + printed.shape[1]] += 200 - 0.5 * printed
    v, u = np.mgrid[0:200, 0:320]
    counts += 4_000 * np.exp(-((u - 170) ** 2 + (v - 100) ** 2) / (2 * 70**2))
    counts += np.random.default_rng(0).normal(0, 3, counts.shape)
    found = detect(BOARD, counts.astype(np.uint16))
    assert found is not None
    # lines of the print lie half a pixel before the first pixel of a square
    columns = 60 + 14 * (2 + np.arange(8)) - 0.5
    np.testing.assert_allclose(np.sort(found.pixels[:, 0].reshape(6, 8).mean(axis=0)), columns, atol=0.3)


def test_two_boards_are_refused() -> None:
    printed, _ = BOARD.print(12)
    two = np.full((220, 520), 200, np.uint8)
    two[40 : 40 + printed.shape[0], 20 : 20 + printed.shape[1]] = printed
    two[40 : 40 + printed.shape[0], 280 : 280 + printed.shape[1]] = printed
    with pytest.raises(CalibrationError, match="two boards"):
        BoardCollector(BOARD).add(two, np.dstack([two] * 3), "pair 0")


def test_of_a_stream_only_a_board_at_rest_is_taken() -> None:
    printed, _ = BOARD.print(14)
    collector = BoardCollector(BOARD, moving=True)
    for k, left in enumerate((10, 40, 40, 41, 90)):
        image = np.full((200, 320), 200, np.uint8)
        image[20 : 20 + printed.shape[0], left : left + printed.shape[1]] = printed
        collector.add(255 - image, np.dstack([image] * 3), f"{k}")
    assert [view.name for view in collector.views] == ["2"]
    assert collector.views[0].common is not None
    assert collector.seen["moving"] == 3
    assert collector.seen["similar"] == 1
