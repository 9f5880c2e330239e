# SPDX-License-Identifier: Apache-2.0
"""A model folder: a network of any design in a file, and model.yaml, which describes what goes in and comes out.

docs/own_network.md is the user's page. Nothing here loads the network: that is `segmif_ros.inference.folder_network`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from segmif_ros.imaging.fusion_rules import FUSION_RULES
from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.inference.weights import MODEL_FILE, WeightsError
from segmif_ros.labels import LabelSet, LabelSetError, label_set, parse_label_set, read_label_set
from segmif_ros.yaml_file import YamlError, read_yaml

FORMAT = 1
CHANNELS = ("infrared", "red", "green", "blue", "luma", "prior")
LAYOUTS = ("nchw", "nhwc", "chw", "hwc", "hw", "nhw")
TYPES = ("float32", "float16", "uint8")
# RGB: the fused image is the RGB image as it came
FUSED_RULES = ("rgb", *FUSION_RULES)
# suffix -> backends that run it, the one of "auto" first
FILE_BACKENDS = {
    ".onnx": ("onnxruntime", "openvino", "tensorrt"),
    ".xml": ("openvino",),
    ".torchscript": ("torch",),
}
_REQUIRED = ("name", "file", "licence", "label_set", "inputs", "outputs")
_OPTIONAL = ("format", "description", "data", "prior", "size", "fused_rule")
_OUTPUTS = ("logits", "labels", "confidence", "fused")
_DEFAULT_LAYOUT = {"logits": "nchw", "fused": "nchw", "labels": "nhw", "confidence": "nhw"}
_PRIOR_METHODS: tuple[str, ...] = get_args(PriorMethod)


class ModelFolderError(WeightsError):
    """A model folder that can't be used; one line with the file and the entry."""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One input tensor.

    Attributes:
        name: In the network's file.
        channels: Names of `CHANNELS`, in the tensor's order.
        layout: One of `LAYOUTS`: its axes; n is always 1.
        type: One of `TYPES`.
        low: What a byte of 0 becomes, before mean and std.
        high: What a byte of 255 becomes.
        mean: One a channel, taken off.
        std: One a channel, divided by.
    """

    name: str
    channels: tuple[str, ...]
    layout: str = "nchw"
    type: str = "float32"
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One output tensor.

    Attributes:
        name: In the network's file.
        layout: One of `LAYOUTS`: its axes; n is always 1.
        low: The value that becomes a byte of 0 (fused, confidence).
        high: The value that becomes a byte of 255.
    """

    name: str
    layout: str
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SizeSpec:
    """Which image sizes the network takes.

    Attributes:
        height: Its only height; 0: any.
        width: Its only width; 0: any.
        multiple_of: Both sides must be multiples of this; pairs are padded by their border.
        minimum: Smallest side.
    """

    height: int = 0
    width: int = 0
    multiple_of: int = 1
    minimum: int = 1

    @property
    def fixed(self) -> bool:
        """Whether there is one size only."""
        return self.height > 0

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the smallest size that holds height x width and that the network takes.

        Args:
            height: Rows of a pair.
            width: Its columns.
        """
        if self.fixed:
            return self.height, self.width
        sides = (max(side, self.minimum) for side in (height, width))
        rows, columns = (math.ceil(side / self.multiple_of) * self.multiple_of for side in sides)
        return rows, columns


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What model.yaml holds.

    Attributes:
        path: Of model.yaml.
        name: For diagnostics and reports.
        file: The network's file.
        licence: Terms, in words.
        description: One line; may be empty.
        data: What it was trained on; may be empty.
        labels: Classes by id.
        prior: Method of the prior image; None where no input takes it.
        size: Image sizes that it takes.
        inputs: Input tensors.
        outputs: Output tensors by kind: "logits" or "labels" always.
        fused_rule: Where there is no fused output: one of `FUSED_RULES`.
    """

    path: Path
    name: str
    file: Path
    licence: str
    labels: LabelSet
    inputs: tuple[InputSpec, ...]
    outputs: Mapping[str, OutputSpec]
    description: str = ""
    data: str = ""
    prior: PriorMethod | None = None
    size: SizeSpec = field(default_factory=SizeSpec)
    fused_rule: str = ""

    @property
    def backends(self) -> tuple[str, ...]:
        """Backends that run its file, the one of "auto" first."""
        return FILE_BACKENDS[self.file.suffix]


def read_model_folder(folder: Path) -> ModelSpec:
    """Read FOLDER/model.yaml.

    Returns:
        Its content, checked.

    Raises:
        ModelFolderError: It can't be read, or an entry is missing, unknown, contradictory or out of its range.
    """
    path = folder / MODEL_FILE
    try:
        return _Reader(path).spec(read_yaml(path))
    except YamlError as error:
        raise ModelFolderError(str(error)) from None
    except (ModelFolderError, LabelSetError) as error:
        raise ModelFolderError(f"{path}: {error}") from None


class _Reader:
    """Reads one model.yaml; errors name the entry, and the caller adds the file.

    Args:
        path: Of model.yaml.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def spec(self, content: Any) -> ModelSpec:
        entries = _mapping(content, "model.yaml", _REQUIRED, _OPTIONAL)
        if entries.get("format", FORMAT) != FORMAT:
            raise ModelFolderError(f"format is {entries['format']!r}: this software reads {FORMAT}: update segmif_ros")
        inputs = self._inputs(entries["inputs"])
        outputs = self._outputs(entries["outputs"])
        return ModelSpec(
            path=self._path,
            name=_text(entries["name"], "name"),
            file=self._file(entries["file"]),
            licence=_text(entries["licence"], "licence"),
            description=_text(entries.get("description", ""), "description", empty=True),
            data=_text(entries.get("data", ""), "data", empty=True),
            labels=self._labels(entries["label_set"]),
            prior=_prior(entries.get("prior"), inputs),
            size=_size(entries.get("size", {})),
            inputs=inputs,
            outputs=outputs,
            fused_rule=_fused_rule(entries.get("fused_rule"), outputs),
        )

    def _file(self, value: Any) -> Path:
        name = _text(value, "file")
        if Path(name).name != name:
            raise ModelFolderError(f"file is '{name}': give the name of a file in this folder, without a path")
        path = self._path.parent / name
        if path.suffix == ".pt2":
            raise ModelFolderError(
                f"file is '{name}': torch loads .pt2 by unpickling, which can run any code, so it is never loaded: "
                "write it as .onnx (torch.onnx.export) or .torchscript (torch.jit.trace(...).save)"
            )
        if path.suffix not in FILE_BACKENDS:
            raise ModelFolderError(f"file is '{name}': it must end with {', '.join(FILE_BACKENDS)}")
        if not path.is_file():
            raise ModelFolderError(f"file is '{name}': there is no such file beside it")
        return path

    def _labels(self, value: Any) -> LabelSet:
        if isinstance(value, dict):
            return parse_label_set(value)
        name = _text(value, "label_set")
        if name.endswith((".yaml", ".yml")):
            return read_label_set(self._path.parent / name)
        return label_set(name)

    def _inputs(self, value: Any) -> tuple[InputSpec, ...]:
        if not isinstance(value, list) or not value:
            raise ModelFolderError("inputs must be a list of at least one input, each with name and channels")
        inputs = tuple(_input(each, f"inputs[{index}]") for index, each in enumerate(value))
        names = [each.name for each in inputs]
        if len(set(names)) < len(names):
            raise ModelFolderError(f"inputs: two are called '{next(each for each in names if names.count(each) > 1)}'")
        return inputs

    def _outputs(self, value: Any) -> dict[str, OutputSpec]:
        entries = _mapping(value, "outputs", (), _OUTPUTS)
        if ("logits" in entries) == ("labels" in entries):
            raise ModelFolderError("outputs: give one of logits (scores of all classes) and labels (class ids)")
        if "logits" in entries and "confidence" in entries:
            raise ModelFolderError("outputs.confidence: is made from the logits: leave it out")
        return {kind: _output(kind, entries[kind]) for kind in entries}


def _input(value: Any, where: str) -> InputSpec:
    entries = _mapping(value, where, ("name", "channels"), ("layout", "type", "range", "mean", "std"))
    channels = entries["channels"]
    if not isinstance(channels, list) or not channels or not all(each in CHANNELS for each in channels):
        raise ModelFolderError(f"{where}.channels is {channels!r}: give a list of {', '.join(CHANNELS)}")
    layout = _choice(entries.get("layout", "nchw"), f"{where}.layout", LAYOUTS)
    if "c" not in layout and len(channels) != 1:
        raise ModelFolderError(
            f"{where}.layout is '{layout}', which holds one channel, but channels has {len(channels)}"
        )
    kind = _choice(entries.get("type", "float32"), f"{where}.type", TYPES)
    low, high = _range(entries.get("range", [0, 255] if kind == "uint8" else [0, 1]), f"{where}.range")
    mean = _numbers(entries.get("mean", []), f"{where}.mean", len(channels))
    std = _numbers(entries.get("std", []), f"{where}.std", len(channels))
    if any(each <= 0 for each in std):
        raise ModelFolderError(f"{where}.std is {list(std)}: each must be above 0")
    if kind == "uint8" and ((low, high) != (0, 255) or mean or std):
        raise ModelFolderError(f"{where}.type is uint8: bytes go in as they are: leave out range, mean and std")
    return InputSpec(
        name=_text(entries["name"], f"{where}.name"),
        channels=tuple(channels),
        layout=layout,
        type=kind,
        low=low,
        high=high,
        mean=mean,
        std=std,
    )


def _output(kind: str, value: Any) -> OutputSpec:
    where = f"outputs.{kind}"
    ranged = ("range",) if kind in ("fused", "confidence") else ()
    entries = _mapping(value, where, ("name",), ("layout", *ranged))
    layout = _choice(entries.get("layout", _DEFAULT_LAYOUT[kind]), f"{where}.layout", LAYOUTS)
    if kind == "logits" and "c" not in layout:
        raise ModelFolderError(f"{where}.layout is '{layout}': an axis c, for the classes, is needed")
    low, high = _range(entries.get("range", [0, 1]), f"{where}.range")
    return OutputSpec(name=_text(entries["name"], f"{where}.name"), layout=layout, low=low, high=high)


def _size(value: Any) -> SizeSpec:
    entries = _mapping(value, "size", (), ("width", "height", "multiple_of", "minimum"))
    for name, number in entries.items():
        if type(number) is not int or not 1 <= number <= 16384:
            raise ModelFolderError(f"size.{name} is {number!r}: a whole number from 1 to 16384 is needed")
    if ("width" in entries) != ("height" in entries):
        raise ModelFolderError("size: give both width and height, or neither")
    if "width" in entries and len(entries) > 2:
        raise ModelFolderError("size: width and height say the only size: leave out multiple_of and minimum")
    return SizeSpec(**entries)


def _prior(value: Any, inputs: tuple[InputSpec, ...]) -> PriorMethod | None:
    takes = any("prior" in each.channels for each in inputs)
    if value is None and takes:
        raise ModelFolderError(
            f"prior is missing, but an input has the channel prior: give {', '.join(_PRIOR_METHODS)}"
        )
    if value is not None and not takes:
        raise ModelFolderError(f"prior is {value!r}, but no input has the channel prior: leave it out")
    if value is None:
        return None
    method: PriorMethod = _choice(value, "prior", _PRIOR_METHODS)  # type: ignore[assignment]
    return method


def _fused_rule(value: Any, outputs: Mapping[str, OutputSpec]) -> str:
    if "fused" in outputs:
        if value is not None:
            raise ModelFolderError("fused_rule: the network gives a fused image (outputs.fused): leave one of both out")
        return ""
    if value is None:
        raise ModelFolderError(
            f"fused_rule is missing: the network gives no fused image, so say which rule makes one: "
            f"{', '.join(FUSED_RULES)}"
        )
    return _choice(value, "fused_rule", FUSED_RULES)


def _mapping(value: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    known = (*required, *optional)
    if not isinstance(value, dict):
        raise ModelFolderError(f"{where} must be a mapping with {', '.join(known)}")
    missing = [each for each in required if each not in value]
    if missing:
        raise ModelFolderError(f"{where} lacks {', '.join(missing)}")
    unknown = [str(each) for each in value if each not in known]
    if unknown:
        raise ModelFolderError(f"{where} has unknown entries {', '.join(unknown)}; known: {', '.join(known)}")
    return value


def _text(value: Any, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or (not empty and not value.strip()):
        raise ModelFolderError(f"{where} is {value!r}: a text is needed")
    return " ".join(value.split())


def _choice(value: Any, where: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ModelFolderError(f"{where} is {value!r}: use one of {', '.join(choices)}")
    return str(value)


def _range(value: Any, where: str) -> tuple[float, float]:
    low, high = _numbers(value, where, 2) or (0.0, 0.0)
    if low >= high:
        raise ModelFolderError(f"{where} is {value!r}: give [low, high], the smaller first")
    return low, high


def _numbers(value: Any, where: str, count: int) -> tuple[float, ...]:
    numbers = isinstance(value, list) and all(type(each) in (int, float) and math.isfinite(each) for each in value)
    if not numbers or len(value) not in (0, count):
        raise ModelFolderError(f"{where} is {value!r}: a list of {count} numbers is needed")
    return tuple(float(each) for each in value)
