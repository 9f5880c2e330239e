# SPDX-License-Identifier: Apache-2.0
"""Reading and writing weights: this project's one-file checkpoints and the authors' pairs of files.

Ours is one safetensors file with keys `fusion.*` and `segmentation.*`. The authors publish two PyTorch files, a state
dict of the fusion network and one of the segmentation network (`denoise_net.*`). In all of them the sizes of the model
(encoder, classes, widths) are read off the tensors' shapes. Only tensors are ever unpickled (`weights_only=True`).
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from segmif_ros.files import replace_file
from segmif_ros.model.designs import OnePass, build
from segmif_ros.model.encoder import ENCODERS
from segmif_ros.model.network import FUSION_SCALES, PRIOR_SCALES, Design, SegMiF, SegMiFConfig
from segmif_ros.model.weight_files import CheckpointError, one_line, read_state, require_finite, shown

FORMAT_VERSION = 1

_FUSION = "fusion."
_SEGMENTATION = "segmentation."
# what no tensor shows; files without them have 1 and the cascade
_PRIOR_SCALE = "prior_scale"
_DESIGN = "design"
_RANDOM = {Tensor.normal_, Tensor.uniform_, *(getattr(torch.nn.init, f"{name}_") for name in (
    "normal", "uniform", "trunc_normal", "kaiming_normal", "kaiming_uniform"
))}  # fmt: skip
_HALF_LIMIT = torch.finfo(torch.float16).max


def load_checkpoint(paths: str | Path | Sequence[str | Path], *, expected_classes: int | None = None) -> SegMiF:
    """Builds the cascade that the files hold, in float32 on the CPU, in evaluation mode.

    Args:
        paths: one file written by `save_checkpoint`, or the authors' two files in either order (PyTorch or safetensors;
            a `module.` prefix and a `{'state_dict': ...}` wrapper are taken off).
        expected_classes: refuse a checkpoint for another number of classes.

    Returns:
        the model; `model.metadata` holds the file's strings (empty for the authors' files).

    Raises:
        CheckpointError: a file is missing, truncated or no checkpoint, the files don't belong together, a key is
            missing, unexpected or of another shape, or the class count is not the expected one; or they hold another
            design than the cascade.
    """
    model = load_network(paths, expected_classes=expected_classes)
    if isinstance(model, OnePass):
        file = paths if isinstance(paths, str | Path) else paths[0]
        raise CheckpointError(
            f"{file}: holds a network of design '{model.config.design}': write it as a model folder "
            "(segmif export FILE FOLDER), and give the folder"
        )
    return model


def load_network(
    paths: str | Path | Sequence[str | Path], *, expected_classes: int | None = None
) -> SegMiF | OnePass:
    """Builds the network that the files hold, of any design; see `load_checkpoint`."""
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if len(files) not in (1, 2):
        raise CheckpointError(f"{len(files)} checkpoint files given: give one of ours, or the authors' two")
    tensors: dict[str, Tensor] = {}
    sources: dict[str, Path] = {}
    metadata: dict[str, str] = {}
    for file in files:
        state, strings = read_state(file)
        _require_known_format(strings, file)
        for part, prefixed in _split(state, file).items():
            if part in sources:
                raise CheckpointError(
                    f"{file}: holds the {part[:-1]} network, and so does {sources[part]}: give one file of each"
                )
            sources[part] = file
            tensors.update(prefixed)
        metadata.update(strings)
    for part in (_FUSION, _SEGMENTATION):
        if part not in sources:
            raise CheckpointError(
                f"{files[0]}: holds no {part[:-1]} network: give the authors' other file together with it"
            )
    design = _design(metadata, files[0])
    config = _with_prior_scale(_read_config(tensors, sources, design), metadata, files[0])
    if expected_classes is not None and config.num_classes != expected_classes:
        raise CheckpointError(
            f"{sources[_SEGMENTATION]}: made for {config.num_classes} classes, but {expected_classes} were asked for: "
            f"choose a label set of {config.num_classes} classes or other weights"
        )
    _require_equal_keys(tensors, _shapes(config, sources), sources)
    model = build(config)
    model.load_state_dict(tensors)
    model.metadata = metadata
    return model.eval()


class _NothingToFill(TorchFunctionMode):
    """Leaves out random values of tensors without memory, for which torch would load its compiler: seconds."""

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return (args[0] if args else kwargs["tensor"]) if func in _RANDOM else func(*args, **kwargs)


def _shapes(config: SegMiFConfig, sources: dict[str, Path]) -> Mapping[str, Tensor]:
    """Return the state dict of a model without its memory: a small file can claim a network of any size."""
    try:
        with torch.device("meta"), _NothingToFill():
            return build(config).state_dict()
    except RuntimeError as error:  # sizes whose product overflows
        raise CheckpointError(
            f"{sources[_FUSION]}: claims sizes that no network has ({one_line(error)}): give weights of this network"
        ) from None


def save_checkpoint(
    model: SegMiF | OnePass, path: str | Path, metadata: Mapping[str, str] | None = None, *, float16: bool = False
) -> None:
    """Writes one safetensors file; a reader never sees half of it, as it replaces `path` in one step.

    Args:
        model: of any design; its mode and device don't matter.
        path: the file; its folder must exist.
        metadata: strings to keep with the weights (label_set, prior, name, ...); `format_version` is added.
        float16: store weights of two or more dimensions in half precision (half the size, relative error up to 5e-4).
            Biases, norms and BatchNorm statistics, which are small and sensitive, stay as they are.

    Raises:
        CheckpointError: metadata that is not strings, a non-finite weight, or one too large for half precision.
    """
    path = Path(path)
    strings = {**(metadata or {}), "format_version": str(FORMAT_VERSION)}
    if model.config.prior_scale != 1:
        strings[_PRIOR_SCALE] = str(model.config.prior_scale)
    if model.config.design != "cascade":
        strings[_DESIGN] = model.config.design
    for name, value in strings.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise CheckpointError(f"metadata {name!r} is {value!r}: names and values must be strings")
    tensors = {}
    for key, tensor in model.state_dict().items():
        stored = tensor.detach().cpu().contiguous()
        if stored.is_floating_point():
            require_finite(stored, key, path)
            if float16 and stored.ndim > 1:
                if stored.abs().max() > _HALF_LIMIT:
                    raise CheckpointError(f"{path}: {key} exceeds {_HALF_LIMIT:.0f}: store it without float16")
                stored = stored.half()
        tensors[key] = stored
    replace_file(path, _ordered(safetensors.torch.save(tensors, strings)))


def _ordered(content: bytes) -> bytes:
    """The same safetensors file, with its metadata in order.

    The library writes it in another order each time, and weights are identified by the hash of their file.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors
    return len(text).to_bytes(8, "little") + text + content[end:]


def _split(state: dict[str, Tensor], file: Path) -> dict[str, dict[str, Tensor]]:
    """The networks that a file holds, by prefix, with our key names."""
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    parts: dict[str, dict[str, Tensor]] = {}
    if any(key.startswith((_FUSION, _SEGMENTATION)) for key in state):
        for key, tensor in state.items():
            part = next((part for part in (_FUSION, _SEGMENTATION) if key.startswith(part)), None)
            if part is None:
                raise CheckpointError(
                    f"{file}: unexpected key {shown(key)}: all must start with {_FUSION} or {_SEGMENTATION}"
                )
            parts.setdefault(part, {})[key] = tensor
    elif any(key.startswith("denoise_net.") for key in state):
        parts[_SEGMENTATION] = {_SEGMENTATION + key: tensor for key, tensor in state.items()}
    elif any(key.startswith(("conv1_ir.", "DRDB1.", "ffm.")) for key in state):
        parts[_FUSION] = {_FUSION + key: tensor for key, tensor in state.items()}
    else:
        first = shown(next(iter(state), "none"))
        raise CheckpointError(f"{file}: is not a SegMiF checkpoint (its first key is {first}): give other weights")
    return parts


def _design(metadata: Mapping[str, str], file: Path) -> Design:
    name = metadata.get(_DESIGN, "cascade")
    for known in get_args(Design):
        if name == known:
            return cast(Design, known)
    raise CheckpointError(
        f"{file}: {_DESIGN} is {shown(name)}: this software knows {', '.join(get_args(Design))}; update segmif_ros"
    )


def _read_config(tensors: dict[str, Tensor], sources: dict[str, Path], design: Design) -> SegMiFConfig:
    """Sizes of the model off the shapes. What doesn't matter for a size is compared later, key by key."""

    def shape(key: str, dimensions: int) -> torch.Size:
        file = sources[key[: key.index(".") + 1]]
        if key not in tensors:
            raise CheckpointError(f"{file}: key {_own(key, file, sources)} is missing: the file isn't complete")
        if tensors[key].ndim != dimensions:
            found = tuple(tensors[key].shape)
            raise CheckpointError(
                f"{file}: {_own(key, file, sources)} has shape {found}, expected {dimensions} dimensions: "
                f"give weights of this network"
            )
        return tensors[key].shape

    net = _SEGMENTATION + "denoise_net."
    widths = tuple(shape(f"{net}encoder.patch_embed{stage}.proj.weight", 4)[0] for stage in range(1, 5))
    depths = tuple(_depth(tensors, f"{net}encoder.block{stage}.") for stage in range(1, 5))
    encoder = next((name for name, sizes in ENCODERS.items() if sizes == (widths, depths)), None)
    if encoder is None:
        raise CheckpointError(
            f"{sources[_SEGMENTATION]}: encoder of widths {widths} and depths {depths} is none of "
            f"mit_b0_slim, mit_b0 .. mit_b5: give weights of one of these"
        )
    classes, head = f"{net}decoder.linear_pred.weight", f"{net}decoder.linear_c1.proj.weight"
    if design != "cascade":
        side = shape(_FUSION + "first.weight", 4)[0]
        try:
            return SegMiFConfig(
                encoder=encoder,
                num_classes=shape(classes, 4)[0],
                fusion_channels=side,
                decoder_channels=shape(head, 2)[0],
                design=design,
            )
        except ValueError as error:
            raise error if isinstance(error, CheckpointError) else _no_such_sizes(error, sources) from error
    channels, planes = shape(_FUSION + "conv1_ir.weight", 4)[:2]
    outputs = shape(_FUSION + "conv22.weight", 4)[0]
    scale = {scale * scale: scale for scale in FUSION_SCALES}.get(planes)
    if scale is None or outputs not in (planes, 2 * planes):
        raise CheckpointError(
            f"{sources[_FUSION]}: fusion network with {planes} input and {outputs} output planes: "
            f"expected 1, 4 or 16 in and as many or twice as many out; give weights of this network"
        )
    try:
        return SegMiFConfig(
            encoder=encoder,
            num_classes=shape(classes, 4)[0],
            fusion_channels=channels,
            growth=shape(_FUSION + "DRDB1.Dcov1.weight", 4)[0],
            fusion_scale=scale,
            fusion_output="direct" if outputs == planes else "blend",
            decoder_channels=shape(head, 2)[0],
        )
    except ValueError as error:
        raise error if isinstance(error, CheckpointError) else _no_such_sizes(error, sources) from error


def _no_such_sizes(error: ValueError, sources: dict[str, Path]) -> CheckpointError:
    return CheckpointError(f"{sources[_FUSION]}: {error}; give weights of this network")


def _with_prior_scale(config: SegMiFConfig, metadata: Mapping[str, str], file: Path) -> SegMiFConfig:
    scale = metadata.get(_PRIOR_SCALE, "1")
    if scale not in {str(each) for each in PRIOR_SCALES}:
        raise CheckpointError(f"{file}: {_PRIOR_SCALE} is '{scale}': expected 1, 2 or 4; give weights of this network")
    return dataclasses.replace(config, prior_scale=int(scale))


def _depth(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Number of blocks: the highest index and one, so that a block missing in between is named as a missing key."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,4})\.")
    return 1 + max((int(match[1]) for key in tensors if (match := pattern.match(key))), default=-1)


def _require_equal_keys(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], sources: dict[str, Path]
) -> None:
    for key, tensor in expected.items():
        file = sources[key[: key.index(".") + 1]]
        name = _own(key, file, sources)
        if key not in tensors:
            raise CheckpointError(f"{file}: key {name} is missing: the file isn't complete")
        if tensors[key].shape != tensor.shape:
            raise CheckpointError(
                f"{file}: {name} has shape {tuple(tensors[key].shape)}, expected {tuple(tensor.shape)}: "
                f"give files that belong together"
            )
        if tensors[key].is_floating_point() != tensor.is_floating_point():
            raise CheckpointError(
                f"{file}: {name} has type {tensors[key].dtype}, expected {tensor.dtype}: give weights of this network"
            )
    for key in tensors:
        if key not in expected:
            file = sources[key[: key.index(".") + 1]]
            raise CheckpointError(
                f"{file}: unexpected key {_own(key, file, sources)}: give weights of this network"
            )


def _own(key: str, file: Path, sources: dict[str, Path]) -> str:
    """The key as it is written in its file, for a message: the authors' files lack our first part."""
    whole = all(source == file for source in sources.values())
    return shown(key if whole else key[key.index(".") + 1 :])


def _require_known_format(metadata: Mapping[str, str], file: Path) -> None:
    version = metadata.get("format_version", str(FORMAT_VERSION))
    if version != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{file}: has checkpoint format version {version}, this software reads {FORMAT_VERSION}: update segmif_ros"
        )


__all__ = [
    "FORMAT_VERSION",
    "CheckpointError",
    "load_checkpoint",
    "load_network",
    "read_state",
    "require_finite",
    "save_checkpoint",
    "shown",
]
