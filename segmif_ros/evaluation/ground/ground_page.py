# SPDX-License-Identifier: Apache-2.0
"""What `segmif evaluate-grid` shows people: tables, plots and pictures of grids beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.evaluation.ground.drives import DriveOutcome
from segmif_ros.evaluation.report_types import GroundFigures, ReliabilityCurve
from segmif_ros.grid.drawing import draw_grid
from segmif_ros.labels import LabelSet
from segmif_ros.reporting import plots
from segmif_ros.reporting.page import Page, Panels, Picture, Plot, Section, legend_of
from segmif_ros.reporting.page import render as render_page
from segmif_ros.reporting.pictures import picture_uri
from segmif_ros.reporting.tables import Table
from segmif_ros.scenes.drive import NOT_BLOCKED, truly_free

# figure -> heading, whether it is a share
COLUMNS = {
    "iou_free": ("IoU free", True),
    "iou_occupied": ("IoU occupied", True),
    "false_free": ("false free", True),
    "wrong_of_free": ("free wrong", True),
    "known": ("known", True),
    "obstacles_missed": ("missed", True),
    "distance_error_median_m": ("error, m", False),
    "distance_error_p95_m": ("p95, m", False),
    "distance_bias_m": ("bias, m", False),
}
EXPLAINED = (
    (
        "IoU free, occupied",
        "Of cells, against the true ground. Blocked cells within 0.25 m of what isn't free are right.",
    ),
    ("false free", "Share of the truly occupied cells that the grid calls free: the figure for safety."),
    ("free wrong", "Share of the cells that the grid calls free where something stands."),
    ("known", "Share of the cells in the camera's field of view that aren't unknown."),
    ("missed", "Share of the bearings with an obstacle where the grid has none within 2 m of it, or before it."),
    ("error, p95, bias", "Distance of the nearest obstacle on a bearing, where found; a negative bias is too near."),
)
_PIXELS = 420


def tables(results: Mapping[str, GroundFigures]) -> list[Table]:
    """Return a table for each band of range: conditions down, figures across."""
    first = next(iter(results.values()))
    found = []
    for band in first["bands"]:
        rows = tuple(
            (name, *(shown(each["bands"][band][key], share) for key, (_, share) in COLUMNS.items()))
            for name, each in results.items()
        )
        found.append(Table(title=band, columns=("", *(title for title, _ in COLUMNS.values())), rows=rows))
    rows = tuple((name, shown(each["reliability"]["expected_error"], True)) for name, each in results.items())
    found.append(
        Table(
            title="Reliability",
            columns=("", "expected error"),
            rows=rows,
            note="Mean difference between the probability that a cell is an obstacle and the share that isn't free.",
        )
    )
    found.append(Table(title="What the figures mean", columns=("", ""), rows=EXPLAINED, explained=True))
    return found


def shown(value: float | None, share: bool) -> str:
    """Return a figure as text: percent, or metres."""
    if value is None:
        return "-"
    return f"{100 * value:.1f}" if share else f"{value:.2f}"


def render(
    outcomes: Sequence[DriveOutcome], results: Mapping[str, GroundFigures], label_set: LabelSet, about: Sequence[Any]
) -> str:
    """Return the page as HTML text."""
    near = results[outcomes[0].condition.name]["bands"]
    curves = {
        name: _curve(each["reliability"])
        for name, each in results.items()
        if "pitch" not in name and any(each["reliability"]["cells"])
    }
    reliability = plots.curves(curves, "probability of an obstacle", "share that isn't free")
    samples = [Panels(title=each.condition.name, panels=_panels(each, label_set)) for each in outcomes if each.example]
    return render_page(
        Page(
            title="The planner's grid against the exact ground",
            lead="Drives with known poses through synthetic streets; every cell is compared with the world that was "
            "drawn.",
            facts=[
                (f"false free, {band}, {outcomes[0].condition.name}", f"{shown(each['false_free'], True)} %")
                for band, each in near.items()
            ],
            sections=(
                Section(title="How sure the grid is", items=(Plot(title="Reliability", svg=reliability),)),
                Section(
                    title="Grids beside the truth",
                    text="Grid and truth seen from above: light is free, the redder the costlier, dark is unknown; the "
                    "arrow is the robot. Colours of the labels:",
                    items=tuple(samples),
                    legend=legend_of(label_set),
                ),
            ),
            tables=tables(results),
            notes=about,
        )
    )


def picture(outcome: DriveOutcome, label_set: LabelSet) -> Image:
    """Return camera, labels, grid and truth of one moment in a row, (H, W, 3) uint8 RGB."""
    return np.hstack([image for _, image in _images(outcome, label_set)])


def _curve(reliability: ReliabilityCurve) -> tuple[list[float], list[float]]:
    stated, true = reliability["said"], reliability["true"]
    pairs = [(s, t) for s, t in zip(stated, true, strict=True) if s is not None and t is not None]
    return [each[0] for each in pairs], [each[1] for each in pairs]


def _panels(outcome: DriveOutcome, label_set: LabelSet) -> tuple[Picture, ...]:
    return tuple(
        Picture(caption=caption, uri=picture_uri(image, flat=caption != "camera"))
        for caption, image in _images(outcome, label_set)
    )


def _images(outcome: DriveOutcome, label_set: LabelSet) -> list[tuple[str, Image]]:
    example = outcome.example
    grid, truth, pose = example["grid"], example["truth"], example["pose"]
    robot = (float(pose[0, 3]), float(pose[1, 3]), 0.0)
    true_cost = np.where(truth.blocked != NOT_BLOCKED, 100, np.where(truly_free(truth), 0, 80)).astype(np.int8)
    seen_from_above = [
        draw_grid(each, pixels=2 * _PIXELS, robot=robot)[:_PIXELS, _PIXELS // 2 : -(_PIXELS // 2)]
        for each in (grid, replace(grid, cost=true_cost))
    ]
    width = round(_PIXELS * example["labels"].shape[1] / example["labels"].shape[0])
    camera = cv2.resize(example["scene"].rgb, (width, _PIXELS), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(label_set.colourise(example["labels"]), (width, _PIXELS), interpolation=cv2.INTER_NEAREST_EXACT)
    names = ("camera", "labels", "grid", "truth")
    return [
        (name, np.ascontiguousarray(image, np.uint8))
        for name, image in zip(names, (camera, labels, *seen_from_above), strict=True)
    ]
