# SPDX-License-Identifier: Apache-2.0
"""Numerical parity with the published networks: `python -m segmif_ros.trials.parity FOLDER`.

A folder of vectors holds one .npz per case with outputs of the published networks for weights and inputs that a formula
defines, so no weight file is needed. A case's file name tells its sizes: `b0_15_61x83.npz` is MiT-B0 with 15 classes on
an image of 61 rows and 83 columns. This module rebuilds weights and inputs, runs the model in float32 on the CPU and
prints one line a case: the largest absolute difference of every array, and pass or fail.
"""

import argparse
import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segmif_ros.model.colour import rgb_to_ycrcb, stretched_bytes, with_luma
from segmif_ros.model.encoder import MINIMUM_SIDE
from segmif_ros.model.network import SegMiF, SegMiFConfig
from segmif_ros.trials.parity_losses import first_round_loss, later_rounds_loss

TAG = "segmif-v2"
TOLERANCE = 5e-5
SMALL_FUSED_TOLERANCE = 2e-6
BYTES_FRACTION = 1e-3

_SMALL = re.compile(
    r"((patch_embed[1-4]\.(proj|norm)|attn\.(sr|proj)|mlp\.fc2|conv1_(ir|vis)|end_proj\d|cross\.norm\d|linear_fuse\.conv)"
    r"\.(weight|bias)|(Dcov\d|DRDB\d\.conv)\.bias|bn\.running_mean)$"
)
_NAME = re.compile(r"(b[0-5])_(\d{1,3})_(\d{1,4})x(\d{1,4})(?:_(sharp|small))?")


class ParityError(ValueError):
    """A folder without vectors."""


@dataclass(frozen=True, kw_only=True)
class ParityCase:
    """One case: sizes of model and image, and how the weights are drawn.

    Attributes:
        encoder: 'mit_b0' .. 'mit_b5'.
        num_classes: K.
        height: rows of the images.
        width: columns of the images.
        cross_gain: factor on the interaction's key and value weights; 0.1 makes its softmax nearly one-hot.
        small: shrink the signals before the normalisations to the size of their eps, so that a wrong eps shows.
    """

    encoder: str
    num_classes: int
    height: int
    width: int
    cross_gain: float = 0.03
    small: bool = False

    @classmethod
    def from_name(cls, name: str) -> "ParityCase":
        """Case of a file name without its suffix, like 'b3_9_96x128' or 'b0_15_64x96_small'.

        Raises:
            ValueError: not such a name, or the image is too small.
        """
        match = _NAME.fullmatch(name)
        if match is None or min(int(match[3]), int(match[4])) < MINIMUM_SIDE or int(match[2]) < 1:
            raise ValueError(
                f"'{name}' is no name of a case: expected b0..b5, classes, HEIGHTxWIDTH (29 or more) and perhaps "
                f"'sharp' or 'small', like b0_15_64x96_small"
            )
        return cls(
            encoder=f"mit_{match[1]}",
            num_classes=int(match[2]),
            height=int(match[3]),
            width=int(match[4]),
            cross_gain=0.1 if match[5] == "sharp" else 0.03,
            small=match[5] == "small",
        )


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


def seed(text: str) -> int:
    """First 8 bytes of SHA-256 of the text, little endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def words(state: int, count: int) -> np.ndarray:
    """The first `count` words (uint64) of the splitmix64 generator for a 64-bit state."""
    z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def weight(network: str, key: str, shape: Sequence[int], case: ParityCase, tag: str = TAG) -> np.ndarray:
    """Weights of one state-dict entry.

    Args:
        network: 'fusion' or 'seg'.
        key: as in the authors' checkpoint of that network.
        shape: of the entry.
        case: whose gain and smallness apply.
        tag: of the set of vectors.

    Returns:
        float32 of that shape (int64 for `num_batches_tracked`).
    """
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        centre, half_width = 1.0, 0.5
    elif last == "running_mean":
        centre, half_width = 0.0, 0.1
    elif len(shape) >= 2:
        gain = case.cross_gain if ".cross_attn" in key else 1.4 if ".Dcov" in key else 1.0
        centre, half_width = 0.0, gain * np.sqrt(3 / np.prod(shape[1:]))
    elif key == "conv22.bias":
        centre, half_width = 0.9, 0.1
    elif key == "relu.weight":
        centre, half_width = 0.25, 0.05
    elif last == "weight":
        centre, half_width = 1.0, 0.2
    else:
        centre, half_width = 0.0, 0.1
    drawn = words(seed(f"{tag}/{network}/{key}"), int(np.prod(shape))) >> np.uint64(11)
    values = centre + half_width * (drawn.astype(np.float64) * 2.0**-52 - 1)
    if case.small and _SMALL.search(key):
        values *= 0.003
    if case.small and key.endswith("bn.running_var"):
        values *= 1e-5
    return values.astype(np.float32).reshape(shape)


def image(name: str, planes: int, height: int, width: int, tag: str = TAG) -> np.ndarray:
    """Integer image (planes, height, width) uint8: 8x8 blocks with a texture of a quarter of their contrast."""
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = words(seed(f"{tag}/image/{name}/blocks"), planes * rows * columns).reshape(planes, rows, columns)
    texture = words(seed(f"{tag}/image/{name}/texture"), planes * height * width).reshape(planes, height, width)
    enlarged = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width] % 256
    return ((3 * enlarged + texture % 256) // 4).astype(np.uint8)


def labels(num_classes: int, height: int, width: int, tag: str = TAG) -> np.ndarray:
    """Label image (height, width) uint8 of 8x8 blocks; 255 is ignored."""
    rows, columns = -(-height // 8), -(-width // 8)
    ids = words(seed(f"{tag}/label"), rows * columns) % (num_classes + 1)
    ids[ids == num_classes] = 255
    return ids.astype(np.uint8).reshape(rows, columns).repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


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
    results["ce_of_raw_Y"] = F.cross_entropy(_enlarged(logits, case), target, ignore_index=255)
    results["loss_round1_of_Y"] = first_round_loss(fused_luma, mask)
    results["loss_later_of_Y"] = later_rounds_loss(fused_luma, mask)
    arrays = {name: tensor.numpy() for name, tensor in results.items()}
    return {"in_vis_u8": vis_u8, "in_ir_u8": ir_u8, "in_mask_u8": mask_u8} | arrays


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif parity`."""
    parser.add_argument("folder", type=Path, help="folder with .npz vectors")
    parser.add_argument("--tag", default=TAG, help="what the seeds of the set begin with (default: %(default)s)")
    for name, default, what in (
        ("tolerance", TOLERANCE, "largest difference of floats"),
        ("small-fused-tolerance", SMALL_FUSED_TOLERANCE, "the same of fused planes of 'small' cases"),
        ("bytes-fraction", BYTES_FRACTION, "share of byte values that may differ, by one level"),
    ):
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what} (default: %(default)s)")


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
