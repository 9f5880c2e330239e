# SPDX-License-Identifier: Apache-2.0
"""The engine turns a pair of uint8 images into uint8 results, and refuses what it can't process in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segmif_ros.inference.engine import Engine, EngineConfig, EngineError
from segmif_ros.labels import CAMVID, LabelSetError, label_metadata
from segmif_ros.model import CheckpointError, SegMiF, SegMiFConfig, load_checkpoint, save_checkpoint


def _pair(height: int = 33, width: int = 47) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    infrared = generator.integers(0, 256, (height, width), np.uint8)
    return infrared, generator.integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def engine(tiny_weights: Path) -> Engine:
    return Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu"))


def test_results_have_the_size_of_the_pair_and_are_uint8(engine: Engine) -> None:
    result = engine.infer(*_pair())
    assert (result.fused.shape, result.fused.dtype) == ((33, 47, 3), np.uint8)
    assert (result.labels.shape, result.labels.dtype) == ((33, 47), np.uint8)
    assert (result.confidence.shape, result.confidence.dtype) == ((33, 47), np.uint8)


def test_labels_and_confidence_are_argmax_and_softmax_of_upsampled_logits(engine: Engine, tiny_weights: Path) -> None:
    infrared, rgb = _pair()
    model = load_checkpoint([tiny_weights]).eval()
    t = torch.from_numpy(infrared)[None, None] / 255
    v = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
    grey = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    # the mean prior rounds twice (luma, then the mean); a level of difference doesn't move a probability by more
    prior = torch.from_numpy(np.round((np.round(grey) + infrared) / 2).astype(np.float32))[None, None] / 255
    with torch.inference_mode():
        logits = model(t, v, prior, mode="robot").logits
        probability = F.interpolate(logits, size=(33, 47), mode="bilinear").softmax(dim=1)[0]
    result = engine.infer(infrared, rgb)
    np.testing.assert_allclose(result.confidence / 255, probability.amax(0).numpy(), atol=0.02)
    assert (result.labels == probability.argmax(0).numpy()).mean() > 0.98


def test_the_palette_changes_colours_alone(engine: Engine, tiny_weights: Path) -> None:
    drawn = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", palette="robot"))
    np.testing.assert_array_equal(drawn.label_set.palette, engine.label_set.with_palette("robot").palette)
    np.testing.assert_array_equal(drawn.infer(*_pair()).labels, engine.infer(*_pair()).labels)


def test_equal_pairs_give_equal_bytes(engine: Engine) -> None:
    first, second = engine.infer(*_pair()), engine.infer(*_pair())
    np.testing.assert_array_equal(first.fused, second.fused)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_weights_for_camvids_classes_bring_all_of_them_the_ignored_one_too(tmp_path: Path) -> None:
    config = SegMiFConfig(encoder="mit_b0", num_classes=12, fusion_channels=8, growth=4, fusion_scale=4)
    file = tmp_path / "camvid.safetensors"
    save_checkpoint(SegMiF(config), file, {"prior": "mean", **label_metadata(CAMVID)})
    made = Engine(EngineConfig(weights=(str(file),), device="cpu"))
    assert made.label_set is CAMVID
    assert made.infer(*_pair()).labels.max() < len(CAMVID)


def test_a_size_may_change_from_pair_to_pair(engine: Engine) -> None:
    assert engine.infer(*_pair(64, 32)).labels.shape == (64, 32)
    assert engine.infer(*_pair(40, 45)).labels.shape == (40, 45)


def test_a_read_only_strided_view_is_taken(engine: Engine) -> None:
    infrared, rgb = _pair()
    bgr = rgb[..., ::-1].copy()
    view = bgr[..., ::-1]
    view.setflags(write=False)
    np.testing.assert_array_equal(engine.infer(infrared, view).fused, engine.infer(infrared, rgb).fused)


def test_the_checkpoint_says_name_and_prior(engine: Engine) -> None:
    assert (engine.model_name, engine.prior, engine.device_name) == ("tiny", "mean", "cpu")
    assert len(engine.model_hash) == 12


def test_stage_times_are_reported(engine: Engine) -> None:
    assert set(engine.infer(*_pair()).stage_ms) == {"prior", "network"}


def test_bfloat16_gives_nearly_the_same_fused_image(engine: Engine, tiny_weights: Path) -> None:
    half = Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", precision="bfloat16"))
    difference = half.infer(*_pair()).fused.astype(int) - engine.infer(*_pair()).fused
    assert np.abs(difference).mean() < 4


def test_an_out_of_memory_error_costs_one_pair(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine._backend, "run", explode)
        with pytest.raises(EngineError, match=r"ran out of memory on a 47x33 pair"):
            engine.infer(*_pair())
    assert engine.infer(*_pair()).labels.shape == (33, 47)


@pytest.mark.parametrize(
    ("infrared", "rgb", "reason"),
    [
        (np.zeros((33, 47), np.uint16), np.zeros((33, 47, 3), np.uint8), "infrared image is uint16"),
        (np.zeros((33, 47), np.uint8), np.zeros((33, 47), np.uint8), "RGB image is uint8"),
        (np.zeros((33, 48), np.uint8), np.zeros((33, 47, 3), np.uint8), "48x33 and RGB 47x33"),
        (np.zeros((20, 47), np.uint8), np.zeros((20, 47, 3), np.uint8), "at least 29"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(
    engine: Engine, infrared: np.ndarray, rgb: np.ndarray, reason: str
) -> None:
    with pytest.raises(EngineError, match=reason):
        engine.infer(infrared, rgb)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "tpu9000"}, "device 'tpu9000' is unknown"),
        ({"device": "mps"}, "device 'mps' is not supported"),
        ({"device": "cpu", "precision": "float16"}, "needs a CUDA device"),
        ({"precision": "int3"}, "precision 'int3' is unknown"),
        ({"prior": "guess"}, "prior 'guess' is unknown"),
        ({"mode": "paper"}, "mode 'paper' is unknown"),
        ({"backend": "abacus"}, "backend 'abacus' is unknown: use one of auto, fastest, torch"),
        ({"label_set": "fmb"}, "label set 'fmb' has 15 classes, the weights have 3"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(tiny_weights: Path, options: dict[str, str], reason: str) -> None:
    with pytest.raises(EngineError, match=reason):
        Engine(EngineConfig(weights=(str(tiny_weights),), **options))


def test_an_unknown_label_set_is_refused_by_name(tiny_weights: Path) -> None:
    with pytest.raises(LabelSetError, match="no label set 'ade'"):
        Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", label_set="ade"))


def test_weights_of_another_class_count_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tiny.*3.*15"):
        Engine(EngineConfig(weights=(str(tiny_weights),), device="cpu", expected_classes=15))


@pytest.mark.skipif(torch.cuda.is_available(), reason="only a machine without CUDA refuses it")
def test_cuda_is_refused_by_name_where_there_is_none(tiny_weights: Path) -> None:
    with pytest.raises(EngineError, match=r"device 'cuda': this torch .* sees no CUDA device"):
        Engine(EngineConfig(weights=(str(tiny_weights),), device="cuda"))
