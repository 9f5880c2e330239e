# SPDX-License-Identifier: Apache-2.0
"""The authors' two files: keys, shapes and types as published, numbers as before, refusals in one line."""

import copy
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import safetensors
import torch
from torch import Tensor

from segmif_ros.model import CheckpointError, SegMiF, SegMiFConfig, load_checkpoint
from segmif_ros.model.conversion import AuthorsFormat, save_authors_checkpoint

PAPER = SegMiFConfig(encoder="mit_b0", num_classes=15)
# SHA-256 of the lists of the published networks' entries: a line with key, shape and type for each, in their order.
LISTS = {
    ("mit_b0", 15): (
        "a7e19dbd5999af2ce35a25b51b6cac9bfadc6c9d54279a3100e01653678092fd",
        "91dcc95c364e406bef5db3200f255a3a405d48e620012ca98f86c7d59f85ae18",
    ),
    ("mit_b3", 9): (
        "4ff8ef46cf15a674fd271c49622da71eaceadec01bc6f70536f1aabe299e18f7",
        "2025ec822189ca8a3bc9c9fbf3e6dfed18a2c2430766a706cd9b105116241b42",
    ),
}


@pytest.fixture(scope="module")
def model() -> SegMiF:
    torch.manual_seed(0)
    made = SegMiF(PAPER)
    made.metadata = {"label_set": "fmb"}
    return made


def _list_hash(state: dict[str, Tensor]) -> str:
    lines = [f"{key}\t{tuple(each.shape)}\t{str(each.dtype).removeprefix('torch.')}\n" for key, each in state.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def test_keys_shapes_and_types_are_the_published_ones_in_their_order(model: SegMiF, tmp_path: Path) -> None:
    files = save_authors_checkpoint(model, tmp_path)
    assert tuple(_list_hash(torch.load(file, weights_only=True)) for file in files) == LISTS["mit_b0", 15]


def test_mit_b3_with_nine_classes_has_the_published_entries_too() -> None:
    with torch.device("meta"):
        large = SegMiF(SegMiFConfig(encoder="mit_b3", num_classes=9))
    hashes = (_list_hash(large.fusion.state_dict()), _list_hash(large.segmentation.state_dict()))
    assert hashes == LISTS["mit_b3", 9]


@pytest.mark.parametrize("form", get_args(AuthorsFormat))
def test_the_two_files_come_back_to_the_same_numbers(model: SegMiF, tmp_path: Path, form: AuthorsFormat) -> None:
    files = save_authors_checkpoint(model, tmp_path / "new" / "folder", form=form)
    loaded = load_checkpoint(files)
    assert loaded.config == PAPER
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in model.state_dict().items())
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {file.name for file in files}


def test_a_pth_file_is_a_plain_dictionary_of_tensors_that_share_nothing(model: SegMiF, tmp_path: Path) -> None:
    file, _ = save_authors_checkpoint(model, tmp_path)
    state = torch.load(file, weights_only=True)
    assert type(state) is dict
    assert all(type(tensor) is torch.Tensor for tensor in state.values())
    assert len({tensor.untyped_storage().data_ptr() for tensor in state.values()}) == len(state)


def test_safetensors_keep_the_metadata_in_both_files(model: SegMiF, tmp_path: Path) -> None:
    for file in save_authors_checkpoint(model, tmp_path, form="safetensors"):
        with safetensors.safe_open(file, framework="pt") as opened:
            assert opened.metadata() == {"label_set": "fmb"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fusion_channels", 32),
        ("growth", 16),
        ("fusion_scale", 2),
        ("fusion_output", "blend"),
        ("decoder_channels", 128),
        ("prior_scale", 2),
    ],
)
def test_what_the_authors_code_cannot_run_is_refused_by_name(name: str, value: object, tmp_path: Path) -> None:
    other = SegMiF(replace(PAPER, **{name: value}))
    with pytest.raises(CheckpointError) as refusal:
        save_authors_checkpoint(other, tmp_path / "out")
    assert f"({name} {value})" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_weight_that_is_not_finite_leaves_both_files_as_they_were(model: SegMiF, tmp_path: Path) -> None:
    files = save_authors_checkpoint(model, tmp_path)
    before = [file.read_bytes() for file in files]
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.segmentation.denoise_net.decoder.linear_pred.bias[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"linear_pred\.bias"):
        save_authors_checkpoint(broken, tmp_path)
    assert [file.read_bytes() for file in files] == before


def test_an_unknown_form_is_refused(model: SegMiF, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'onnx'"):
        save_authors_checkpoint(model, tmp_path, form="onnx")  # type: ignore[arg-type]
