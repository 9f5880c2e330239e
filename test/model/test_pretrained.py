# SPDX-License-Identifier: Apache-2.0
"""Encoders from files: each published layout gives the same encoder, and whatever doesn't fit is named in one line.

The inverse of each layout and the two reference encoders are written here from the layouts' names and know nothing of
the module under test.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from segmif_ros.model import CheckpointError, SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.model.conversion import save_authors_checkpoint
from segmif_ros.model.encoder import ENCODERS, MixTransformer
from segmif_ros.model.pretrained import apply_encoder, load_encoder, read_encoder

State = dict[str, Tensor]
TINY = "mit_b0_slim"  # shrunk below: a configuration takes names that it knows
WIDTHS, DEPTHS = (4, 6, 10, 16), (2, 1, 1, 1)
HEADS, REDUCTIONS = (1, 2, 5, 8), (8, 4, 2, 1)
shared_file = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", autouse=True)
def _tiny_size() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENCODERS, TINY, (WIDTHS, DEPTHS))
        yield


@pytest.fixture(scope="module")
def encoder() -> MixTransformer:
    """All tensors random, norms and biases too, so that no two can be exchanged unseen."""
    made = MixTransformer(WIDTHS, DEPTHS).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in made.named_parameters():
            spread = 0.3 if tensor.ndim == 1 else 1 / math.sqrt(tensor[0].numel())
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * spread + ("norm" in name) * 0.8)
    return made


# The layouts, from ours.


def _to_original(ours: State) -> State:
    return dict(ours)


def _to_transformers(ours: State) -> State:
    theirs = {}
    for key, tensor in ours.items():
        words = key.split(".")
        stage, kind = int(words[0][-1]) - 1, words[-1]
        if words[0].startswith("patch_embed"):
            theirs[f"patch_embeddings.{stage}.{'proj' if words[1] == 'proj' else 'layer_norm'}.{kind}"] = tensor
        elif words[0].startswith("norm"):
            theirs[f"layer_norm.{stage}.{kind}"] = tensor
        else:
            stem, inner = f"block.{stage}.{words[1]}", ".".join(words[2:-1])
            if inner == "attn.kv":
                half = len(tensor) // 2
                theirs[f"{stem}.attention.self.key.{kind}"] = tensor[:half]
                theirs[f"{stem}.attention.self.value.{kind}"] = tensor[half:]
                continue
            name = {
                "norm1": "layer_norm_1",
                "norm2": "layer_norm_2",
                "attn.q": "attention.self.query",
                "attn.sr": "attention.self.sr",
                "attn.norm": "attention.self.layer_norm",
                "attn.proj": "attention.output.dense",
                "mlp.fc1": "mlp.dense1",
                "mlp.fc2": "mlp.dense2",
            }.get(inner, inner)
            theirs[f"{stem}.{name}.{kind}"] = tensor
    return theirs


def _to_transformers_in_memory(ours: State) -> State:
    """What transformers 5 calls the tensors of the stored layout."""
    theirs = {}
    for key, tensor in _to_transformers(ours).items():
        words = key.split(".")
        if words[0] == "block":
            inner = ".".join(words[3:])
            for stored, held in (
                ("layer_norm_1.", "layernorm_before."),
                ("layer_norm_2.", "layernorm_after."),
                ("attention.self.query.", "attention.q_proj."),
                ("attention.self.key.", "attention.k_proj."),
                ("attention.self.value.", "attention.v_proj."),
                ("attention.output.dense.", "attention.o_proj."),
                ("attention.self.sr.", "attention.sequence_reduction.sequence_reduction."),
                ("attention.self.layer_norm.", "attention.sequence_reduction.layer_norm."),
                ("mlp.dense1.", "mlp.fc1."),
                ("mlp.dense2.", "mlp.fc2."),
            ):
                inner = held + inner.removeprefix(stored) if inner.startswith(stored) else inner
            theirs[f"stages.{words[1]}.blocks.{words[2]}.{inner}"] = tensor
        else:
            theirs[f"stages.{words[1]}.{'.'.join([words[0], *words[2:]])}"] = tensor
    return theirs


def _to_mmsegmentation(ours: State) -> State:
    theirs = {}
    for key, tensor in ours.items():
        words = key.split(".")
        stage, kind = int(words[0][-1]) - 1, words[-1]
        if words[0].startswith("patch_embed"):
            theirs[f"layers.{stage}.0.{'projection' if words[1] == 'proj' else 'norm'}.{kind}"] = tensor
        elif words[0].startswith("norm"):
            theirs[f"layers.{stage}.2.{kind}"] = tensor
        else:
            stem, inner = f"layers.{stage}.1.{words[1]}", ".".join(words[2:-1])
            if inner == "attn.q":
                both = torch.cat((tensor, ours[key.replace(".q.", ".kv.")]))
                theirs[f"{stem}.attn.attn.in_proj_{kind}"] = both
            elif inner == "attn.proj":
                theirs[f"{stem}.attn.attn.out_proj.{kind}"] = tensor
            elif inner.startswith("mlp"):
                index = {"mlp.fc1": 0, "mlp.dwconv.dwconv": 1, "mlp.fc2": 4}[inner]
                wide = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
                theirs[f"{stem}.ffn.layers.{index}.{kind}"] = wide
            elif inner != "attn.kv":
                theirs[f"{stem}.{inner}.{kind}"] = tensor
    return theirs


LAYOUTS: dict[str, Callable[[State], State]] = {
    "original": _to_original,
    "transformers": _to_transformers,
    "transformers 5 in memory": _to_transformers_in_memory,
    "mmsegmentation": _to_mmsegmentation,
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def _write(state: State, folder: Path) -> Path:
    path = folder / "encoder.safetensors"
    safetensors.torch.save_file({key: tensor.clone() for key, tensor in state.items()}, path)
    return path


def _assert_equal(found: State, encoder: MixTransformer) -> None:
    expected = encoder.state_dict()
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], tensor), key


def _refusal(path: Path, encoder_name: str = TINY) -> str:
    with pytest.raises(CheckpointError) as refusal:
        load_encoder(path, encoder_name)
    message = str(refusal.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


# What works.


@layouts
def test_each_layout_gives_the_encoder_that_it_was_made_of(
    layout: str, encoder: MixTransformer, tmp_path: Path
) -> None:
    read = read_encoder(_write(LAYOUTS[layout](encoder.state_dict()), tmp_path), TINY)
    assert (read.layout, read.ignored) == (layout, ())
    _assert_equal(read.tensors, encoder)


@pytest.mark.parametrize(
    ("layout", "prefix", "heads"),
    [
        ("original", "", ["head.weight", "head.bias"]),
        ("original", "module.", ["module.head.bias"]),
        ("original", "backbone.", ["decode_head.linear_c1.proj.weight", "decode_head.conv_seg.bias"]),
        ("original", "encoder.", ["decoder.blocks.0.weight", "segmentation_head.0.weight"]),
        ("transformers", "segformer.encoder.", ["classifier.weight", "classifier.bias"]),
        ("transformers", "encoder.", []),
        ("transformers", "model.segformer.encoder.", ["model.decode_head.batch_norm.running_mean"]),
        ("transformers 5 in memory", "segformer.", ["decode_head.linear_projections.0.proj.weight"]),
        ("mmsegmentation", "backbone.", ["decode_head.convs.0.conv.weight", "auxiliary_head.conv_seg.weight"]),
    ],
)
def test_a_whole_model_gives_its_encoder_and_its_heads_are_reported(
    layout: str, prefix: str, heads: list[str], encoder: MixTransformer, tmp_path: Path
) -> None:
    state = {prefix + key: tensor for key, tensor in LAYOUTS[layout](encoder.state_dict()).items()}
    read = read_encoder(_write({**state, **{key: torch.zeros(3) for key in heads}}, tmp_path), TINY)
    assert read.ignored == tuple(sorted(heads))
    _assert_equal(read.tensors, encoder)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_a_pytorch_file_is_read_with_and_without_a_wrapper(
    wrapper: str | None, encoder: MixTransformer, tmp_path: Path
) -> None:
    state = _to_mmsegmentation(encoder.state_dict())
    torch.save({wrapper: state, "meta": {"epoch": 300}} if wrapper else state, tmp_path / "mit.pth")
    _assert_equal(load_encoder(tmp_path / "mit.pth", TINY), encoder)


def test_half_precision_is_widened(encoder: MixTransformer, tmp_path: Path) -> None:
    halves = {key: tensor.half() for key, tensor in _to_transformers(encoder.state_dict()).items()}
    found = load_encoder(_write(halves, tmp_path), TINY)
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(found[key], tensor.half().float())


def test_checkpoints_of_whole_cascades_give_their_encoder(encoder: MixTransformer, tmp_path: Path) -> None:
    model = SegMiF(SegMiFConfig(encoder=TINY, num_classes=2))
    model.segmentation.denoise_net.encoder.load_state_dict(encoder.state_dict())
    save_checkpoint(model, tmp_path / "ours.safetensors")
    _, authors = save_authors_checkpoint(model, tmp_path)
    for file, head in (
        (tmp_path / "ours.safetensors", "segmentation.denoise_net.classifier.weight"),
        (authors, "denoise_net.classifier.weight"),
    ):
        read = read_encoder(file, TINY)
        assert head in read.ignored
        _assert_equal(read.tensors, encoder)


def test_a_models_encoder_is_replaced_and_nothing_else(encoder: MixTransformer, tmp_path: Path) -> None:
    model = SegMiF(SegMiFConfig(encoder=TINY, num_classes=2, fusion_channels=8, growth=2, decoder_channels=4))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = {**_to_transformers(encoder.state_dict()), "classifier.bias": torch.zeros(9)}
    read = apply_encoder(model, _write(state, tmp_path))
    assert read.ignored == ("classifier.bias",)
    stem = "segmentation.denoise_net.encoder."
    for key, tensor in model.state_dict().items():
        expected = encoder.state_dict()[key.removeprefix(stem)] if key.startswith(stem) else before[key]
        assert torch.equal(tensor, expected), key


def test_a_refused_file_leaves_the_model_as_it_was(encoder: MixTransformer, tmp_path: Path) -> None:
    model = SegMiF(SegMiFConfig(encoder=TINY, num_classes=2, fusion_channels=8, growth=2, decoder_channels=4))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = _to_original(encoder.state_dict())
    state.pop("norm4.bias")
    with pytest.raises(CheckpointError, match=r"norm4\.bias"):
        apply_encoder(model, _write(state, tmp_path))
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


# The same features as the layouts' own arithmetic gives, computed from their tensors alone.


def _norm(tokens: Tensor, state: State, key: str, eps: float) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], state[f"{key}.weight"], state[f"{key}.bias"], eps)


def _linear(tokens: Tensor, state: State, key: str) -> Tensor:
    return F.linear(tokens, state[f"{key}.weight"], state[f"{key}.bias"])


def _convolution(image: Tensor, state: State, key: str, **options: int) -> Tensor:
    return F.conv2d(image, state[f"{key}.weight"], state[f"{key}.bias"], **options)


def _tokens(image: Tensor) -> Tensor:
    return image.flatten(2).transpose(1, 2)


def _image(tokens: Tensor, like: Tensor) -> Tensor:
    return tokens.transpose(1, 2).reshape(like.shape)


def _transformers_features(state: State, image: Tensor) -> list[Tensor]:
    found = []
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        stride = 2 if stage else 4
        image = _convolution(image, state, f"patch_embeddings.{stage}.proj", stride=stride, padding=1 if stage else 3)
        x = _norm(_tokens(image), state, f"patch_embeddings.{stage}.layer_norm", 1e-5)
        for block in range(depth):
            stem = f"block.{stage}.{block}"
            normed = _norm(x, state, f"{stem}.layer_norm_1", 1e-6)
            source = normed
            if REDUCTIONS[stage] > 1:
                reduced = _convolution(
                    _image(normed, image), state, f"{stem}.attention.self.sr", stride=REDUCTIONS[stage]
                )
                source = _norm(_tokens(reduced), state, f"{stem}.attention.self.layer_norm", 1e-5)
            query = _linear(normed, state, f"{stem}.attention.self.query")
            key = _linear(source, state, f"{stem}.attention.self.key")
            value = _linear(source, state, f"{stem}.attention.self.value")
            heads, size = [], width // HEADS[stage]
            for head in range(HEADS[stage]):
                part = slice(head * size, (head + 1) * size)
                scores = query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(size)
                heads.append(scores.softmax(-1) @ value[..., part])
            x = x + _linear(torch.cat(heads, -1), state, f"{stem}.attention.output.dense")
            wide = _linear(_norm(x, state, f"{stem}.layer_norm_2", 1e-6), state, f"{stem}.mlp.dense1")
            square = wide.transpose(1, 2).reshape(1, -1, *image.shape[2:])
            wide = _tokens(_convolution(square, state, f"{stem}.mlp.dwconv.dwconv", padding=1, groups=4 * width))
            x = x + _linear(F.gelu(wide), state, f"{stem}.mlp.dense2")
        image = _image(_norm(x, state, f"layer_norm.{stage}", 1e-6), image)
        found.append(image)
    return found


def _mmsegmentation_features(state: State, image: Tensor) -> list[Tensor]:
    """With torch's own attention over stacked queries, keys and values, and 1x1 convolutions."""
    found = []
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        stem = f"layers.{stage}"
        image = _convolution(
            image, state, f"{stem}.0.projection", stride=2 if stage else 4, padding=1 if stage else 3
        )
        x = _norm(_tokens(image), state, f"{stem}.0.norm", 1e-5)
        for block in range(depth):
            stem = f"layers.{stage}.1.{block}"
            normed = _norm(x, state, f"{stem}.norm1", 1e-6)
            source = normed
            if REDUCTIONS[stage] > 1:
                reduced = _convolution(_image(normed, image), state, f"{stem}.attn.sr", stride=REDUCTIONS[stage])
                source = _norm(_tokens(reduced), state, f"{stem}.attn.norm", 1e-5)
            attention = torch.nn.MultiheadAttention(width, HEADS[stage], batch_first=True)
            own = f"{stem}.attn.attn."
            attention.load_state_dict(
                {key.removeprefix(own): tensor for key, tensor in state.items() if key.startswith(own)}
            )
            x = x + attention(normed, source, source)[0]
            wide = _convolution(_image(_norm(x, state, f"{stem}.norm2", 1e-6), image), state, f"{stem}.ffn.layers.0")
            wide = F.gelu(_convolution(wide, state, f"{stem}.ffn.layers.1", padding=1, groups=4 * width))
            x = x + _tokens(_convolution(wide, state, f"{stem}.ffn.layers.4"))
        image = _image(_norm(x, state, f"layers.{stage}.2", 1e-6), image)
        found.append(image)
    return found


@pytest.mark.parametrize(
    ("layout", "features"),
    [("transformers", _transformers_features), ("mmsegmentation", _mmsegmentation_features)],
)
@torch.no_grad()
def test_the_features_are_those_that_the_layouts_own_arithmetic_gives(
    layout: str, features: Callable[[State, Tensor], list[Tensor]], encoder: MixTransformer, tmp_path: Path
) -> None:
    # tensors in the layout's own names, drawn again: only names and shapes are from the inverse above
    generator = torch.Generator().manual_seed(11)
    state = {
        key: torch.randn(tensor.shape, generator=generator) / (math.sqrt(tensor[0].numel()) if tensor.ndim > 1 else 2)
        for key, tensor in LAYOUTS[layout](encoder.state_dict()).items()
    }
    image = torch.randn(1, 3, 64, 96, generator=generator)
    expected = features(state, image)
    made = MixTransformer(WIDTHS, DEPTHS).eval()
    made.load_state_dict(load_encoder(_write(state, tmp_path), TINY))
    for found, reference in zip(made(image), expected, strict=True):
        torch.testing.assert_close(found, reference, atol=2e-5, rtol=1e-4)


# What is refused.


@shared_file
@given(layout=st.sampled_from(sorted(LAYOUTS)), data=st.data())
def test_any_missing_key_is_named(
    encoder: MixTransformer, tmp_path: Path, layout: str, data: st.DataObject
) -> None:
    state = LAYOUTS[layout](encoder.state_dict())
    key = data.draw(st.sampled_from(sorted(state)))
    del state[key]
    assert f"key {key} is missing" in _refusal(_write(state, tmp_path))


@shared_file
@given(layout=st.sampled_from(sorted(LAYOUTS)), data=st.data())
def test_any_other_shape_is_named(
    encoder: MixTransformer, tmp_path: Path, layout: str, data: st.DataObject
) -> None:
    state = LAYOUTS[layout](encoder.state_dict())
    key = data.draw(st.sampled_from(sorted(state)))
    change = data.draw(
        st.sampled_from([lambda t: t[..., None], lambda t: t[:-1], lambda t: torch.cat((t, t)), lambda t: t.sum()])
    )
    state[key] = change(state[key])
    said = _refusal(_write(state, tmp_path))
    assert f"{key} is float32 of shape {tuple(state[key].shape)}, expected" in said


@shared_file
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    name=st.text(st.sampled_from("abcdnorm12.@_"), min_size=1, max_size=30)
    | st.sampled_from(["pos_embed", "block1.9.norm3.bias", "headless.weight", "backbone"]),
)
def test_a_key_that_is_neither_the_encoders_nor_a_heads_is_named(
    encoder: MixTransformer, tmp_path: Path, layout: str, name: str
) -> None:
    state = {**LAYOUTS[layout](encoder.state_dict()), name: torch.zeros(1)}
    assert f"unexpected key {name}:" in _refusal(_write(state, tmp_path))


@shared_file
@given(keys=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=5))
def test_a_file_with_any_other_keys_is_no_encoder(tmp_path: Path, keys: list[str]) -> None:
    torch.save({key: torch.zeros(1) for key in keys}, tmp_path / "other.pth")
    assert "holds no MiT encoder" in _refusal(tmp_path / "other.pth")


def test_integers_are_no_weights(encoder: MixTransformer, tmp_path: Path) -> None:
    state = _to_transformers(encoder.state_dict())
    state["layer_norm.0.bias"] = state["layer_norm.0.bias"].int()
    said = _refusal(_write(state, tmp_path))
    assert "layer_norm.0.bias is int32 of shape (4,), expected float32 of shape (4,)" in said


def test_linear_feed_forwards_are_not_taken_for_convolutions(encoder: MixTransformer, tmp_path: Path) -> None:
    state = _to_mmsegmentation(encoder.state_dict())
    state["layers.0.1.0.ffn.layers.0.weight"] = state["layers.0.1.0.ffn.layers.0.weight"][:, :, 0, 0]
    assert "expected float32 of shape (16, 4, 1, 1)" in _refusal(_write(state, tmp_path))


@pytest.mark.parametrize("held", [f"mit_b{number}" for number in range(1, 6)])
def test_the_encoder_of_another_size_is_told_by_its_name(held: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in MixTransformer(*ENCODERS[held]).state_dict().items()}
    # a byte for each value: only shapes matter here
    torch.save({key: torch.zeros(shape, dtype=torch.int8) for key, shape in shapes.items()}, tmp_path / "mit.pth")
    assert f"holds {held}, and mit_b0 was asked for" in _refusal(tmp_path / "mit.pth", "mit_b0")


def test_two_encoders_in_one_file_are_refused(encoder: MixTransformer, tmp_path: Path) -> None:
    state = _to_transformers(encoder.state_dict())
    twice = {f"{side}.{key}": tensor for side in ("student", "teacher") for key, tensor in state.items()}
    said = _refusal(_write(twice, tmp_path))
    assert "more than one encoder" in said and "'student.'" in said and "'teacher.'" in said


def test_what_is_not_finite_is_named(encoder: MixTransformer, tmp_path: Path) -> None:
    state = _to_original(encoder.state_dict())
    state["norm1.bias"] = state["norm1.bias"] * torch.nan
    assert "norm1.bias holds values that are not finite" in _refusal(_write(state, tmp_path))


def test_a_missing_file_and_an_unknown_encoder_are_one_line(tmp_path: Path) -> None:
    assert "no such file" in _refusal(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="'mit_b9' is unknown: choose one of mit_b0"):
        load_encoder(tmp_path / "none.pth", "mit_b9")
