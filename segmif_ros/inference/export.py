# SPDX-License-Identifier: Apache-2.0
"""`segmif export`: the network as ONNX or OpenVINO, checked against torch before the file is there."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
import yaml
from torch import Tensor, nn

from segmif_ros.command_line import SizeError, parse_size
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.inference.backends import TOLERANCES, lacking
from segmif_ros.inference.choice import mask_agreement, psnr_db
from segmif_ros.inference.engine import Engine, EngineConfig
from segmif_ros.inference.errors import EngineError
from segmif_ros.inference.export_options import ANY_SIZE, MULTIPLE
from segmif_ros.inference.export_options import add_arguments as add_arguments
from segmif_ros.inference.frame import FrameNetwork, FrameOutput
from segmif_ros.inference.networks import AUTHORS_PRIOR, MIN_SIDE, installed_first
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.inference.weights import MODEL_FILE, WeightsError, parse_weights, resolve_checkpoint
from segmif_ros.labels import LABEL_SETS, LabelSet, label_set_of
from segmif_ros.model import Rewrites, SegMiF, use_rewrites
from segmif_ros.model.checkpoint import load_network
from segmif_ros.model.designs import OnePass

INPUTS = ("infrared", "rgb", "prior")
OUTPUTS = ("fused", "logits")
FRAME_OUTPUTS = ("fused", "labels", "confidence")  # of a folder: bytes in and out, nothing left to do around the file
_LARGEST = 4096
_FILES = {"folder": "model.onnx", "onnx": "model.onnx", "openvino": "model.xml"}


class ExportError(EngineError):
    """The export can't be done as asked; one line."""


class ExportParityError(EngineError):
    """What was exported doesn't give torch's results; nothing was written."""

    exit_status = 1


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How near the exported network is to torch, over all pairs.

    Attributes:
        mask_agreement: Share of pixels with the same class id.
        fused_psnr_db: Of the fused images, peak 255; None where they are equal.
        backend: What ran the file.
        sizes: Rows and columns that were tried.
    """

    mask_agreement: float
    fused_psnr_db: float | None
    backend: str
    sizes: tuple[tuple[int, int], ...]

    @property
    def passed(self) -> bool:
        """Whether only rounding differs."""
        tolerance = TOLERANCES["float32"]
        near = self.fused_psnr_db is None or self.fused_psnr_db >= tolerance.fused_psnr_db
        return near and self.mask_agreement >= tolerance.mask_agreement

    def line(self) -> str:
        """Return the agreement in one line."""
        fused = "equal" if self.fused_psnr_db is None else f"{self.fused_psnr_db:.1f} dB"
        sizes = ", ".join(f"{columns}x{rows}" for rows, columns in self.sizes)
        share = f"{100 * self.mask_agreement:.4g} % of the labels"
        return f"parity with torch at {sizes}, run by {self.backend}: {share}, fused image {fused}"


class TensorNetwork(nn.Module):
    """The network between float planes, as other runtimes take it.

    Args:
        model: `SegMiF`, or something with its `forward`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, infrared: Tensor, rgb: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network on tensors alone.

        Args:
            infrared: (1, 1, H, W) in [0, 1].
            rgb: (1, 3, H, W) in [0, 1].
            prior: (1, 1, H, W) in [0, 1].

        Returns:
            Fused RGB (1, 3, H, W) in [0, 1], and logits (1, K, h, w).
        """
        output = self.model(infrared, rgb, prior)
        return output.fused_rgb, output.logits


class WithoutPrior(nn.Module):
    """A network that takes no prior image, without that input.

    Args:
        network: `TensorNetwork` or `FrameNetwork`, whose model doesn't look at the prior.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, infrared: Tensor, rgb: Tensor) -> Any:
        """Run a network that takes no prior image.

        Args:
            infrared: (1, 1, H, W) in [0, 1].
            rgb: (1, 3, H, W) in [0, 1].

        Returns:
            What the network gives.
        """
        return self.network(infrared, rgb, infrared)


def export(weights: Sequence[str], target: Path, kind: str, size: tuple[int, int] | None) -> Parity:
    """Write a network for other runtimes.

    Args:
        weights: A packaged name, one file, or the authors' two files.
        target: The folder, the .onnx file or the .xml file; it must not exist.
        kind: One of `FORMATS`.
        size: Rows and columns; None for any multiple of `MULTIPLE`.

    Returns:
        How near it is to torch.

    Raises:
        ExportError: The target exists or has another suffix, or a package is missing.
        ExportParityError: The results differ from torch's; nothing is written then.
        WeightsError: The weights aren't there.
    """
    _require_target(target, kind)
    paths = resolve_checkpoint(weights)
    backend = "openvino" if kind == "openvino" else installed_first(("onnxruntime", "openvino"))
    if line := lacking("onnxruntime") or lacking(backend, file=True):
        raise ExportError(line.replace("backend 'onnxruntime'", "export"))
    model = load_network(paths).requires_grad_(False)
    smallest = smallest_side(model)
    if size is not None and min(size) < MIN_SIDE:
        raise ExportError(f"--size {size[1]}x{size[0]}: each side must be at least {MIN_SIDE}")
    labels = label_set_of(model.metadata, model.config.num_classes)
    with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        _write_graph(model, folder / _FILES[kind], kind, size, smallest)
        name = model.metadata.get("name", "+".join(path.stem for path in paths))
        entries = describe(model, labels, name, kind, size, smallest)
        (folder / MODEL_FILE).write_text(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), encoding="utf-8")
        parity = measure_parity(model, folder, backend, [size] if size else _sizes_of_any(smallest))
        if not parity.passed:
            raise ExportParityError(f"{parity.line()}: this is more than rounding, so nothing is written")
        _move(folder, target, kind)
    return parity


def smallest_side(model: SegMiF | OnePass) -> int:
    """Return the smallest side of a graph of any size: the prior image at its scale must not get too small."""
    return math.ceil(MIN_SIDE * model.config.prior_scale / MULTIPLE) * MULTIPLE


def prior_of(model: SegMiF | OnePass) -> PriorMethod | None:
    """Return how the prior image is made that the network was trained with; None where it takes none."""
    if isinstance(model, OnePass):
        return None
    return cast(PriorMethod, model.metadata.get("prior", AUTHORS_PRIOR))


def describe(
    model: SegMiF | OnePass, labels: LabelSet, name: str, kind: str, size: tuple[int, int] | None, smallest: int
) -> dict[str, Any]:
    """Return the entries of model.yaml for an exported network of a format.

    Args:
        model: The network.
        labels: Its classes.
        name: Of the model.
        kind: The format, such as "onnx".
        size: (rows, columns) that it is fixed to; None for any.
        smallest: The smallest side that it takes.
    """
    known = LABEL_SETS.get(labels.name)
    own = {
        "name": labels.name,
        "ignore_id": labels.ignore_id,
        "classes": [
            {"name": each, "colour": colour} for each, colour in zip(labels.names, labels.palette.tolist(), strict=True)
        ],
    }
    metadata, prior = model.metadata, prior_of(model)
    channels = {"infrared": ["infrared"], "rgb": ["red", "green", "blue"]} | ({"prior": ["prior"]} if prior else {})
    outputs: dict[str, Any] = {"logits": {"name": "logits"}, "fused": {"name": "fused"}}
    inputs: list[dict[str, Any]] = [{"name": each, "channels": planes} for each, planes in channels.items()]
    if kind == "folder":
        outputs = {each: {"name": each, "layout": "hwc" if each == "fused" else "hw"} for each in FRAME_OUTPUTS}
        inputs = [{**each, "layout": "hwc" if each["name"] == "rgb" else "hw", "type": "uint8"} for each in inputs]
    return {
        "format": 1,
        "name": name,
        "file": _FILES[kind],
        "licence": metadata.get("licence_note") or "as the weights that it was exported from",
        "description": metadata.get("description", ""),
        "data": metadata.get("data", ""),
        "label_set": labels.name if known is not None and known.names == labels.names else own,
        "size": {"height": size[0], "width": size[1]} if size else {"multiple_of": MULTIPLE, "minimum": smallest},
        **({"prior": prior} if prior else {}),
        "inputs": inputs,
        "outputs": outputs,
    }


@torch.no_grad()
def measure_parity(model: SegMiF | OnePass, folder: Path, backend: str, sizes: Sequence[tuple[int, int]]) -> Parity:
    """Run pairs of every size through torch and through a model folder.

    Args:
        model: The network in torch.
        folder: The exported one.
        backend: What runs it.
        sizes: (rows, columns) of the pairs.

    Returns:
        How well the results agree, and how long each takes.
    """
    network, prior = FrameNetwork(model).eval(), prior_of(model)
    exported = Engine(EngineConfig(weights=(str(folder),), device="cpu", backend=backend))
    agreements, errors = [], []
    for rows, columns in sizes:
        for infrared, rgb in pattern_pairs(rows, columns):
            guide = infrared if prior is None else prior_image(infrared, rgb, method=prior)
            expected: FrameOutput = network(*(torch.from_numpy(each) for each in (infrared, rgb, guide)))
            found = exported.infer(infrared, rgb)
            agreements.append(mask_agreement(found.labels, expected.labels.numpy()))
            errors.append(psnr_db(found.fused, expected.fused.numpy()))
    measured = [each for each in errors if each is not None]
    return Parity(
        mask_agreement=min(agreements),
        fused_psnr_db=min(measured) if measured else None,
        backend=backend,
        sizes=tuple(sizes),
    )


def note(entries: dict[str, Any], classes: Sequence[str]) -> list[str]:
    """Return what a user of the file must know of its inputs and outputs, as lines.

    Args:
        entries: Of model.yaml.
        classes: Names, by id.
    """
    size = entries["size"]
    rows, columns = ("H", "W") if "height" not in size else (size["height"], size["width"])
    where = f"H and W multiples of {MULTIPLE}, at least {size['minimum']}" if rows == "H" else "this size only"
    numbered = f"classes: {', '.join(f'{index} {name}' for index, name in enumerate(classes))}"
    prior = [] if "prior" not in entries else [f"the prior image '{entries['prior']}', see docs/modes.md"]
    if "labels" in entries["outputs"]:
        return [
            f"inputs, bytes, {where}:",
            f"  infrared    ({rows}, {columns})     after the gain, registered to the RGB image",
            f"  rgb         ({rows}, {columns}, 3)  red, green, blue",
            *(f"  prior       ({rows}, {columns})     {each}" for each in prior),
            "outputs, bytes:",
            f"  fused       ({rows}, {columns}, 3)  RGB",
            f"  labels      ({rows}, {columns})     class ids",
            f"  confidence  ({rows}, {columns})     255 times the probability of the class",
            numbered,
        ]
    return [
        f"inputs, float32 in [0, 1] (bytes / 255), {where}:",
        f"  infrared  (1, 1, {rows}, {columns})  8 bit after the gain, registered to the RGB image",
        f"  rgb       (1, 3, {rows}, {columns})  red, green, blue",
        *(f"  prior     (1, 1, {rows}, {columns})  {each}" for each in prior),
        "outputs, float32:",
        f"  fused     (1, 3, {rows}, {columns})  RGB in [0, 1]",
        f"  logits    (1, {len(classes)}, ceil({rows}/4), ceil({columns}/4))  enlarge bilinearly, then argmax",
        numbered,
    ]


def run(options: argparse.Namespace) -> int:
    """Export, and print what was written and what goes in and out; return the exit status."""
    weights = parse_weights(options.weights)
    size = _size(options.size)
    parity = export(weights, options.output, options.format, size)
    model = load_network(resolve_checkpoint(weights))
    labels = label_set_of(model.metadata, model.config.num_classes)
    entries = describe(model, labels, "", options.format, size, smallest_side(model))
    print(f"written: {options.output}")
    print("\n".join(note(entries, labels.names)))
    print(parity.line())
    if options.format == "folder":
        print(f"run it: segmif bench --weights {options.output}, or weights:={options.output} for the node")
    return 0


def _write_graph(model: SegMiF | OnePass, file: Path, kind: str, size: tuple[int, int] | None, smallest: int) -> None:
    from segmif_ros.inference.backends import onnx_graph

    # the rewrites read sizes as numbers, so that a graph of any size is made without them
    if size is None:
        use_rewrites(model, Rewrites.none())
    rows, columns = size or (smallest + MULTIPLE, smallest + 2 * MULTIPLE)
    bytes_alone = kind == "folder"
    network: nn.Module = FrameNetwork(model) if bytes_alone else TensorNetwork(model)
    example: tuple[Tensor, ...]
    if bytes_alone:
        image = torch.full((rows, columns, 3), 128, dtype=torch.uint8)
        example = (image[..., 0].contiguous(), image, image[..., 0].contiguous())
    else:
        example = tuple(torch.full((1, channels, rows, columns), 0.5) for channels in (1, 3, 1))
    inputs = INPUTS if prior_of(model) else INPUTS[:2]
    if len(inputs) == 2:
        network = WithoutPrior(network)
    shapes = None
    if size is None:
        least, most = smallest // MULTIPLE, _LARGEST // MULTIPLE
        height, width = (MULTIPLE * torch.export.Dim(each, min=least, max=most) for each in ("rows32", "columns32"))
        axes = (0, 1) if bytes_alone else (2, 3)
        shapes = {name: dict(zip(axes, (height, width), strict=True)) for name in inputs}
    outputs = FRAME_OUTPUTS if bytes_alone else OUTPUTS
    graph = onnx_graph.export(network.eval(), example[: len(inputs)], inputs, outputs, shapes)
    for name, value in model.metadata.items():
        graph.metadata_props.add(key=name, value=value)
    onnx_file = file.with_suffix(".onnx")
    onnx_file.write_bytes(graph.SerializeToString())
    if file.suffix == ".xml":
        import openvino

        openvino.save_model(openvino.Core().read_model(onnx_file), file, compress_to_fp16=False)
        onnx_file.unlink()


def _sizes_of_any(smallest: int) -> list[tuple[int, int]]:
    """Two sizes that are not the example's."""
    return [(smallest + 3 * MULTIPLE, smallest + MULTIPLE), (smallest + 2 * MULTIPLE, smallest + 4 * MULTIPLE)]


def _move(folder: Path, target: Path, kind: str) -> None:
    if kind == "folder":
        shutil.move(folder, target)
        return
    if kind == "openvino":
        shutil.move(folder / "model.bin", target.with_suffix(".bin"))
    shutil.move(folder / _FILES[kind], target)


def _require_target(target: Path, kind: str) -> None:
    suffix = {"onnx": ".onnx", "openvino": ".xml"}.get(kind, "")
    if suffix and target.suffix != suffix:
        raise ExportError(f"{target}: --format {kind} writes a file that ends with {suffix}: name it so")
    if not suffix and target.suffix in (".onnx", ".xml"):
        raise ExportError(f"{target}: --format folder makes a folder; for a file give --format onnx or openvino")
    if target.exists() or (suffix == ".xml" and target.with_suffix(".bin").exists()):
        raise ExportError(f"{target}: is there already: name another or remove it")
    if not target.parent.is_dir():
        raise WeightsError(f"{target}: there is no folder {target.parent}: create it")


def _size(text: str) -> tuple[int, int] | None:
    if text == ANY_SIZE:
        return None
    try:
        width, height = parse_size(text)
    except SizeError as error:
        raise ExportError(f"{error}, or {ANY_SIZE}") from None
    return height, width
