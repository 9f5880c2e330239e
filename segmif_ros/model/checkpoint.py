# SPDX-License-Identifier: Apache-2.0
"""Reading and writing weights: this project's one-file checkpoints and the authors' pairs of files.

Ours is one safetensors file with keys `fusion.*` and `segmentation.*`. The authors publish two PyTorch files, a state
dict of the fusion network and one of the segmentation network (`denoise_net.*`). In all of them the sizes of the model
(encoder, classes, widths) are read off the tensors' shapes. Only tensors are ever unpickled (`weights_only=True`).
"""

import dataclasses
import json
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from segmif_ros.files import replace_file
from segmif_ros.model.encoder import ENCODERS
from segmif_ros.model.network import FUSION_SCALES, PRIOR_SCALES, SegMiF, SegMiFConfig

FORMAT_VERSION = 1

_FUSION = "fusion."
_SEGMENTATION = "segmentation."
# the one size that no tensor shows; files without it have 1
_PRIOR_SCALE = "prior_scale"
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_RANDOM = {Tensor.normal_, Tensor.uniform_, *(getattr(torch.nn.init, f"{name}_") for name in (
    "normal", "uniform", "trunc_normal", "kaiming_normal", "kaiming_uniform"
))}  # fmt: skip
_HALF_LIMIT = torch.finfo(torch.float16).max


class CheckpointError(ValueError):
    """A checkpoint can't be used. The message is one line: the file, what was expected and found, and what to do."""


def load_checkpoint(paths: str | Path | Sequence[str | Path], *, expected_classes: int | None = None) -> SegMiF:
    """Builds the model that the files hold, in float32 on the CPU, in evaluation mode.

    Args:
        paths: one file written by `save_checkpoint`, or the authors' two files in either order (PyTorch or safetensors;
            a `module.` prefix and a `{'state_dict': ...}` wrapper are taken off).
        expected_classes: refuse a checkpoint for another number of classes.

    Returns:
        the model; `model.metadata` holds the file's strings (empty for the authors' files).

    Raises:
        CheckpointError: a file is missing, truncated or no checkpoint, the files don't belong together, a key is
            missing, unexpected or of another shape, or the class count is not the expected one.
    """
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
    config = _with_prior_scale(_read_config(tensors, sources), metadata, files[0])
    if expected_classes is not None and config.num_classes != expected_classes:
        raise CheckpointError(
            f"{sources[_SEGMENTATION]}: made for {config.num_classes} classes, but {expected_classes} were asked for: "
            f"choose a label set of {config.num_classes} classes or other weights"
        )
    _require_equal_keys(tensors, _shapes(config, sources), sources)
    model = SegMiF(config)
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
            return SegMiF(config).state_dict()
    except RuntimeError as error:  # sizes whose product overflows
        raise CheckpointError(
            f"{sources[_FUSION]}: claims sizes that no network has ({_one_line(error)}): give weights of this network"
        ) from None


def save_checkpoint(
    model: SegMiF, path: str | Path, metadata: Mapping[str, str] | None = None, *, float16: bool = False
) -> None:
    """Writes one safetensors file; a reader never sees half of it, as it replaces `path` in one step.

    Args:
        model: any `SegMiF`; its mode and device don't matter.
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

    The library writes it in another order each time, and weights are told apart by the hash of their file.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors
    return len(text).to_bytes(8, "little") + text + content[end:]


def read_state(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State dict and metadata of one file, whatever network it is of; CheckpointError if it can't be used.

    Its kind is told by its first bytes, as suffixes are not reliable.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file: check the path") from None
    except OSError as error:
        raise CheckpointError(f"{file}: can't be read ({error.strerror}): give a readable file") from None
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{file}: is a Git LFS pointer, not the weights: run 'git lfs pull'")
    # safetensors begins with the header's length, whose first byte may be that of a pickle; its upper bytes are 0
    pickled = head.startswith(b"\x80") and head[4:8] != bytes(4)
    strings: dict[str, str] = {}
    if pickled or head.startswith(b"PK\x03\x04"):
        state = _read_torch(file)
    elif head[8:9] == b"{":
        state, strings = _read_safetensors(file)
    else:
        raise CheckpointError(f"{file}: is neither a safetensors nor a PyTorch checkpoint: give one of these")
    for key, tensor in state.items():
        if (
            tensor.layout is not torch.strided
            or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
        ):
            raise CheckpointError(f"{file}: {shown(key)} claims more values than the file holds: get the file again")
        if tensor.is_floating_point():
            require_finite(tensor, key, file)
    return state, strings


def _read_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a dict)
            return state, dict(opened.metadata() or {})
    except safetensors.SafetensorError as error:
        reason = _one_line(error)
        raise CheckpointError(f"{file}: is a broken safetensors file ({reason}): get the file again") from error


def _read_torch(file: Path) -> dict[str, Tensor]:
    _refuse_archive_bomb(file)
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file}: is broken, or holds more than tensors, which is never unpickled: "
            f"get the file again or save its state_dict() alone"
        ) from error
    except Exception as error:  # a broken stream can raise anything in there; the cause is kept
        reason = _one_line(error)
        raise CheckpointError(f"{file}: is a broken PyTorch file ({reason}): get the file again") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(f"{file}: holds no state dict (names and tensors only): save a state_dict()")
    return dict(state)


def _refuse_archive_bomb(file: Path) -> None:
    """Refuse a zip archive whose records come out larger than the file: PyTorch writes them as they are."""
    try:
        if not zipfile.is_zipfile(file):
            return
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # the reader itself will say it
    if sum(each.file_size for each in records) > file.stat().st_size:
        raise CheckpointError(f"{file}: its records claim more bytes than the file has: get the file again")


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


def _read_config(tensors: dict[str, Tensor], sources: dict[str, Path]) -> SegMiFConfig:
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
            num_classes=shape(f"{net}decoder.linear_pred.weight", 4)[0],
            fusion_channels=channels,
            growth=shape(_FUSION + "DRDB1.Dcov1.weight", 4)[0],
            fusion_scale=scale,
            fusion_output="direct" if outputs == planes else "blend",
            decoder_channels=shape(f"{net}decoder.linear_c1.proj.weight", 2)[0],
        )
    except ValueError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{sources[_FUSION]}: {error}; give weights of this network") from error


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
            raise CheckpointError(f"{file}: unexpected key {_own(key, file, sources)}: give weights of this network")


def _own(key: str, file: Path, sources: dict[str, Path]) -> str:
    """The key as it is written in its file, for a message: the authors' files lack our first part."""
    whole = all(source == file for source in sources.values())
    return shown(key if whole else key[key.index(".") + 1 :])


def shown(key: str) -> str:
    """A file's key for a message of one line, whatever is in it."""
    return key if key.isprintable() else ascii(key)


def _require_known_format(metadata: Mapping[str, str], file: Path) -> None:
    version = metadata.get("format_version", str(FORMAT_VERSION))
    if version != str(FORMAT_VERSION):
        raise CheckpointError(
            f"{file}: has checkpoint format version {version}, this software reads {FORMAT_VERSION}: update segmif_ros"
        )


def require_finite(tensor: Tensor, key: str, file: Path) -> None:
    """CheckpointError, with the file and the key, for an infinite value or a NaN."""
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{file}: {shown(key)} holds values that are not finite: use other weights")


def _one_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


__all__ = [
    "FORMAT_VERSION",
    "CheckpointError",
    "load_checkpoint",
    "read_state",
    "require_finite",
    "save_checkpoint",
    "shown",
]
