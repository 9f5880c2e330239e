# SPDX-License-Identifier: Apache-2.0
"""The figures of a weights report as tables, the same for terminal and page."""

from __future__ import annotations

from collections.abc import Mapping

from segmif_ros.evaluation.card.card_types import (
    CamVidFigures,
    CardReport,
    FlickerFigures,
    PairFigures,
    Ratio,
    SceneFigures,
    SequenceFigures,
    StreetFigures,
)
from segmif_ros.evaluation.card.conditions import INPUTS
from segmif_ros.evaluation.card.fusion_ranks import MODEL
from segmif_ros.evaluation.card.learning_curve import Point, score_series
from segmif_ros.reporting.numbers import number, percent
from segmif_ros.reporting.tables import Table


def report_tables(report: CardReport) -> list[Table]:
    """Return all tables of a report, in the order of its parts."""
    tables = []
    if "camvid" in report:
        tables += camvid_tables(report["camvid"])
    if "scenes" in report:
        tables += scene_tables(report["scenes"])
    for name, street in report.get("streets", {}).items():
        tables += street_tables(name, street)
    for name, pairs in report.get("pairs", {}).items():
        tables += pair_tables(name, pairs, report["model"]["name"])
    if "flicker" in report:
        tables.append(flicker_table(report["flicker"]))
    if report.get("sequences"):
        tables.append(sequence_table(report["sequences"]))
    if "curve" in report:
        tables.append(curve_table(report["curve"]))
    return tables


def camvid_tables(camvid: CamVidFigures) -> list[Table]:
    """Return mean IoU by day and night, and IoU by class."""
    figures, merged = camvid["segmentation"], camvid.get("merged")
    names = list(figures)
    classes = figures["RGB"]["classes_fixed"]
    rows = [
        (name, percent(figures[name]["miou_fixed"]), *([percent(merged[name]["miou_fixed"])] if merged else []))
        for name in names
    ]
    columns = ("input", f"{len(classes)} classes", *(["merged as in CamVid"] if merged else []))
    note = night_line(camvid)
    note += " The simulated infrared is made from the ground-truth labels, so these figures are optimistic."
    if merged:
        note += " Merged: truck and bus count as car, motorcycle as bicycle, lamp as sign."
    title = f"CamVid {camvid['split']}, {camvid['images']} images: mean IoU, %"
    by_class = [(c, *(percent(figures[name]["iou"][c]) for name in names)) for c in classes]
    tables = [
        Table(title=title, columns=columns, rows=tuple(rows), note=note),
        Table(title=f"CamVid {camvid['split']}: IoU, %", columns=("class", *names), rows=tuple(by_class)),
    ]
    return tables + ([night_table(camvid)] if "rgb_reference" in camvid else [])


def night_table(camvid: CamVidFigures) -> Table:
    """Return how much mIoU an RGB-only model and these weights lose at night."""
    found = camvid["rgb_reference"]
    named = {
        "RGB-only model": f"RGB-only model {found['name']} ({found['sha256']})",
        "without infrared": "these weights, grey 128 for infrared",
        "with infrared": "these weights, simulated infrared",
    }
    return Table(
        title=f"CamVid {camvid['split']}, loss at night: mean IoU, %, {len(found['classes'])} classes of both",
        columns=("model", "as is", "night", "lost"),
        rows=tuple(
            (named[name], *map(percent, (each["day"], each["night"], each["lost"])))
            for name, each in found["night"].items()
        ),
        note="Counted in CamVid's classes: predicted trucks and buses are cars, motorcycles bicyclists, lamps signs.",
    )


def night_line(camvid: CamVidFigures) -> str:
    """Return the loss at night in a sentence or two: whose it is, and beside what."""
    loss = camvid["night_loss"]
    without, with_ = (f"{100 * each:.1f}" for each in (loss["without infrared"], loss["with infrared"]))
    line = f"At night mIoU drops by {without} points without infrared, by {with_} with it{_share(loss)}."
    if "rgb_reference" not in camvid:
        return f"{line} Both are of these weights; --rgb-reference FILE measures a model trained on RGB alone."
    found = camvid["rgb_reference"]
    alone, both = (f"{100 * found['night'][name]['lost']:.1f}" for name in ("RGB-only model", "with infrared"))
    return (
        f"{line} Over the {len(found['classes'])} classes of both the RGB-only model {found['name']} loses {alone}, "
        f"this model with infrared {both}{_share(found)}."
    )


def _share(loss: Ratio) -> str:
    if loss["ratio"] is None:
        return "; there is no loss to compare with"
    return f", {100 * loss['ratio']:.0f} % of it: {'less' if loss['less_than_half'] else 'not less'} than half"


def scene_tables(scenes: SceneFigures) -> list[Table]:
    """Return mean IoU by lighting and input, by class, by misregistration, and of what one camera leaves."""
    return [_lighting_table(scenes), _class_table(scenes), _moved_table(scenes), _missing_table(scenes)]


def _lighting_table(scenes: SceneFigures) -> Table:
    segmentation, names = scenes["segmentation"], list(INPUTS)
    counts = {group: len(each["fused"]["classes_present"]) for group, each in segmentation.items()}
    total = len(segmentation["all"]["fused"]["classes_fixed"])
    few = ", ".join(f"{group} {count}" for group, count in counts.items() if count < total)
    where = f"{scenes['scenes_per_lighting']} of each lighting from seed {scenes['first_seed']}"
    return Table(
        title=f"Synthetic scenes, {where}: mean IoU, %",
        columns=("lighting", *names),
        rows=tuple(
            (group, *(percent(each[name]["miou_present"]) for name in names)) for group, each in segmentation.items()
        ),
        note=f"Mean over the classes that occur, of {total} without unlabelled" + (f" ({few})." if few else "."),
    )


def _class_table(scenes: SceneFigures) -> Table:
    segmentation, names = scenes["segmentation"], list(INPUTS)
    by_lighting = [group for group in segmentation if group != "all"]
    return Table(
        title="Synthetic scenes: IoU, %",
        columns=("class", *names, *(f"fused, {group}" for group in by_lighting)),
        rows=tuple(
            (
                c,
                *(percent(segmentation["all"][name]["iou"][c]) for name in names),
                *(percent(segmentation[group]["fused"]["iou"][c]) for group in by_lighting),
            )
            for c in segmentation["all"]["fused"]["iou"]
        ),
    )


def _moved_table(scenes: SceneFigures) -> Table:
    segmentation, moved = scenes["segmentation"], scenes["misregistration"]
    return Table(
        title="Synthetic scenes, infrared moved against RGB: mean IoU, %",
        columns=("pixels", *segmentation),
        rows=(
            *((shift, *(percent(each[group]) for group in segmentation)) for shift, each in moved.items()),
            ("RGB alone", *(percent(each["RGB alone"]["miou_present"]) for each in segmentation.values())),
        ),
        note="Right, left, down or up by whole pixels, one direction a scene.",
    )


def _missing_table(scenes: SceneFigures) -> Table:
    scores = scenes["segmentation"]["all"]
    return Table(
        title="Synthetic scenes, one camera missing",
        columns=("missing", "mean IoU, %", "SSIM with the other", "contrast of the other"),
        rows=tuple(
            (lost, percent(scores[each["input"]]["miou_present"]), number(each["ssim"]), number(each["contrast"]))
            for lost, each in scenes["missing"].items()
        ),
        note="Infrared is grey 128, RGB black. SSIM of the fused luma with the image that is left, and quotient "
        "of their standard deviations: 1 is that image itself.",
    )


def street_tables(name: str, street: StreetFigures) -> list[Table]:
    """Return what is found of persons, cars and bicycles, by light and input, and with failing cameras."""
    which = "never trained on" if street["held_out"] else "as given"
    objects = street["objects"]
    names = list(objects["all"]["fused"]["iou"])
    found = [
        (
            f"{light}, {source}",
            *(percent(each["iou"][one]) for one in names),
            percent(each["miou"]),
            *(percent(shares[one]) for one in names for shares in (each["precision"], each["recall"])),
            f"{each['persons_found']} of {each['person_boxes']}" if each["person_boxes"] else "-",
        )
        for light, inputs in objects.items()
        for source, each in inputs.items()
    ]
    counts = ", ".join(f"{light} {inputs['fused']['pairs']}" for light, inputs in objects.items())
    failing = street["failing_cameras"]
    return [
        Table(
            title=f"Real streets, {name} ({counts}; {which}): IoU, %",
            columns=("", *names, "mean", *(f"{one} {k}" for one in names for k in ("P", "R")), "persons found"),
            rows=tuple(found),
            note="Cars with trucks and buses, bicycles with motorcycles. P precision, R recall. A person's box counts "
            f"as found where {100 * street['found_share']:.0f} % of its pixels are called person.",
        ),
        Table(
            title=f"Real streets, {name}, failing cameras: mean IoU, %",
            columns=("", *next(iter(failing.values()))),
            rows=tuple((light, *(percent(value) for value in each.values())) for light, each in failing.items()),
            note="EMM: mean over both cameras, RGB alone and infrared alone; expected: each fails with a chance of "
            "0.1; RMM: for each pair, none, RGB or infrared is missing, drawn independently; NM: noise on both images.",
        ),
    ]


def pair_tables(name: str, pairs: PairFigures, model: str) -> list[Table]:
    """Return fusion metrics and ranks of model and baselines."""
    fusion, ranks = pairs["fusion"], pairs["ranks"]
    metrics = list(fusion[MODEL])
    ranked = [metric for metric in ranks[MODEL] if metric != "mean"]
    ahead = "ahead of" if pairs["ahead_of_every_baseline"] else "not ahead of"
    held_out = pairs.get("hold_out_every", 0)
    which = f"every {held_out}th" if held_out else "all"
    which += ", never trained on" if pairs["held_out"] else ", as given"

    def shown(row: str) -> str:
        return model if row == MODEL else row

    return [
        Table(
            title=f"Fusion of {pairs['pairs']} pairs of {name} ({which})",
            columns=("", *metrics),
            rows=tuple((shown(row), *(number(values.get(m)) for m in metrics)) for row, values in fusion.items()),
        ),
        Table(
            title=f"{name}: ranks",
            columns=("", *ranked, "mean rank"),
            rows=tuple(
                (shown(row), *(f"{values[m]:g}" for m in ranked), f"{values['mean']:.2f}")
                for row, values in ranks.items()
            ),
            note=f"By mean rank {model} is {ahead} every baseline.",
        ),
    ]


def flicker_table(flicker: FlickerFigures) -> Table:
    """Return the steadiness of the fused image."""
    rows = []
    for kind, figures in (("still", flicker["still"]), ("driving", flicker["driving"])):
        for lighting, each in figures.items():
            steps = [number(each["largest_step"][name]) for name in ("fused", "infrared", "RGB")]
            relative = [number(each["relative_change"][name]) for name in ("fused", "average")]
            rows.append((f"{kind}, {lighting}", *steps, *relative, percent(each["relabelled"])))
    return Table(
        title=f"Steadiness over {flicker['frames']} frames of a synthetic sequence",
        columns=(
            "sequence",
            "largest step, fused",
            "infrared",
            "RGB",
            "change / sources, fused",
            "average",
            "relabelled, %",
        ),
        rows=tuple(rows),
        note="Still: sensor noise, and a hot figure that walks past; measured where it never is. Largest step of that "
        "background's mean between frames, grey levels; mean change of a pixel over that of the sources, of the fused "
        "image and of their plain average; pixels whose label changes from frame to frame.",
    )


def sequence_table(sequences: Mapping[str, SequenceFigures]) -> Table:
    """Return the steadiness over real sequences."""
    return Table(
        title="Steadiness over real sequences",
        columns=("sequence", "frames", "change / sources, fused", "average", "relabelled, %"),
        rows=tuple(
            (
                name,
                str(each["frames"]),
                *(number(each["relative_change"][image]) for image in ("fused", "average")),
                percent(each["relabelled"]),
            )
            for name, each in sequences.items()
        ),
        note="All pixels, moving or not: mean change of a pixel from frame to frame over that of the sources, of the "
        "fused image and of their plain average; pixels whose label changes from frame to frame.",
    )


def curve_table(points: list[Point]) -> Table:
    """Return the last mean IoU of each validation source, and its best."""
    rows = []
    for source, (steps, values) in score_series(points).items():
        best = max(range(len(values)), key=values.__getitem__)
        rows.append((source, percent(values[-1]), f"{steps[-1]:g}", percent(values[best]), f"{steps[best]:g}"))
    return Table(
        title="Learning curve, validation samples: mean IoU, %",
        columns=("source", "last", "at step", "best", "at step"),
        rows=tuple(rows),
        note="As the training measured it on its validation samples, over every class that occurs. The log does not "
        "say what was shown: where the recipe had no other, CamVid came with infrared invented from the truth, which "
        "raises its score; stages that train the segmentation alone are shown RGB, or half infrared and half RGB.",
    )
