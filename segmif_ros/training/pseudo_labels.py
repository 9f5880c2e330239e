# SPDX-License-Identifier: Apache-2.0
"""``segmif pseudo-label``: labels for pairs that have none, from what a trained network sees in their RGB images.

The segmentation network looks at each RGB image at several sizes and mirrored; where the mean probability of its best
class is high enough the pixel gets that class, else 255 (no truth). Images taken by night are left without truth, as
the network is least to be trusted there; they are recognised by their upper third, where a day has its sky. Infrared is
not looked at: a student that is then given both images, with the RGB image darkened, must learn to find the same things
by their heat.

The teacher's labels are no truth to validate on: ``--hold-out-every N`` leaves the pairs that a recipe's
``hold_out_every: N`` keeps for validation without a label file.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from segmif_ros.arrays import Image
from segmif_ros.command_line import complain
from segmif_ros.data.image_files import DatasetError, decode, read_content, read_rgb, to_grey
from segmif_ros.data.mixture import split_hold_out
from segmif_ros.data.pair_folder import PairFiles, PairFolder
from segmif_ros.evaluation.forward import to_plane
from segmif_ros.imaging.encodings import EncodingError
from segmif_ros.inference.weights import parse_weights, resolve_checkpoint
from segmif_ros.labels import IGNORE_ID, counterparts, label_set, label_set_of
from segmif_ros.model import SegMiF, load_checkpoint
from segmif_ros.reporting.progress import tracked
from segmif_ros.result_folder import ResultFolder
from segmif_ros.rig.errors import RegistrationError
from segmif_ros.rig.preparation import Preparation, preparation_config
from segmif_ros.rig.preparation_config import PreparationConfig
from segmif_ros.training.pseudo_label_options import PseudoLabelConfig
from segmif_ros.training.pseudo_label_options import add_arguments as add_arguments

PROG = "segmif pseudo-label"
_SCALES = (0.75, 1.0, 1.25)


@torch.no_grad()
def pseudo_label(
    model: SegMiF, rgb: Image, config: PseudoLabelConfig, ids: Mapping[int, int | None] | None = None
) -> Image:
    """Labels uint8 (H, W) of an RGB image uint8 (H, W, 3); 255 where the network is not sure.

    Args:
        model: In evaluation mode; its fusion network is not used.
        rgb: RGB, any size from 39 pixels on (29 / 0.75).
        config: When a pixel gets a label.
        ids: What each class of the model is written as, None for no label; as they are without it.
    """
    top = rgb[: max(1, rgb.shape[0] // 3)]
    if float(cv2.cvtColor(top, cv2.COLOR_RGB2GRAY).mean()) < config.darkest:
        return np.full(rgb.shape[:2], IGNORE_ID, np.uint8)
    plane = to_plane(rgb).to(next(model.parameters()).device)
    size = plane.shape[-2:]
    views = []
    for scale in _SCALES:
        sized = F.interpolate(plane, scale_factor=scale, mode="bilinear", antialias=scale < 1) if scale != 1 else plane
        for mirrored in (False, True):
            logits = model.segment(sized.flip(-1) if mirrored else sized)
            logits = logits.flip(-1) if mirrored else logits
            views.append(F.interpolate(logits, size=size, mode="bilinear", align_corners=False).softmax(dim=1))
    probability, labels = torch.stack(views).mean(dim=0)[0].max(dim=0)
    sure = probability >= config.confidence
    found = np.asarray(torch.where(sure, labels, IGNORE_ID).to(torch.uint8).cpu().numpy())
    if ids is None:
        return found
    table = np.full(256, IGNORE_ID, np.uint8)
    for theirs, ours in ids.items():
        table[theirs] = IGNORE_ID if ours is None else ours
    return table[found]


def run(options: argparse.Namespace) -> int:
    """Label a folder."""
    config = PseudoLabelConfig(confidence=options.confidence, darkest=options.darkest)
    model = load_checkpoint(resolve_checkpoint(parse_weights(options.weights)))
    folder = PairFolder(options.pairs)
    for note in folder.notes(with_labels=False):
        print(f"note: {note}")
    ids = None
    if options.label_set:
        theirs = label_set_of(model.metadata, model.config.num_classes)
        ids = counterparts(theirs, label_set(options.label_set))
    preparation = Preparation(preparation_config(options))
    skipped: list[str] = []
    labelled = write_labelled_copy(
        model, folder, options.out, config, ids, options.hold_out_every, preparation=preparation, skip=skipped.append
    )
    held_out = len(split_hold_out(len(folder), options.hold_out_every, held_out=True))
    kept = f", {held_out} of them held out without a label file" if held_out else ""
    written = len(folder) - len(skipped)
    print(f"{options.out}: {written} of {len(folder)} pairs{kept}, {100 * labelled:.1f} % of all pixels labelled")
    for line in skipped[:5]:
        complain(PROG, line)
    return 1 if skipped else 0


def write_labelled_copy(
    model: SegMiF,
    folder: PairFolder,
    out: Path,
    config: PseudoLabelConfig,
    ids: Mapping[int, int | None] | None = None,
    hold_out_every: int = 0,
    *,
    preparation: Preparation | None = None,
    skip: Callable[[str], None] = lambda _line: None,
) -> float:
    """Copy the pairs to ``out`` with their `pseudo_label` maps in labels/; returns the share of labelled pixels.

    With ``hold_out_every`` of n > 0 every n-th pair has no file in labels/, see `split_hold_out`. A pair that can't be
    used costs itself: ``skip`` gets the line. Raw infrared and pairs of two sizes are written as ``preparation`` makes
    them, so that what is written can be trained on.

    Raises:
        DatasetError: If no pair at all could be used, or a file can't be written.
    """
    with ResultFolder(out, PROG):
        return _labelled(model, folder, out, config, ids, hold_out_every, preparation, skip)


def _labelled(
    model: SegMiF,
    folder: PairFolder,
    out: Path,
    config: PseudoLabelConfig,
    ids: Mapping[int, int | None] | None,
    hold_out_every: int,
    preparation: Preparation | None,
    skip: Callable[[str], None],
) -> float:
    targets = [out / name for name in ("infrared", "visible", "labels")]
    for target in targets:
        target.mkdir(parents=True, exist_ok=True)
    held_out = set(split_hold_out(len(folder), hold_out_every, held_out=True))
    known = total = 0
    for index, files in enumerate(tracked(folder.files, "labels")):
        try:
            rgb = _copied(files, targets, preparation or Preparation(PreparationConfig()))
        except (DatasetError, RegistrationError, EncodingError) as error:
            skip(f"{files.name} is left out: {error}")
            continue
        total += rgb.shape[0] * rgb.shape[1]
        if index in held_out:
            (targets[2] / f"{files.name}.png").unlink(missing_ok=True)  # one of an earlier call
            continue
        labels = pseudo_label(model, rgb, config, ids)
        _write(targets[2] / f"{files.name}.png", labels)
        known += int((labels != IGNORE_ID).sum())
    if not total:
        raise DatasetError(f"{folder.root}: none of {len(folder)} pairs can be used")
    return known / total


def _copied(files: PairFiles, targets: Sequence[Path], preparation: Preparation) -> Image:
    """Write both images of a pair, as they are where they are ready; return the RGB image as it was written."""
    infrared = to_grey(decode(read_content(files.infrared), files.infrared, floats=True))
    rgb = read_rgb(files.rgb)
    ready = preparation.apply(infrared, rgb)
    if ready.infrared is infrared and ready.rgb is rgb:
        shutil.copyfile(files.infrared, targets[0] / files.infrared.name)
        shutil.copyfile(files.rgb, targets[1] / files.rgb.name)
        return rgb
    _write(targets[0] / f"{files.name}.png", ready.infrared)
    _write(targets[1] / f"{files.name}.png", np.asarray(cv2.cvtColor(ready.rgb, cv2.COLOR_RGB2BGR), np.uint8))
    return ready.rgb


def _write(path: Path, image: Image) -> None:
    if not cv2.imwrite(str(path), image):
        raise DatasetError(f"{path}: can't be written")
