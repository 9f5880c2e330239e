# SPDX-License-Identifier: Apache-2.0
"""Every rewrite gives the same numbers as what it replaces, in float64, one by one and all together."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from segmif_ros.model import Mode, Rewrites, SegMiF, SegMiFConfig, SegMiFOutput, use_rewrites

NAMES = [field.name for field in fields(Rewrites)]
SIZES = {"encoder": "mit_b0", "num_classes": 3, "fusion_channels": 16, "growth": 4, "decoder_channels": 16}


@pytest.fixture(
    scope="module", params=[(1, "direct", 1), (2, "blend", 1), (2, "blend", 2)], ids=["direct", "blend", "half_prior"]
)
def model(request: pytest.FixtureRequest) -> SegMiF:
    torch.manual_seed(0)
    scale, output, prior_scale = request.param
    sizes = SegMiFConfig(**SIZES, fusion_scale=scale, fusion_output=output, prior_scale=prior_scale)
    model = SegMiF(sizes).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the initial zeros and ones hide mistakes
            parameter.add_(0.05 * torch.randn_like(parameter))
        bn = model.segmentation.denoise_net.decoder.linear_fuse.bn
        bn.running_mean.normal_(std=0.2)
        bn.running_var.uniform_(0.3, 2.0)
    return model


def _images() -> tuple[Tensor, Tensor, Tensor]:
    planes = torch.rand(1, 5, 61, 71, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return planes[:, :1], planes[:, 1:4], planes[:, 4:]


def _outputs(
    model: SegMiF, rewrites: Rewrites, *, gradients: bool = False, mode: Mode = "robot"
) -> SegMiFOutput:
    use_rewrites(model, rewrites)
    try:
        with torch.set_grad_enabled(gradients):
            return model(*_images(), mode=mode)
    finally:
        use_rewrites(model, Rewrites())


def _assert_equal(found: SegMiFOutput, expected: SegMiFOutput) -> None:
    for one, other in zip(found, expected, strict=True):
        assert other.std() > 1e-3
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_rewrite_changes_no_number(model: SegMiF, name: str) -> None:
    none = Rewrites.none()
    _assert_equal(_outputs(model, replace(none, **{name: True})), _outputs(model, none))


@pytest.mark.parametrize("mode", ["robot", "authors"])
def test_all_rewrites_together_change_no_number(model: SegMiF, mode: Mode) -> None:
    _assert_equal(_outputs(model, Rewrites(), mode=mode), _outputs(model, Rewrites.none(), mode=mode))


def test_rewrites_give_the_same_numbers_with_gradients(model: SegMiF) -> None:
    _assert_equal(_outputs(model, Rewrites(), gradients=True), _outputs(model, Rewrites()))


# where a dense block scatters, it needs no buffer
SWITCHES = [(name, {"dense_scatter": False} if name == "dense_buffer" else {}) for name in NAMES]


@pytest.mark.parametrize(("name", "others"), SWITCHES, ids=NAMES)
def test_each_switch_changes_what_is_computed(model: SegMiF, name: str, others: dict[str, bool]) -> None:
    """A switch that nobody reads would pass every other test here."""

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[object] = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls.append((func, [(each.shape, each.stride()) for each in args if isinstance(each, Tensor)]))
            return func(*args, **(kwargs or {}))

    recorded = []
    for rewrites in (Rewrites(**others), Rewrites(**others | {name: False})):
        with Recorder() as recorder:
            _outputs(model, rewrites)
        recorded.append(recorder.calls)
    assert recorded[0] != recorded[1]


def test_batch_statistics_are_used_in_training_also_by_the_folded_head() -> None:
    torch.manual_seed(0)
    head = SegMiF(SegMiFConfig(**SIZES)).double().segmentation.denoise_net.decoder.train()
    head.dropout.p = 0.0
    maps = [torch.randn(2, width, 16 >> i, 20 >> i, dtype=torch.float64) for i, width in enumerate((32, 64, 160, 256))]
    results = []
    for folded in (True, False):
        use_rewrites(head, Rewrites(folded_head=folded))
        head.linear_fuse.bn.reset_running_stats()
        results.append((head(maps), head.linear_fuse.bn.running_mean.clone()))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-12)
