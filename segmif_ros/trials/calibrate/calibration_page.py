# SPDX-License-Identifier: Apache-2.0
"""The pages of `segmif calibrate`: before and after under a slider, residuals, coverage; and one to click points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import jinja2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.reporting.page import Page, Picture, Section, Swipe, render, style
from segmif_ros.reporting.pictures import picture_uri
from segmif_ros.reporting.tables import Table
from segmif_ros.rig.calibrating.board import stretched
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.registration import Registration, RegistrationConfig

if TYPE_CHECKING:
    from segmif_ros.trials.calibrate.calibration_sources import NamedPair
    from segmif_ros.trials.calibrate.command import Outcome

CLICK_PAGE = Path(__file__).parents[1] / "pages" / "click.html"
_WIDTH_PX = 720
_FAR_M = 10.0  # where the page registers what the calibration has extrinsics for
_CELLS = ("top", "middle", "bottom")


def report_page(method: str, outcome: Outcome) -> str:
    """Return the page of a calibration as HTML text."""
    at = f" at {_FAR_M:g} m" if outcome.calibration.extrinsics else ""
    frames = []
    for pair in outcome.shown:
        before, after = _before_and_after(pair, outcome.calibration)
        layers = (("registered", after), ("resized", before))
        pictures = tuple(Picture(caption=name, uri=picture_uri(image)) for name, image in layers)
        frames.append(Swipe(title=pair.name, layers=pictures))
    return render(
        Page(
            title=f"Calibration by {method}",
            lead=outcome.verdict,
            sections=(
                Section(
                    title="Before and after",
                    text="Infrared in red over RGB in cyan: what fits looks grey. Left of the slider only resized, "
                    f"right of it registered{at}.",
                    items=tuple(frames),
                ),
            ),
            tables=_tables(outcome.facts),
            notes=_notes(outcome.calibration),
        )
    )


def click_page(pair: NamedPair) -> str:
    """Return a page on which pairs of points are clicked and saved as the file that --points reads."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    images = [picture_uri(each, flat=True) for each in (stretched(pair.infrared), pair.rgb)]
    return environment.from_string(CLICK_PAGE.read_text(encoding="utf-8")).render(
        infrared=images[0], rgb=images[1], name=pair.name, style=style()
    )


def _before_and_after(pair: NamedPair, calibration: RigCalibration) -> tuple[Image, Image]:
    """Return both images laid over one another, only resized and registered; agreement looks grey."""
    infrared = stretched(pair.infrared)
    plain = Registration(RegistrationConfig(mode="resize")).apply(infrared, pair.rgb)
    mode = "stereo" if calibration.extrinsics else "homography"
    config = RegistrationConfig(mode=mode, reference_depth_m=_FAR_M)
    fitting = calibration
    if calibration.infrared and calibration.rgb:
        fitting = replace(
            calibration,
            infrared=calibration.infrared.scaled(*infrared.shape[1::-1]),
            rgb=calibration.rgb.scaled(*pair.rgb.shape[1::-1]),
        )
    made = Registration(config, fitting).apply(infrared, pair.rgb)
    before, after = (_overlay(each.infrared, each.rgb) for each in (plain, made))
    return before, after


def _overlay(infrared: Image, rgb: Image) -> Image:
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    mixed = np.dstack([infrared, grey, grey])
    height = max(1, round(mixed.shape[0] * _WIDTH_PX / mixed.shape[1]))
    return np.asarray(cv2.resize(mixed, (_WIDTH_PX, height), interpolation=cv2.INTER_AREA), np.uint8)


def _tables(facts: dict[str, Any]) -> list[Table]:
    tables = []
    if cells := facts.get("expected_cells_px"):
        parts = tuple(
            (name, *("" if cell is None else f"{cell:.2f}" for cell in row))
            for name, row in zip(_CELLS, cells, strict=True)
        )
        note = (
            "RGB pixels at 10 m, by the covariance of the fit, also where no board was; empty: not seen by infrared. "
            f"Where the board was, {facts['transfer_px']:.2f} px are left between the cameras."
        )
        thirds = ("", "left", "middle", "right")
        tables.append(Table(title="Error to expect, parts of the RGB image", columns=thirds, rows=parts, note=note))
    for camera, counts in facts.get("coverage", {}).items():
        rows = tuple((name, *map(str, row)) for name, row in zip(_CELLS, counts, strict=True))
        title = f"Board points, {'RGB' if camera == 'rgb' else camera} image"
        tables.append(Table(title=title, columns=("", "left", "middle", "right"), rows=rows))
    if views := facts.get("views"):
        rows = tuple(
            (
                each["name"],
                *("" if each[key] is None else f"{each[key]:.2f}" for key in ("infrared_px", "rgb_px", "transfer_px")),
                "yes" if each["used"] else "no",
            )
            for each in views
        )
        note = "Residuals in pixels of each image; transfer: from one camera to the other, in RGB pixels."
        columns = ("view", "infrared", "RGB", "transfer", "used")
        tables.append(Table(title="Views", columns=columns, rows=rows, note=note))
    if residuals := facts.get("residuals_px"):
        rows = tuple(
            (str(k + 1), f"{off:.2f}", "yes" if used else "no")
            for k, (off, used) in enumerate(zip(residuals, facts["used"], strict=True))
        )
        tables.append(Table(title="Pairs of points", columns=("pair", "px", "used"), rows=rows))
    return tables


def _notes(calibration: RigCalibration) -> list[tuple[str, str]]:
    notes = []
    for name, camera in (("infrared", calibration.infrared), ("RGB", calibration.rgb)):
        if camera is not None:
            K = camera.K
            focal = f"f {K[0, 0]:.1f} {K[1, 1]:.1f} px, centre {K[0, 2]:.1f} {K[1, 2]:.1f}"
            notes.append((name, f"{camera.width}x{camera.height}, {focal}, {camera.distortion_model}"))
    if (mount := calibration.extrinsics) is not None:
        turn = np.degrees(np.ravel(cv2.Rodrigues(mount.rotation)[0]))
        place = " ".join(f"{1e3 * each:.1f}" for each in mount.translation_m)
        notes.append(("infrared camera's place", f"{place} mm right, down and ahead of the RGB camera"))
        notes.append(("turn", " ".join(f"{each:.2f}" for each in turn) + " degrees about x, y, z"))
    if calibration.homography is not None:
        rows = (" ".join(f"{value:.4g}" for value in row) for row in calibration.homography.matrix)
        notes.append(("homography", "; ".join(rows)))
    return notes
