# SPDX-License-Identifier: Apache-2.0
"""The parity command: its formula against published values, the model against the slow reference, typical mistakes."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import network_reference
import numpy as np
import pytest
import torch
from module_command import command_of
from torch import nn
from torch.nn import functional as F

from segmif_ros.model import SegMiF
from segmif_ros.model.encoder import EfficientAttention, PatchEmbedding, TransformerBlock
from segmif_ros.training import losses
from segmif_ros.trials import parity, parity_formula


@cache
def _vectors(name: str) -> dict[str, np.ndarray]:
    """What the published networks give for a case, by the slow float64 reference."""
    case = parity.ParityCase.from_name(name)
    weights = {}
    model = parity.build_model(case)
    for network, module in (("fusion", model.fusion), ("seg", model.segmentation)):
        shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        weights[network] = {key: parity.weight(network, key, shape, case) for key, shape in shapes.items()}
    return network_reference.reference_outputs(
        weights["fusion"],
        weights["seg"],
        parity.image("vis", 3, case.height, case.width),
        parity.image("ir", 1, case.height, case.width),
        parity.labels(case.num_classes, case.height, case.width),
    )


def _failing(name: str, model: SegMiF) -> set[str]:
    case = parity.ParityCase.from_name(name)
    vectors = _vectors(name)
    found = parity.outputs(case, model, vectors["rgb_u8_R"])
    return {difference.name for difference in parity.compare(case, vectors, found) if not difference.passed}


def _model(name: str) -> SegMiF:
    return parity.build_model(parity.ParityCase.from_name(name))


# The formula.


@pytest.mark.parametrize(("state", "expected"), [(0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F])])
def test_words_are_those_of_splitmix64(state: int, expected: list[int]) -> None:
    assert parity_formula.words(state, 3).tolist() == expected


@pytest.mark.parametrize("state", [1, 2**64 - 1, 0x2840DBDCC937B9AE])
def test_words_equal_the_formula_in_plain_integers(state: int) -> None:
    expected = []
    for i in range(5):
        z = (state + (i + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append(z ^ (z >> 31))
    assert parity_formula.words(state, 5).tolist() == expected


@pytest.mark.parametrize(
    ("network", "key", "shape", "state", "first"),
    [
        ("fusion", "conv1_ir.weight", (64, 1, 3, 3), 0x2840DBDCC937B9AE, [0.231489688, 0.24364382, -0.174099609]),
        (
            "fusion",
            "ffm.cross.cross_attn2.kv1.weight",
            (128, 64),
            0x87CE942F39C2A26B,
            [3.73983676e-05, 0.00162398582, -0.000336088531],
        ),
        ("fusion", "relu.weight", (1,), 0x955AB497D7E3811E, [0.236493915]),
        ("fusion", "conv22.bias", (1,), 0xBCD3AFBE06EDCC66, [0.95279932]),
        (
            "seg",
            "denoise_net.encoder.block1.0.attn.sr.bias",
            (32,),
            0xB6ABAC25BD321B4F,
            [0.0395027846, 0.0307866931, 0.0973334312],
        ),
        (
            "seg",
            "denoise_net.decoder.linear_fuse.bn.running_var",
            (256,),
            0xB28137ABA44933F9,
            [1.03293669, 0.823278308, 0.506159663],
        ),
    ],
)
def test_seeds_and_weights_have_the_published_values(
    network: str, key: str, shape: tuple[int, ...], state: int, first: list[float]
) -> None:
    assert parity_formula.seed(f"segmif-v2/{network}/{key}") == state
    drawn = parity.weight(network, key, shape, parity.ParityCase.from_name("b0_15_96x128"))
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.ravel()[: len(first)], first, rtol=1e-8)


@pytest.mark.parametrize(
    ("key", "factor"),
    [
        ("denoise_net.encoder.patch_embed3.norm.weight", 0.003),
        ("denoise_net.encoder.block2.1.attn.sr.weight", 0.003),
        ("denoise_net.encoder.block2.1.attn.norm.weight", 1),
        ("denoise_net.encoder.block2.1.mlp.fc1.bias", 1),
        ("denoise_net.decoder.linear_fuse.bn.running_mean", 0.003),
        ("denoise_net.decoder.linear_fuse.bn.running_var", 1e-5),
        ("conv1_vis.bias", 0.003),
        ("DRDB2.Dcov4.bias", 0.003),
        ("DRDB2.Dcov4.weight", 1),
        ("DRDB2.conv.bias", 0.003),
        ("conv22.bias", 1),
        ("ffm.cross.norm2.bias", 0.003),
    ],
)
def test_the_small_case_shrinks_what_enters_a_normalisation(key: str, factor: float) -> None:
    shape = (4, 3) if key.endswith("weight") and "norm" not in key else (4,)
    plain = parity.weight("any", key, shape, parity.ParityCase.from_name("b0_15_64x96"))
    small = parity.weight("any", key, shape, parity.ParityCase.from_name("b0_15_64x96_small"))
    np.testing.assert_allclose(small, factor * plain.astype(np.float64), rtol=1e-6)


def test_images_and_labels_have_the_published_values() -> None:
    visible, infrared = parity.image("vis", 3, 96, 128), parity.image("ir", 1, 96, 128)
    assert visible[0, 0, :8].tolist() == [10, 55, 44, 22, 47, 6, 33, 41]
    assert infrared[0, 0, :8].tolist() == [239, 185, 198, 209, 186, 245, 201, 214]
    assert (int(visible.sum()), int(infrared.sum())) == (4760297, 1592368)
    labels = parity.labels(9, 96, 128)
    assert labels[0, ::8].tolist() == [8, 6, 7, 8, 8, 8, 2, 7, 1, 1, 8, 2, 0, 3, 3, 1]
    assert int(labels.sum()) == 304768


@pytest.mark.parametrize("name", ["b6_9_96x128", "b0_9_96x128_tiny", "b0_0_96x128", "b0_9_28x128", "b0_9_96", "x"])
def test_a_file_name_that_is_no_case_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a case"):
        parity.ParityCase.from_name(name)


# The model against the reference.


@pytest.mark.parametrize("name", ["b0_3_29x32", "b0_9_33x47_sharp", "b0_3_29x32_small"])
def test_every_array_equals_the_slow_reference(name: str) -> None:
    assert _failing(name, _model(name)) == set()


def test_gradients_of_training_equal_finite_differences_of_the_reference() -> None:
    """The path with gradients is another one (no shared buffer), and so is what it must get right."""
    name = "b0_3_29x32"
    case, model = parity.ParityCase.from_name(name), _model(name)
    vectors = _vectors(name)
    inputs = [torch.from_numpy(vectors[key])[None] / 255 for key in ("in_ir_u8", "in_vis_u8", "in_mask_u8")]
    fused = model.fuse(inputs[0], inputs[1][:, :1], inputs[2])
    assert np.abs(fused.detach().numpy() - vectors["fused_from_R"]).max() < parity.TOLERANCE
    fused.mean().backward()
    key, step = "conv21.bias", 1e-4
    state = {k: parity.weight("fusion", k, tuple(t.shape), case) for k, t in model.fusion.state_dict().items()}
    features = [
        network_reference.resize(vectors[stage][0].astype(np.float64), (case.height, case.width))
        for stage in ("mask_stage1", "mask_stage2")
    ]
    means = []
    for sign in (1, -1):
        shifted = state | {key: state[key].astype(np.float64) + sign * step * (np.arange(32) == 5)}
        arguments = (vectors["in_ir_u8"] / 255, vectors["in_vis_u8"][:1] / 255, *features)
        means.append(network_reference.fusion_network(shifted, *arguments, {}).mean())
    slope = (means[0] - means[1]) / (2 * step)
    assert abs(model.fusion.conv21.bias.grad[5].item() - slope) < 1e-3 * abs(slope)


# Typical mistakes must show.


def _set_eps(model: SegMiF, kind: str) -> None:
    for module in model.modules():
        if kind == "patch" and isinstance(module, PatchEmbedding):
            module.norm.eps = 1e-6
        if kind == "block" and isinstance(module, TransformerBlock):
            module.norm1.eps = module.norm2.eps = 1e-5
        if kind == "attention" and isinstance(module, EfficientAttention) and module.reduction > 1:
            module.norm.eps = 1e-6
        if kind == "head" and isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    if kind == "stage":
        for stage in range(1, 5):
            model.segmentation.denoise_net.encoder.get_submodule(f"norm{stage}").eps = 1e-5
    if kind == "interaction":
        model.fusion.ffm.cross.norm1.eps = model.fusion.ffm.cross.norm2.eps = 1e-6


@pytest.mark.parametrize("kind", ["patch", "block", "attention", "stage", "interaction", "head"])
def test_a_wrong_eps_fails_the_small_case(kind: str) -> None:
    model = _model("b0_3_29x32_small")
    _set_eps(model, kind)
    assert _failing("b0_3_29x32_small", model)


def _swap_halves(weight: torch.Tensor) -> None:
    weight.data = torch.cat(weight.data.chunk(2)[::-1])


def _swap_blocks(model: SegMiF) -> None:
    model.fusion.DRDB1, model.fusion.DRDB2 = model.fusion.DRDB2, model.fusion.DRDB1


def _swap_stages(model: SegMiF) -> None:
    fuse = model.segmentation.denoise_net.decoder.linear_fuse.conv.weight
    fuse.data = torch.cat(fuse.data.chunk(4, dim=1)[::-1], dim=1)


MISTAKES: dict[str, tuple[Callable[[SegMiF], None], str]] = {
    "keys and values exchanged": (lambda m: _swap_halves(m.fusion.ffm.cross.cross_attn2.kv1.weight), "fused_from_R"),
    "halves y and u exchanged": (lambda m: _swap_halves(m.fusion.ffm.cross.channel_proj3.weight), "fused_from_R"),
    "dense blocks exchanged": (_swap_blocks, "drdb1_sub"),
    "the second, unused interaction block": (lambda m: setattr(m.fusion, "ffm", m.fusion.ffm2), "ffm_call1_ir_sub"),
    "ReLU instead of PReLU": (lambda m: m.fusion.relu.weight.data.zero_(), "fused_from_R"),
    "stages concatenated the other way round": (_swap_stages, "seg_logits_of_u8_R"),
    "segmentation without mean and std": (lambda m: m.segmentation.mean.zero_(), "seg_logits_of_u8_R"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_typical_mistake_fails(mistake: str) -> None:
    spoil, array = MISTAKES[mistake]
    model = _model("b0_3_29x32")
    spoil(model)
    assert array in _failing("b0_3_29x32", model)


def test_the_approximate_gelu_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = F.gelu
    monkeypatch.setattr(F, "gelu", lambda x: exact(x, approximate="tanh"))
    assert {"mask_stage2", "seg_logits_of_u8_R"} <= _failing("b0_3_29x32", _model("b0_3_29x32"))


def test_a_context_softmax_over_the_wrong_axis_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, dim: exact(x, dim=-1))
    assert "fused_from_R" in _failing("b0_3_29x32", _model("b0_3_29x32"))


# The command.


def test_the_command_prints_one_line_a_case_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    np.savez(tmp_path / "b0_3_29x32.npz", **_vectors("b0_3_29x32"))
    assert command_of(parity)([str(tmp_path)]) == 0
    case, summary = capsys.readouterr().out.splitlines()
    assert case.startswith("b0_3_29x32: pass (")
    assert all(f"{name} " in case for name in _vectors("b0_3_29x32"))
    assert summary == "1 of 1 cases pass"


def test_the_command_fails_when_one_array_differs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vectors = _vectors("b0_3_29x32")
    np.savez(tmp_path / "b0_3_29x32.npz", **(vectors | {"fused_from_Y": vectors["fused_from_Y"] + 2e-4}))
    assert command_of(parity)([str(tmp_path)]) == 1
    case, summary = capsys.readouterr().out.splitlines()
    assert case.startswith("b0_3_29x32: FAIL (")
    assert case.count(" FAIL,") == 1
    assert "fused_from_Y 2.0e-04 FAIL" in case
    assert summary == "0 of 1 cases pass"


def test_another_set_is_compared_by_its_own_tag(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    case = parity.ParityCase.from_name("b0_3_29x32")
    vectors = parity.outputs(case, parity.build_model(case, "other"), tag="other")
    np.savez(tmp_path / "b0_3_29x32.npz", **vectors)
    assert command_of(parity)([str(tmp_path), "--tag", "other"]) == 0
    assert command_of(parity)([str(tmp_path)]) == 1


def test_the_tolerances_are_those_that_are_given(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vectors = _vectors("b0_3_29x32")
    np.savez(tmp_path / "b0_3_29x32.npz", **(vectors | {"fused_from_Y": vectors["fused_from_Y"] + 2e-4}))
    assert command_of(parity)([str(tmp_path), "--tolerance", "1e-3"]) == 0
    assert command_of(parity)([str(tmp_path), "--tolerance", "0"]) == 2
    assert "tolerance is 0.0: it must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "nan"])
def test_an_array_that_cannot_be_compared_fails(change: str) -> None:
    case, vectors = parity.ParityCase.from_name("b0_3_29x32"), dict(_vectors("b0_3_29x32"))
    if change == "missing":
        del vectors["seg_stage3"]
    elif change == "unknown":
        vectors["seg_stage5"] = vectors["seg_stage3"]
    elif change == "shape":
        vectors["seg_stage3"] = vectors["seg_stage3"][0]
    else:
        vectors["seg_stage3"] = np.full_like(vectors["seg_stage3"], np.nan)
    differences = parity.compare(case, vectors, _vectors("b0_3_29x32"))
    assert [d.name for d in differences if not d.passed] == ["seg_stage5" if change == "unknown" else "seg_stage3"]


@pytest.mark.parametrize(("levels", "count", "passed"), [(1, 2, True), (1, 3, False), (2, 1, False)])
def test_few_bytes_may_differ_by_one_level(levels: int, count: int, passed: bool) -> None:
    case, vectors = parity.ParityCase.from_name("b0_3_29x32"), _vectors("b0_3_29x32")
    changed = vectors["rgb_u8_R"].copy()
    changed.ravel()[:count] = np.where(changed.ravel()[:count] > 100, -levels, levels) + changed.ravel()[:count]
    differences = parity.compare(case, vectors, dict(vectors, rgb_u8_R=changed))
    assert all(difference.passed for difference in differences) == passed


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("odd.npz", b"", "is no name of a case"),
        ("b0_3_29x32.npz", b"", "FAIL"),
        ("b0_3_29x32.npz", b"PK\x03\x04 cut short", "FAIL"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_failing_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert command_of(parity)([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert words in lines[0]


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_a_folder_without_vectors_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture, folder: str) -> None:
    assert command_of(parity)([str(tmp_path / folder)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "give the folder with the parity vectors" in output.err


# The losses are those that a training's step takes.


@pytest.mark.parametrize(("name", "array"), [("_SSIM_WEIGHT", "loss_later_of_Y"), ("_SSIM_SIGMA", "loss_later_of_Y")])
def test_a_wrong_number_in_the_trainings_loss_fails(monkeypatch: pytest.MonkeyPatch, name: str, array: str) -> None:
    monkeypatch.setattr(losses, name, 1.0)
    assert _failing("b0_3_29x32", _model("b0_3_29x32")) == {array}
