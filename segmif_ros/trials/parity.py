# SPDX-License-Identifier: Apache-2.0
"""Numerical parity with the published networks: `python -m segmif_ros.trials.parity FOLDER`.

A folder of vectors holds one .npz per case with outputs of the published networks for weights and inputs that a formula
defines, so no weight file is needed. A case's file name tells its sizes: `b0_15_61x83.npz` is MiT-B0 with 15 classes on
an image of 61 rows and 83 columns. This module rebuilds weights and inputs, runs the model in float32 on the CPU and
prints one line a case: the largest absolute difference of every array, and pass or fail.
"""

import argparse
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segmif_ros.model.colour import rgb_to_ycrcb, stretched_bytes, with_luma
from segmif_ros.model.network import SegMiF, SegMiFConfig
from segmif_ros.training.batches import Batch
from segmif_ros.training.config import SourceConfig, TrainingConfig
from segmif_ros.training.losses import labelled_weight
from segmif_ros.training.phases import Phase, Truth
from segmif_ros.trials.parity_formula import ParityCase, image, labels, weight
from segmif_ros.trials.parity_options import BYTES_FRACTION, SMALL_FUSED_TOLERANCE, TAG, TOLERANCE
from segmif_ros.trials.parity_options import add_arguments as add_arguments


class ParityError(ValueError):
    """A folder without vectors."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one array is from the vectors.

    Attributes:
        name: of the array.
        largest: largest absolute difference.
        passed: within the array's tolerance.
        detail: its line in the report.
    """

    name: str
    largest: float
    passed: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class ParityRules:
    """How a set of vectors was drawn, and how near a model must come to it.

    Attributes:
        tag: What every seed text of the set begins with.
        tolerance: Largest absolute difference of float arrays.
        small_fused_tolerance: The same of the fused planes of 'small' cases.
        bytes_fraction: Share of a byte image's values that may differ, by one level.

    Raises:
        ParityError: A value is outside its range.
    """

    tag: str = TAG
    tolerance: float = TOLERANCE
    small_fused_tolerance: float = SMALL_FUSED_TOLERANCE
    bytes_fraction: float = BYTES_FRACTION

    def __post_init__(self) -> None:
        if not self.tag:
            raise ParityError("the tag is empty: give the one that the vectors were drawn with")
        for name in ("tolerance", "small_fused_tolerance"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ParityError(f"{name} is {getattr(self, name)}: it must be above 0")
        if not 0 <= self.bytes_fraction <= 1:
            raise ParityError(f"bytes_fraction is {self.bytes_fraction}: it must be from 0 to 1")


_RULES = ParityRules()


def build_model(case: ParityCase, tag: str = TAG) -> SegMiF:
    """The model with the case's weights, in evaluation mode."""
    model = SegMiF(SegMiFConfig(encoder=case.encoder, num_classes=case.num_classes))
    for network, module in (("fusion", model.fusion), ("seg", model.segmentation)):
        entries = module.state_dict().items()
        module.load_state_dict({key: torch.from_numpy(weight(network, key, e.shape, case, tag)) for key, e in entries})
    return model.eval()


@torch.no_grad()
def outputs(
    case: ParityCase, model: SegMiF, rgb_bytes: np.ndarray | None = None, tag: str = TAG
) -> dict[str, np.ndarray]:
    """Every array that the vectors hold, computed by the model.

    Args:
        case: what to compute.
        model: usually `build_model(case)`.
        rgb_bytes: (height, width, 3) uint8, what the segmentation network is shown; by default the model's own
            `rgb_u8_R`. The vectors' image goes here, so that a pixel that differs by one level doesn't spread.
        tag: of the set of vectors.
    """
    vis_u8 = image("vis", 3, case.height, case.width, tag)
    ir_u8 = image("ir", 1, case.height, case.width, tag)
    red, green, blue = vis_u8.astype(np.int64)
    mask_u8 = (((2 * red + 5 * green + blue) // 8 + ir_u8) // 2).astype(np.uint8)
    visible, infrared, mask = (torch.from_numpy(array)[None] / 255 for array in (vis_u8, ir_u8, mask_u8))
    results: dict[str, Tensor] = {}

    features = model.prior_features(mask)
    for index, feature in enumerate(features):
        results[f"mask_stage{index + 1}"] = feature
        full = F.interpolate(feature, size=(case.height, case.width), mode="bilinear", align_corners=False)
        results[f"feat{index}_sub"] = _subsample(full)
        results[f"feat{index}_chan_mean"] = full.mean(dim=(0, 2, 3))
        results[f"feat{index}_chan_rms"] = full.square().mean(dim=(0, 2, 3)).sqrt()

    parts: dict[str, list] = {"DRDB1": [], "DRDB2": [], "ffm": []}
    hooks = [
        model.fusion.get_submodule(name).register_forward_hook(lambda _m, _i, output, kept=kept: kept.append(output))
        for name, kept in parts.items()
    ]
    ycrcb = rgb_to_ycrcb(visible)
    fused_red = model.fusion(infrared, visible[:, :1], *features)
    for hook in hooks:
        hook.remove()
    fused_luma = model.fusion(infrared, ycrcb[:, :1], *features)
    results |= {"drdb1_sub": _subsample(parts["DRDB1"][0]), "drdb2_sub": _subsample(parts["DRDB2"][0])}
    for call, (ir_part, vis_part) in enumerate(parts["ffm"], start=1):
        results |= {f"ffm_call{call}_ir_sub": _subsample(ir_part), f"ffm_call{call}_vis_sub": _subsample(vis_part)}
    raw_red, raw_luma = with_luma(visible, fused_red), with_luma(visible, fused_luma)
    results |= {"ycrcb": ycrcb, "fused_from_R": fused_red, "fused_from_Y": fused_luma}
    results |= {"rgb_raw_R": raw_red, "rgb_raw_Y": raw_luma}
    results["rgb_u8_R"] = stretched_bytes(raw_red)[0].permute(1, 2, 0)
    results["rgb_u8_Y"] = stretched_bytes(raw_luma)[0].permute(1, 2, 0)

    shown = results["rgb_u8_R"] if rgb_bytes is None else torch.from_numpy(rgb_bytes)
    stages: list[list[Tensor]] = []
    encoder = model.segmentation.denoise_net.encoder
    hook = encoder.register_forward_hook(lambda _module, _inputs, output: stages.append(output))
    logits = model.segment(shown.permute(2, 0, 1)[None] / 255)
    hook.remove()
    results |= {"seg_stage3": stages[0][2], "seg_stage4": stages[0][3], "seg_logits_of_u8_R": logits}
    results["seg_pred_of_u8_R"] = _enlarged(logits, case).argmax(dim=1).to(torch.uint8)

    logits = model.segment(raw_luma)
    target = torch.from_numpy(labels(case.num_classes, case.height, case.width, tag))[None].long()
    results["seg_logits_of_raw_Y"] = logits
    results |= training_losses(model, infrared, visible, mask, target)
    arrays = {name: tensor.numpy() for name, tensor in results.items()}
    return {"in_vis_u8": vis_u8, "in_ir_u8": ir_u8, "in_mask_u8": mask_u8} | arrays


def training_losses(
    model: SegMiF, infrared: Tensor, visible: Tensor, mask: Tensor, target: Tensor
) -> dict[str, Tensor]:
    """The losses of two steps of a training: the last of the first round, and the first of the later ones.

    Args:
        model: in evaluation mode, as the vectors were recorded.
        infrared: (1, 1, H, W) in [0, 1].
        visible: (1, 3, H, W) in [0, 1], RGB.
        mask: (1, 1, H, W) in [0, 1], prior and fusion target.
        target: (1, H, W) int64 labels, 255 ignored.
    """
    recipe = TrainingConfig(name="parity", steps=2, first_round_steps=1, sources=(SourceConfig(kind="scenes"),))
    step = Phase(config=recipe, name="joint", first=0, end=2)
    batch = Batch(
        infrared=infrared,
        rgb=visible,
        prior=mask,
        target=mask,
        labels=target,
        absent=torch.zeros_like(target, dtype=torch.uint8),
        names=("parity",),
    )
    truth = Truth(total=labelled_weight(target))
    (first, _), (later, segmentation) = (step.losses(model, batch, number, truth) for number in (0, 1))
    return {"loss_round1_of_Y": first, "loss_later_of_Y": later, "ce_of_raw_Y": segmentation}


def compare(
    case: ParityCase,
    expected: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    rules: ParityRules = _RULES,
) -> list[Difference]:
    """One difference per array of either side; an array that only one side has fails."""
    return [_difference(case, name, expected.get(name), found.get(name), rules) for name in {**found, **expected}]


def check_file(path: Path, rules: ParityRules = _RULES) -> tuple[str, bool]:
    """Compares one file of vectors.

    Returns:
        the line to print and whether all arrays passed. A file that can't be used is a fail with the reason.
    """
    try:
        case = ParityCase.from_name(path.stem)
        with np.load(path, allow_pickle=False) as archive:
            expected = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        return f"{path.stem}: FAIL, {error}", False
    shown = expected.get("rgb_u8_R")
    if shown is not None and (shown.shape != (case.height, case.width, 3) or shown.dtype != np.uint8):
        return f"{path.stem}: FAIL, rgb_u8_R is {shown.dtype} {shown.shape}: the file doesn't fit its name", False
    differences = compare(case, expected, outputs(case, build_model(case, rules.tag), shown, rules.tag), rules)
    passed = all(difference.passed for difference in differences)
    details = ", ".join(difference.detail for difference in differences)
    return f"{path.stem}: {'pass' if passed else 'FAIL'} ({details})", passed


def run(options: argparse.Namespace) -> int:
    """Run `segmif parity`."""
    rules = ParityRules(
        tag=options.tag,
        tolerance=options.tolerance,
        small_fused_tolerance=options.small_fused_tolerance,
        bytes_fraction=options.bytes_fraction,
    )
    return check_folder(options.folder, rules)


def check_folder(folder: Path, rules: ParityRules = _RULES) -> int:
    """Compare every .npz of a folder and print a line for each; 1 if one fails. ParityError if there is none."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        reason = "holds no .npz vectors" if folder.is_dir() else "is no folder"
        raise ParityError(f"{folder}: {reason}: give the folder with the parity vectors")
    failed = 0
    for path in files:
        line, passed = check_file(path, rules)
        failed += not passed
        print(line, flush=True)
    print(f"{len(files) - failed} of {len(files)} cases pass")
    return 1 if failed else 0


def _difference(
    case: ParityCase, name: str, expected: np.ndarray | None, found: np.ndarray | None, rules: ParityRules
) -> Difference:
    if expected is None or found is None:
        which = "vectors" if expected is None else "model"
        return Difference(name=name, largest=np.inf, passed=False, detail=f"{name} not in the {which} FAIL")
    if expected.shape != found.shape or expected.dtype != found.dtype:
        detail = f"{name} {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape} FAIL"
        return Difference(name=name, largest=np.inf, passed=False, detail=detail)
    distance = np.abs(expected.astype(np.float64) - found.astype(np.float64))
    largest = float(distance.max())
    if expected.dtype == np.uint8:
        differing = int(np.count_nonzero(distance))
        allowed = int(rules.bytes_fraction * distance.size) if name.startswith("rgb_u8") else 0
        passed = differing <= allowed and largest <= 1
        detail = f"{name} {largest:.0f} ({differing} of {distance.size} values)" if differing else f"{name} equal"
    else:
        small_fused = case.small and name.startswith("fused_from")
        passed = largest <= (rules.small_fused_tolerance if small_fused else rules.tolerance)
        detail = f"{name} {largest:.1e}"
    return Difference(name=name, largest=largest, passed=passed, detail=detail if passed else f"{detail} FAIL")


def _subsample(full: Tensor) -> Tensor:
    return full[:, ::8, ::2, ::2]


def _enlarged(logits: Tensor, case: ParityCase) -> Tensor:
    return F.interpolate(logits, size=(case.height, case.width), mode="bilinear", align_corners=False)
