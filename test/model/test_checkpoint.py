# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: ours and the authors' two files in, ours out, and every refusal by name in one line."""

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from segmif_ros.model import CheckpointError, SegMiF, SegMiFConfig, load_checkpoint, save_checkpoint
from segmif_ros.model.checkpoint import _shapes

TINY = SegMiFConfig(encoder="mit_b0", num_classes=3, fusion_channels=8, growth=4, decoder_channels=16)
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def model() -> SegMiF:
    torch.manual_seed(0)
    return SegMiF(TINY)


def _assert_equal(a: SegMiF, b: SegMiF) -> None:
    first, second = a.state_dict(), b.state_dict()
    assert list(first) == list(second)
    for key, tensor in first.items():
        assert tensor.dtype == second[key].dtype
        assert torch.equal(tensor, second[key]), key


def _authors_files(model: SegMiF, folder: Path) -> list[Path]:
    """The authors' pair of PyTorch files."""
    files = [folder / "modelfusion.pth", folder / "segmentation.pth"]
    torch.save(model.fusion.state_dict(), files[0])
    torch.save(model.segmentation.state_dict(), files[1])
    return files


def _refusal(paths: Path | list[Path], **options: int) -> str:
    with pytest.raises(CheckpointError) as refusal:
        load_checkpoint(paths, **options)
    message = str(refusal.value)
    assert "\n" not in message
    return message


# What works.


def test_a_saved_model_comes_back_with_its_metadata_in_evaluation_mode(model: SegMiF, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(model, path, {"name": "tiny", "label_set": "three"})
    loaded = load_checkpoint(path)
    assert loaded.config == TINY
    assert loaded.metadata == {"name": "tiny", "label_set": "three", "format_version": "1"}
    assert not loaded.training
    _assert_equal(loaded, model)


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, num_classes=15, fusion_scale=2, fusion_output="blend"),
        replace(TINY, num_classes=9, fusion_scale=4),
        replace(TINY, encoder="mit_b1", fusion_channels=24, growth=7, fusion_output="blend"),
        replace(TINY, encoder="mit_b2", num_classes=1),
        replace(TINY, prior_scale=2),
    ],
)
def test_all_sizes_are_read_off_the_file(config: SegMiFConfig, tmp_path: Path) -> None:
    save_checkpoint(SegMiF(config), tmp_path / "m.safetensors")
    assert load_checkpoint(tmp_path / "m.safetensors").config == config


def test_a_prior_scale_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    model = SegMiF(TINY)
    save_checkpoint(model, tmp_path / "m.safetensors", {"prior_scale": "3"})
    with pytest.raises(CheckpointError, match="prior_scale is '3': expected 1, 2 or 4"):
        load_checkpoint(tmp_path / "m.safetensors")


@pytest.mark.parametrize("order", [1, -1])
def test_the_authors_two_files_load_in_either_order(model: SegMiF, tmp_path: Path, order: int) -> None:
    loaded = load_checkpoint(_authors_files(model, tmp_path)[::order])
    assert loaded.metadata == {}
    _assert_equal(loaded, model)


def _safetensors(state: State, path: Path) -> None:
    safetensors.torch.save_file(state, path)


WRITERS: dict[str, Callable[[State, Path], None]] = {
    "safetensors": _safetensors,
    "old PyTorch format": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "module. prefix": lambda state, path: torch.save({"module." + key: t for key, t in state.items()}, path),
    "wrapped": lambda state, path: torch.save({"state_dict": state, "epoch": 7}, path),
    "wrapped, module. prefix": lambda state, path: torch.save(
        {"state_dict": {"module." + key: t for key, t in state.items()}}, path
    ),
}


@pytest.mark.parametrize("how", WRITERS)
def test_the_authors_weights_load_however_they_were_stored(model: SegMiF, tmp_path: Path, how: str) -> None:
    files = [tmp_path / "a.bin", tmp_path / "b.bin"]
    WRITERS[how](model.fusion.state_dict(), files[0])
    WRITERS[how](model.segmentation.state_dict(), files[1])
    _assert_equal(load_checkpoint(files), model)


def test_half_precision_halves_the_file_and_keeps_small_tensors_exact(model: SegMiF, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "full.safetensors")
    save_checkpoint(model, tmp_path / "half.safetensors", float16=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.52 * sizes[0]
    loaded = load_checkpoint(tmp_path / "half.safetensors").state_dict()
    for key, tensor in model.state_dict().items():
        assert loaded[key].dtype == tensor.dtype
        if tensor.ndim < 2:
            assert torch.equal(loaded[key], tensor), key
        else:
            torch.testing.assert_close(loaded[key], tensor, rtol=5e-4, atol=1e-7)


def test_saving_replaces_the_file_in_one_step_and_leaves_nothing_beside_it(
    model: SegMiF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(model, path, {"name": "old"})

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(model, path, {"name": "new"})
    assert load_checkpoint(path).metadata["name"] == "old"
    assert list(tmp_path.iterdir()) == [path]


# Refusals.


def test_another_class_count_than_expected_names_both(model: SegMiF, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "m.safetensors")
    assert load_checkpoint(tmp_path / "m.safetensors", expected_classes=3).config.num_classes == 3
    message = _refusal(tmp_path / "m.safetensors", expected_classes=15)
    assert "m.safetensors: made for 3 classes, but 15 were asked for" in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert _refusal(tmp_path / "none.pth") == f"{tmp_path / 'none.pth'}: no such file: check the path"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "can't be read" in _refusal(tmp_path)


@pytest.mark.parametrize("count", [0, 3])
def test_no_files_or_three_files_are_refused(tmp_path: Path, count: int) -> None:
    assert f"{count} checkpoint files given" in _refusal([tmp_path] * count)


@pytest.mark.parametrize("given", [0, 1])
def test_one_of_the_authors_files_alone_is_refused(model: SegMiF, tmp_path: Path, given: int) -> None:
    message = _refusal(_authors_files(model, tmp_path)[given])
    assert f"holds no {('segmentation', 'fusion')[given]} network" in message
    assert "other file" in message


@pytest.mark.parametrize("given", [0, 1])
def test_the_same_network_twice_is_refused(model: SegMiF, tmp_path: Path, given: int) -> None:
    files = _authors_files(model, tmp_path)
    assert f"holds the {('fusion', 'segmentation')[given]} network, and so does" in _refusal([files[given]] * 2)


def test_one_of_ours_beside_one_of_the_authors_is_refused(model: SegMiF, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "m.safetensors")
    assert "and so does" in _refusal([tmp_path / "m.safetensors", _authors_files(model, tmp_path)[0]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither a safetensors nor a PyTorch checkpoint"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither a safetensors nor a PyTorch checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\xff" * 8 + b'{"a":1}', "broken safetensors file"),
        (b"PK\x03\x04" + bytes(100), "broken PyTorch file"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    message = _refusal(tmp_path / "weights.pth")
    assert message.startswith(f"{tmp_path / 'weights.pth'}: ")
    assert words in message


class _Harmful:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_more_than_tensors_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1_ir.weight": _Harmful()}, "w.pth", _use_new_zipfile_serialization=zipped)
    assert "never unpickled" in _refusal(Path("w.pth"))
    Path("w.pth").write_bytes(pickle.dumps(_Harmful(), protocol=2))
    _refusal(Path("w.pth"))
    assert not Path("unpickled").exists()


def test_a_file_with_other_things_than_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": 0.5}, tmp_path / "w.pth")
    assert "holds no state dict" in _refusal(tmp_path / "w.pth")
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    assert "holds no state dict" in _refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("state", [{}, {"backbone.conv1.weight": torch.zeros(1)}])
def test_weights_of_another_network_are_refused(tmp_path: Path, state: State) -> None:
    torch.save(state, tmp_path / "w.pth")
    message = _refusal(tmp_path / "w.pth")
    assert "is not a SegMiF checkpoint" in message
    assert next(iter(state), "none") in message


def _without(key: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if name != key}


def _with(key: str, tensor: Tensor) -> Callable[[State], State]:
    return lambda state: state | {key: tensor}


NET = "segmentation.denoise_net."
SPOILT: dict[str, tuple[Callable[[State], State], list[str]]] = {
    "missing": (_without("fusion.DRDB2.Dcov3.bias"), ["key fusion.DRDB2.Dcov3.bias is missing"]),
    "missing, needed for the sizes": (
        _without(NET + "decoder.linear_pred.weight"),
        [f"key {NET}decoder.linear_pred.weight is missing"],
    ),
    "missing block": (
        lambda s: {k: t for k, t in s.items() if "block2.0." not in k},
        [f"key {NET}encoder.block2.0.norm1.weight is missing"],
    ),
    "unexpected": (_with("fusion.conv9.bias", torch.zeros(1)), ["unexpected key fusion.conv9.bias"]),
    "unexpected part": (_with("teacher.bias", torch.zeros(1)), ["unexpected key teacher.bias"]),
    "shape": (
        _with("fusion.conv2.weight", torch.zeros(8, 16, 1, 1)),
        ["fusion.conv2.weight has shape (8, 16, 1, 1), expected (8, 16, 3, 3)"],
    ),
    "dimensions": (
        _with("fusion.conv1_ir.weight", torch.zeros(8)),
        ["fusion.conv1_ir.weight has shape (8,), expected 4 dimensions"],
    ),
    "encoder": (
        _with(NET + "encoder.patch_embed2.proj.weight", torch.zeros(48, 32, 3, 3)),
        ["widths (32, 48, 160, 256)", "mit_b0 .. mit_b5"],
    ),
    "depth": (
        _with(NET + "encoder.block1.9.norm1.weight", torch.zeros(32)),
        ["depths (10, 2, 2, 2)", "mit_b0 .. mit_b5"],
    ),
    "planes": (
        _with("fusion.conv1_ir.weight", torch.zeros(8, 9, 3, 3)),
        ["9 input and 1 output planes"],
    ),
    "heads": (_with("fusion.conv1_ir.weight", torch.zeros(12, 1, 3, 3)), ["fusion_channels is 12"]),
    "type": (
        _with(NET + "decoder.linear_fuse.bn.num_batches_tracked", torch.tensor(0.0)),
        ["num_batches_tracked has type torch.float32, expected torch.int64"],
    ),
    "not finite": (_with("fusion.conv2.bias", torch.full((8,), torch.nan)), ["fusion.conv2.bias", "not finite"]),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_checkpoint_is_refused_by_key(model: SegMiF, tmp_path: Path, kind: str) -> None:
    spoil, words = SPOILT[kind]
    safetensors.torch.save_file(spoil(model.state_dict()), tmp_path / "m.safetensors")
    message = _refusal(tmp_path / "m.safetensors")
    assert message.startswith(f"{tmp_path / 'm.safetensors'}: ")
    assert all(word in message for word in words)


def test_a_model_with_the_slim_encoder_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    slim = SegMiF(SegMiFConfig(encoder="mit_b0_slim", num_classes=3, fusion_channels=8, growth=2, decoder_channels=8))
    save_checkpoint(slim, tmp_path / "slim.safetensors")
    again = load_checkpoint(tmp_path / "slim.safetensors")
    assert again.config == slim.config
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in slim.state_dict().items())


def test_the_same_weights_are_the_same_bytes_each_time(model: SegMiF, tmp_path: Path) -> None:
    metadata = {"name": "ä", **{name: name for name in "abcdef"}}
    contents = set()
    for _ in range(3):
        save_checkpoint(model, tmp_path / "m.safetensors", metadata)
        contents.add((tmp_path / "m.safetensors").read_bytes())
    assert len(contents) == 1
    assert load_checkpoint(tmp_path / "m.safetensors").metadata == {**metadata, "format_version": "1"}


@pytest.mark.parametrize("key", ["fusion.a\nb", "a\nb", "segmentation.denoise_net.\x1b[31m"])
@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_key_with_a_line_break_is_refused_in_one_line(
    model: SegMiF, tmp_path: Path, key: str, value: float
) -> None:
    file = tmp_path / "m.safetensors"
    safetensors.torch.save_file({**model.state_dict(), key: torch.full((1,), value)}, file)
    message = _refusal(file)
    assert message.isprintable()
    assert ascii(key) in message


def test_a_spoilt_authors_file_is_named_with_its_own_key(model: SegMiF, tmp_path: Path) -> None:
    files = _authors_files(model, tmp_path)
    torch.save(_without("denoise_net.encoder.norm3.bias")(model.segmentation.state_dict()), files[1])
    message = _refusal(files)
    assert message.startswith(f"{files[1]}: key denoise_net.encoder.norm3.bias is missing")


def test_files_of_two_different_encoders_are_refused_by_shape(model: SegMiF, tmp_path: Path) -> None:
    files = _authors_files(model, tmp_path)
    torch.save(SegMiF(replace(TINY, encoder="mit_b1")).fusion.state_dict(), files[0])
    message = _refusal(files)
    assert message.startswith(f"{files[0]}: conv3.weight has shape (8, 64, 1, 1), expected (8, 32, 1, 1)")
    assert "belong together" in message


def test_a_format_of_the_future_is_refused(model: SegMiF, tmp_path: Path) -> None:
    safetensors.torch.save_file(model.state_dict(), tmp_path / "m.safetensors", {"format_version": "2"})
    assert "format version 2, this software reads 1" in _refusal(tmp_path / "m.safetensors")


@pytest.mark.parametrize("metadata", [{"epochs": 3}, {3: "epochs"}])
def test_metadata_that_is_not_strings_is_refused(model: SegMiF, tmp_path: Path, metadata: dict) -> None:
    with pytest.raises(CheckpointError, match="must be strings"):
        save_checkpoint(model, tmp_path / "m.safetensors", metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "words"), [(1e5, "exceeds 65504"), (float("inf"), "not finite")])
def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path: Path, value: float, words: str) -> None:
    model = SegMiF(TINY)
    model.fusion.conv2.weight.data[0, 0, 0, 0] = value
    with pytest.raises(CheckpointError, match=words):
        save_checkpoint(model, tmp_path / "m.safetensors", float16=True)


def _stored(kind: str) -> bytes:
    state = {f"ffm.x{i}": torch.full((3, 2), float(i)) for i in range(4)}
    if kind == "safetensors":
        return safetensors.torch.save(state, {"a": "b"})
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["safetensors", "zip", "legacy"]), data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_a_truncated_or_damaged_file_never_raises_anything_else(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray(_stored(kind))
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), label="truncate"):
        del content[position:]
    else:
        content[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "w.bin"
    path.write_bytes(content)
    _refusal(path)


def test_a_header_whose_length_looks_like_a_pickle_is_read_with_its_metadata(model: SegMiF, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(model, path, {"note": ""})
    note = "x" * ((0x80 - path.read_bytes()[0]) % 256)
    save_checkpoint(model, path, {"note": note})
    assert path.read_bytes()[:1] == b"\x80"
    assert load_checkpoint(path).metadata["note"] == note


# What a small file can claim.


CLAIMS = {
    "fusion.conv1_ir.weight": (80_000, 1, 1, 1),
    "fusion.DRDB1.Dcov1.weight": (4_000_000, 1, 1, 1),
    "segmentation.denoise_net.decoder.linear_c1.proj.weight": (2_000_000, 1),
    "segmentation.denoise_net.decoder.linear_pred.weight": (20_000_000, 1, 1, 1),
}


@pytest.mark.parametrize("key", CLAIMS)
def test_one_tensor_that_claims_a_huge_network_takes_no_memory(
    model: SegMiF, tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = dict(model.state_dict())
    state[key] = torch.zeros(CLAIMS[key], dtype=torch.float16)
    _safetensors(state, tmp_path / "m.safetensors")
    built = []
    monkeypatch.setattr(SegMiF, "load_state_dict", lambda *_, **__: built.append(1))
    assert "has shape" in _refusal(tmp_path / "m.safetensors")
    assert not built


def test_sizes_whose_product_overflows_are_refused(model: SegMiF, tmp_path: Path) -> None:
    state = {**model.state_dict(), "fusion.DRDB1.Dcov1.weight": torch.zeros(1).expand(2**40, 1, 1, 1)}
    torch.save(state, tmp_path / "m.pth")
    assert "claims more values than the file holds" in _refusal(tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="claims sizes that no network has"):
        _shapes(replace(TINY, growth=2**60), {"fusion.": tmp_path / "m.pth"})


@pytest.mark.parametrize("legacy", [False, True])
def test_a_small_file_that_asks_for_much_memory_is_refused(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "m.pth"
    torch.save({"fusion.a": torch.zeros(1).expand(1 << 37)}, path, _use_new_zipfile_serialization=not legacy)
    assert path.stat().st_size < 4000
    assert "fusion.a claims more values than the file holds" in _refusal(path)


def test_an_archive_of_several_disks_is_refused(tmp_path: Path) -> None:
    torch.save({"fusion.a": torch.zeros(1)}, tmp_path / "m.pth")
    data = bytearray((tmp_path / "m.pth").read_bytes())
    at = data.index(b"PK\x06\x07")  # the locator of the archive's end: its number of disks
    data[at + 16] = 9
    (tmp_path / "m.pth").write_bytes(data)
    _refusal(tmp_path / "m.pth")


def test_a_compressed_archive_is_not_opened(tmp_path: Path) -> None:
    torch.save({"fusion.a": torch.zeros(1 << 20)}, tmp_path / "m.pth")
    with zipfile.ZipFile(tmp_path / "m.pth") as whole, zipfile.ZipFile(tmp_path / "z.pth", "w", 8) as small:
        for record in whole.infolist():
            small.writestr(record.filename, whole.read(record))
    assert "its records claim more bytes than the file has" in _refusal(tmp_path / "z.pth")
