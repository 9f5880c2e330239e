# SPDX-License-Identifier: Apache-2.0
"""What weights find on CamVid by day and darkened to night, without and with infrared invented from the labels."""

from __future__ import annotations

from pathlib import Path

from segmif_ros.data.camvid import CamVid
from segmif_ros.data.sampling import spread
from segmif_ros.data.transforms import Sample
from segmif_ros.evaluation.card.card_types import CamVidFigures
from segmif_ros.evaluation.card.conditions import Pair, Purpose, generator, night, without_infrared
from segmif_ros.evaluation.card.night_loss import NIGHT, RGB, Comparison, RgbReference, night_loss
from segmif_ros.evaluation.card.scenes_part import SHOWN, Advance, Matrices, result_row, segmentation_figures
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.inference.engine import EngineProtocol
from segmif_ros.labels import CAMVID, FMB, counterparts

# classes of FMB that CamVid's coarser ones hold: its cars include trucks and buses, its signs traffic lights
_MERGED = {"truck": "car", "bus": "car", "motorcycle": "bicycle", "lamp": "sign"}


def report_camvid(
    engine: EngineProtocol,
    data: CamVid,
    most: int | None,
    gallery: Gallery,
    advance: Advance,
    reference: RgbReference | None = None,
) -> CamVidFigures:
    """Measure CamVid's RGB by day and darkened by `night`, each with a uniform grey and with invented infrared.

    Args:
        engine: Of FMB's classes, or of CamVid's own where ``data`` has them.
        data: One split.
        most: Images, spread evenly; None for all.
        gallery: Takes examples and the worst.
        advance: Called after every image.
        reference: What an RGB-only model loses by night is measured with this one.

    Returns:
        Figures over the classes that CamVid maps onto, "merged" ones with the predicted classes folded as coarsely as
        CamVid's are, what the night takes from these weights without and with infrared, and, where there is a
        reference, what it takes from that.
    """
    labels = engine.label_set
    indices = spread(len(data), len(data) if most is None else most)
    shown = {indices[i] for i in spread(len(indices), 2 * SHOWN)}
    matrices = Matrices(len(labels))
    comparison = None if reference is None else Comparison(reference, labels)
    for index in indices:
        sample = data.sample(index, generator(Purpose.INVENTED_INFRARED, index))
        for name, pair in _inputs(sample, index).items():
            result = engine.infer(*pair)
            score = matrices.add([(name,)], sample.labels, result.labels, sample.name)
            row = result_row(Path(sample.name).stem, score, pair, result, sample.labels)
            if name == RGB:
                gallery.offer("camvid-worst", score, row)
            if index in shown:
                gallery.show(f"camvid-{name.replace(' ', '-')}", row)
            if comparison is not None:
                comparison.add(name, pair[1], sample.labels, result.labels)
        advance(1)
    found = {key[0]: matrix for key, matrix in matrices.by_key.items()}
    classes = sorted({i for i in counterparts(CAMVID, labels).values() if i is not None})
    figures = {name: segmentation_figures(matrix, labels, classes) for name, matrix in found.items()}
    report: CamVidFigures = {
        "images": len(indices),
        "label_set": labels.name,
        "segmentation": figures,
        "night_loss": night_loss({name: each["miou_fixed"] for name, each in figures.items()}),
    }
    if labels.name == FMB.name:
        report["merged"] = {
            name: segmentation_figures(_merge(matrix), labels, classes) for name, matrix in found.items()
        }
    if comparison is not None:
        report["rgb_reference"] = comparison.figures()
    return report


def _inputs(sample: Sample, index: int) -> dict[str, Pair]:
    """Return the pairs that an image is shown as, by name."""
    dark = night(sample.rgb, index)
    return {
        RGB: without_infrared(sample.infrared, sample.rgb),
        "RGB with invented infrared": (sample.infrared, sample.rgb),
        NIGHT: without_infrared(sample.infrared, dark),
        "night RGB with invented infrared": (sample.infrared, dark),
    }


def _merge(matrix: ConfusionMatrix) -> ConfusionMatrix:
    """Count predictions of finer classes as those of the class of CamVid's that holds them."""
    merged = ConfusionMatrix(matrix.num_classes)
    merged.counts += matrix.counts
    for fine, coarse in _MERGED.items():
        merged.counts[:, FMB.id_of(coarse)] += merged.counts[:, FMB.id_of(fine)]
        merged.counts[:, FMB.id_of(fine)] = 0
    return merged
