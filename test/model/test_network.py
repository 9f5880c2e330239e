# SPDX-License-Identifier: Apache-2.0
"""The cascade: published sizes, any image size, the small variants, both modes, training."""

import math

import network_reference
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segmif_ros.model import SegMiF, SegMiFConfig
from segmif_ros.model.encoder import DropPath
from segmif_ros.trials import parity

TINY = {"encoder": "mit_b0", "num_classes": 3, "fusion_channels": 8, "growth": 4, "decoder_channels": 16}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _meta(**sizes: object) -> SegMiF:
    with torch.device("meta"):
        return SegMiF(SegMiFConfig(**sizes))


def _frame(height: int, width: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(height * width)
    planes = torch.rand(batch, 5, height, width, generator=generator)
    return planes[:, :1], planes[:, 1:4], planes[:, 4:]


def _formula_model(**sizes: object) -> SegMiF:
    """Weights by the parity formula, which has visible signals in every path."""
    model = SegMiF(SegMiFConfig(**sizes))
    case = parity.ParityCase.from_name("b0_3_32x32")
    for network, module in (("fusion", model.fusion), ("seg", model.segmentation)):
        shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        module.load_state_dict(
            {key: torch.from_numpy(parity.weight(network, key, shape, case)) for key, shape in shapes.items()}
        )
    return model.eval()


# Published sizes.


@pytest.mark.parametrize(
    ("encoder", "classes", "parameters"),
    [
        ("mit_b0", 9, 3_718_761),
        ("mit_b0", 15, 3_721_839),
        ("mit_b1", 9, 13_684_169),
        ("mit_b2", 9, 24_729_033),
        ("mit_b3", 9, 44_604_873),
        ("mit_b3", 15, 44_609_487),
        ("mit_b4", 9, 61_375_433),
        ("mit_b5", 9, 81_975_753),
    ],
)
def test_segmentation_networks_have_the_published_number_of_parameters(
    encoder: str, classes: int, parameters: int
) -> None:
    assert _count(_meta(encoder=encoder, num_classes=classes).segmentation) == parameters


def test_the_parts_have_the_published_number_of_parameters() -> None:
    model = _meta(encoder="mit_b3", num_classes=9)
    fusion, net = model.fusion, model.segmentation.denoise_net
    parts = {
        "fusion": fusion, "DRDB1": fusion.DRDB1, "DRDB4": fusion.DRDB4, "ffm": fusion.ffm, "ffm2": fusion.ffm2,
        "conv2": fusion.conv2, "conv21": fusion.conv21, "conv3": fusion.conv3, "conv4": fusion.conv4,
        "encoder": net.encoder, "decoder": net.decoder, "classifier": net.classifier,
    }  # fmt: skip
    assert {name: _count(part) for name, part in parts.items()} == {
        "fusion": 1_034_370, "DRDB1": 198_880, "DRDB4": 198_880, "ffm": 66_304, "ffm2": 66_304,
        "conv2": 73_792, "conv21": 18_464, "conv3": 4_160, "conv4": 8_256,
        "encoder": 44_072_128, "decoder": 528_137, "classifier": 4_608,
    }  # fmt: skip
    assert _count(_meta(encoder="mit_b0", num_classes=9).fusion) == 1_028_226


@pytest.mark.parametrize(("encoder", "entries"), [("mit_b0", 193), ("mit_b3", 589)])
def test_state_dicts_have_the_published_number_of_entries(encoder: str, entries: int) -> None:
    model = _meta(encoder=encoder)
    assert len(model.segmentation.state_dict()) == entries
    assert len(model.fusion.state_dict()) == 97


def test_keys_and_shapes_are_those_of_the_published_checkpoints() -> None:
    state = _meta(encoder="mit_b3", num_classes=9).state_dict()
    shapes = {key: (*tensor.shape,) for key, tensor in state.items()}
    encoder, decoder = "segmentation.denoise_net.encoder.", "segmentation.denoise_net.decoder."
    expected = {
        "fusion.conv1_ir.weight": (64, 1, 3, 3),
        "fusion.DRDB3.Dcov5.weight": (32, 192, 3, 3),
        "fusion.DRDB4.conv.weight": (64, 224, 1, 1),
        "fusion.relu.weight": (1,),
        "fusion.ffm.cross.channel_proj3.weight": (128, 64),
        "fusion.ffm.cross.cross_attn.kv3.weight": (128, 64),
        "fusion.ffm2.cross.cross_attn2.kv2.weight": (128, 64),
        "fusion.ffm.cross.end_proj2.bias": (64,),
        "fusion.conv4.weight": (64, 128, 1, 1),
        "fusion.conv22.weight": (1, 32, 3, 3),
        encoder + "patch_embed1.proj.weight": (64, 3, 7, 7),
        encoder + "patch_embed4.norm.weight": (512,),
        encoder + "block3.17.attn.sr.weight": (320, 320, 2, 2),
        encoder + "block3.17.mlp.dwconv.dwconv.weight": (1280, 1, 3, 3),
        encoder + "block4.2.attn.kv.bias": (1024,),
        encoder + "norm4.bias": (512,),
        decoder + "linear_c1.proj.weight": (256, 64),
        decoder + "linear_fuse.conv.weight": (256, 1024, 1, 1),
        decoder + "linear_fuse.bn.num_batches_tracked": (),
        decoder + "linear_pred.bias": (9,),
        "segmentation.denoise_net.classifier.weight": (9, 512, 1, 1),
    }
    assert {key: shapes.get(key) for key in expected} == expected
    assert encoder + "block4.0.attn.sr.weight" not in state
    assert decoder + "linear_fuse.conv.bias" not in state
    assert state[decoder + "linear_fuse.bn.num_batches_tracked"].dtype == torch.int64


# Sizes and variants.


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("output", ["direct", "blend"])
@pytest.mark.parametrize(("height", "width"), [(29, 29), (33, 47), (31, 62)])
def test_any_size_gives_outputs_of_that_size(height: int, width: int, scale: int, output: str) -> None:
    model = SegMiF(SegMiFConfig(**TINY, fusion_scale=scale, fusion_output=output)).eval()
    with torch.no_grad():
        result = model(*_frame(height, width, batch=2))
    assert result.fused_luma.shape == (2, 1, height, width)
    assert result.fused_rgb.shape == (2, 3, height, width)
    assert result.logits.shape == (2, 3, -(-height // 4), -(-width // 4))
    assert all(torch.isfinite(tensor).all() for tensor in result)


@pytest.mark.parametrize(("scale", "output"), [(2, "direct"), (4, "direct"), (1, "blend"), (2, "blend"), (4, "blend")])
def test_the_small_variants_equal_the_slow_reference(scale: int, output: str) -> None:
    model = _formula_model(**TINY, fusion_scale=scale, fusion_output=output)
    infrared, rgb, prior = _frame(33, 47)
    size = (-(-33 // scale), -(-47 // scale))
    with torch.no_grad():
        fused = model.fuse(infrared, rgb[:, :1], prior)[0].numpy()
    seg = {key: tensor.numpy() for key, tensor in model.segmentation.state_dict().items()}
    stages = network_reference.encoder(seg, prior[0].double().expand(3, -1, -1).numpy())
    f1, f2 = (network_reference.resize(stage, size) for stage in stages[:2])
    fusion = {key: tensor.numpy() for key, tensor in model.fusion.state_dict().items()}
    planes = infrared[0].double().numpy(), rgb[0, :1].double().numpy()
    expected = network_reference.fusion_network(fusion, *planes, f1, f2, {}, scale, output == "blend")
    assert np.abs(fused - expected).max() < 2e-5
    assert expected.std() > 0.01


def test_a_prior_scale_shows_the_encoder_the_averaged_prior() -> None:
    model = _formula_model(**TINY, prior_scale=2)
    _, _, prior = _frame(61, 74)
    with torch.no_grad():
        features = model.prior_features(prior)
        full = _formula_model(**TINY).prior_features
        padded = torch.cat((prior, prior[..., -1:, :]), dim=2)  # the last row stands alone in its average
        expected = full(padded.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-2, -1)))
    for ours, theirs in zip(features, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_prior_too_small_for_its_scale_is_shown_whole() -> None:
    _, _, prior = _frame(40, 90)
    with torch.no_grad():
        scaled = _formula_model(**TINY, prior_scale=2).prior_features(prior)
        whole = _formula_model(**TINY).prior_features(prior)
    assert all(torch.equal(a, b) for a, b in zip(scaled, whole, strict=True))


def test_frames_of_a_batch_do_not_see_each_other() -> None:
    model = _formula_model(**TINY, fusion_scale=2, fusion_output="blend")
    frames = _frame(33, 47, batch=3)
    with torch.no_grad():
        together = model(*frames)
        alone = model(*(plane[1:2] for plane in frames))
    for both, single in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1:2], single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(28, 64), (64, 28)])
def test_an_image_below_29_pixels_is_refused(height: int, width: int) -> None:
    model = SegMiF(SegMiFConfig(**TINY))
    with pytest.raises(ValueError, match=f"{width}x{height} pixels is too small"):
        model(*_frame(height, width))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "mit_b9"}, "'encoder' is 'mit_b9'"),
        ({"num_classes": 0}, "'num_classes' is 0"),
        ({"growth": 0}, "'growth' is 0"),
        ({"decoder_channels": -1}, "'decoder_channels' is -1"),
        ({"fusion_channels": 12}, "fusion_channels is 12"),
        ({"fusion_channels": 0}, "'fusion_channels' is 0"),
        ({"fusion_scale": 3}, "fusion_scale is 3"),
        ({"prior_scale": 3}, "prior_scale is 3"),
        ({"fusion_output": "mix"}, "'fusion_output' is 'mix'"),
    ],
)
def test_a_configuration_out_of_range_is_refused_by_name(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SegMiFConfig(**(TINY | change))


@pytest.mark.parametrize("wrong", ["infrared", "rgb", "prior", "mode"])
def test_inputs_that_do_not_fit_are_refused_by_name(wrong: str) -> None:
    model = SegMiF(SegMiFConfig(**TINY))
    inputs = dict(zip(("infrared", "rgb", "prior"), _frame(32, 32), strict=True))
    if wrong == "mode":
        inputs["mode"] = "test"
    else:
        inputs[wrong] = inputs[wrong][:, :, :, 1:] if wrong == "prior" else torch.zeros(1, 2, 32, 32)
    with pytest.raises(ValueError, match=f"^{wrong} "):
        model(**inputs)


# The two modes.


def test_the_robot_mode_fuses_with_the_luma_and_neither_stretches_nor_quantises() -> None:
    model = _formula_model(**TINY)
    infrared, rgb, prior = _frame(32, 40)
    with torch.no_grad():
        result = model(infrared, rgb, prior)
        luma = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
        torch.testing.assert_close(result.fused_luma, model.fuse(infrared, luma, prior))
        ycrcb = network_reference.to_ycrcb(rgb[0].double().numpy())
        expected = network_reference.to_rgb(result.fused_luma[0].double().numpy(), ycrcb).clip(0, 1)
        assert np.abs(result.fused_rgb[0].numpy() - expected).max() < 1e-6
        torch.testing.assert_close(result.logits, model.segment(result.fused_rgb))


def test_the_authors_mode_shows_the_bytes_of_the_published_test_script() -> None:
    model = _formula_model(**TINY)
    infrared, rgb, prior = _frame(32, 40)
    with torch.no_grad():
        result = model(infrared, rgb, prior, mode="authors")
        torch.testing.assert_close(result.fused_luma, model.fuse(infrared, rgb[:, :1], prior))
        # From the float32 luma on, value by value: the steps after it are what is looked at here.
        ycrcb = network_reference.to_ycrcb(rgb[0].double().numpy())
        raw = network_reference.to_rgb(result.fused_luma[0].double().numpy(), ycrcb)
        shown = (255 * result.fused_rgb[0]).round().permute(1, 2, 0).numpy()
        differing = np.abs(shown - network_reference.display_bytes(raw))
        assert differing.max() <= 1
        assert np.count_nonzero(differing) <= 3
        assert (shown.min(), shown.max()) == (0, 255)
        torch.testing.assert_close(result.logits, model.segment(result.fused_rgb))


def test_the_modes_differ() -> None:
    model = _formula_model(**TINY)
    with torch.no_grad():
        robot, authors = model(*_frame(32, 40)), model(*_frame(32, 40), mode="authors")
    assert (robot.fused_rgb - authors.fused_rgb).abs().max() > 0.05


def test_the_prior_pass_stops_after_the_second_stage() -> None:
    model = _formula_model(**TINY)
    called: list[int] = []
    for stage in range(1, 5):
        embedding = model.segmentation.denoise_net.encoder.get_submodule(f"patch_embed{stage}")
        embedding.register_forward_hook(lambda _m, _i, _o, stage=stage: called.append(stage))
    with torch.no_grad():
        features = model.prior_features(_frame(33, 47)[2])
    assert called == [1, 2]
    assert [tuple(feature.shape) for feature in features] == [(1, 32, 9, 12), (1, 64, 5, 6)]


# Training.


def test_training_gives_every_used_parameter_a_gradient_and_the_unused_ones_none() -> None:
    model = SegMiF(SegMiFConfig(**TINY, fusion_scale=2, fusion_output="blend")).train()
    infrared, rgb, prior = _frame(33, 47, batch=2)
    result = model(infrared, rgb, prior)
    (result.fused_luma.square().mean() + result.logits.square().mean()).backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {name for name, _ in model.named_parameters() if ".ffm2." in name or ".classifier." in name}
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_maps_without_gradient_equal_those_with() -> None:
    """Without gradients the dense blocks share one buffer."""
    model = _formula_model(**TINY)
    frames = _frame(33, 47, batch=2)
    with_gradient = model(*frames)
    with torch.no_grad():
        without = model(*frames)
    for a, b in zip(with_gradient, without, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-4, atol=1e-5)


def test_training_mode_drops_and_counts_and_evaluation_mode_does_not() -> None:
    torch.manual_seed(0)
    model = SegMiF(SegMiFConfig(**TINY))
    rgb = _frame(64, 64, batch=2)[1]
    norm = model.segmentation.denoise_net.decoder.linear_fuse.bn
    with torch.no_grad():
        model.train()
        assert not torch.equal(model.segment(rgb), model.segment(rgb))
        assert int(norm.num_batches_tracked) == 2
        model.eval()
        assert torch.equal(model.segment(rgb), model.segment(rgb))
        assert int(norm.num_batches_tracked) == 2


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = DropPath(0.25)(torch.ones(4000, 2, 3))
    assert torch.equal(dropped, dropped[:, :1, :1].expand_as(dropped))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs(dropped.mean().item() - 1) < 0.03


def test_drop_path_rises_linearly_over_all_blocks() -> None:
    model = _meta(encoder="mit_b2")
    rates = [module.rate for module in model.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.1 * i / 15 for i in range(16)])


def test_a_new_model_is_initialised_as_published() -> None:
    torch.manual_seed(0)
    model = SegMiF(SegMiFConfig(encoder="mit_b0"))
    net = model.segmentation.denoise_net
    expected = {
        net.encoder.patch_embed3.proj: math.sqrt(2 / (9 * 160)),
        net.encoder.block4[0].mlp.dwconv.dwconv: math.sqrt(2 / 9),
        net.encoder.block4[0].mlp.fc1: 0.02,
        model.fusion.ffm.cross.end_proj1: 0.02,
        net.decoder.linear_fuse.conv: math.sqrt(2 / 256),
    }
    for module, std in expected.items():
        assert module.weight.std().item() == pytest.approx(std, rel=0.05)
        assert module.bias is None or module.bias.abs().max() == 0
    assert net.encoder.norm2.weight.unique().tolist() == [1]
    assert model.fusion.relu.weight.tolist() == [0.25]
