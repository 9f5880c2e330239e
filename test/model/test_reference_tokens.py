# SPDX-License-Identifier: Apache-2.0
"""Whether a block's context depends on how many pixels show the same scene."""

import torch

from segmif_ros.model.interaction import CrossInteraction


def _outputs(reference_tokens: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The block on some tokens, and on the same tokens four times over (cut back to the first copy)."""
    torch.manual_seed(0)
    block = CrossInteraction(16, reference_tokens)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    infrared, visible, *semantic = (torch.randn(1, 24, 16) for _ in range(4))
    once = block(infrared, visible, semantic)[0]
    infrared, visible, *semantic = (each.repeat(1, 4, 1) for each in (infrared, visible, *semantic))
    repeated = block(infrared, visible, semantic)[0][:, :24]
    return once, repeated


def test_with_reference_tokens_the_context_does_not_depend_on_the_resolution() -> None:
    torch.testing.assert_close(*_outputs(reference_tokens=4096))


def test_without_them_it_does_as_in_the_paper() -> None:
    once, repeated = _outputs(reference_tokens=None)
    assert (once - repeated).abs().max() > 0.01


def test_at_the_reference_size_both_are_equal() -> None:
    torch.testing.assert_close(_outputs(reference_tokens=24)[0], _outputs(reference_tokens=None)[0])
