# SPDX-License-Identifier: Apache-2.0
"""Files of tensors, read without running what is in them."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

_WRAPPERS = ("state_dict", "model_state_dict", "model")


class CheckpointError(ValueError):
    """A checkpoint can't be used. The message is one line: the file, what was expected and found, and what to do."""


def read_state(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State dict and metadata of one file, whatever network it is of; CheckpointError if it can't be used.

    Its kind is recognised by its first bytes, as suffixes are not reliable.
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
        reason = one_line(error)
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
        reason = one_line(error)
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


def shown(key: str) -> str:
    """A file's key for a message of one line, whatever is in it."""
    return key if key.isprintable() else ascii(key)


def require_finite(tensor: Tensor, key: str, file: Path) -> None:
    """CheckpointError, with the file and the key, for an infinite value or a NaN."""
    if not torch.isfinite(tensor).all():
        raise CheckpointError(f"{file}: {shown(key)} holds values that are not finite: use other weights")


def one_line(error: BaseException) -> str:
    """Return the first line of an error, at most 120 characters."""
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


__all__ = ["CheckpointError", "one_line", "read_state", "require_finite", "shown"]
