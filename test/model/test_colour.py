# SPDX-License-Identifier: Apache-2.0
"""Colour conversion and the authors' 8-bit display step."""

import network_reference
import numpy as np
import pytest
import torch

from segmif_ros.model.colour import rgb_to_luma, rgb_to_ycrcb, stretched_bytes, with_luma, ycrcb_to_rgb


def test_grey_has_no_colour_and_keeps_its_luma() -> None:
    grey = torch.linspace(0, 1, 12).view(1, 1, 3, 4)
    ycrcb = rgb_to_ycrcb(grey.expand(1, 3, 3, 4))
    torch.testing.assert_close(ycrcb[:, :1], grey)
    torch.testing.assert_close(ycrcb[:, 1:], torch.full((1, 2, 3, 4), 0.5))


@pytest.mark.parametrize(
    ("rgb", "ycrcb"),
    [
        ((1.0, 0.0, 0.0), (0.299, 0.713 * 0.701 + 0.5, 0.5 - 0.564 * 0.299)),
        ((0.0, 1.0, 0.0), (0.587, 0.5 - 0.713 * 0.587, 0.5 - 0.564 * 0.587)),
        ((0.0, 0.0, 1.0), (0.114, 0.5 - 0.713 * 0.114, 0.564 * 0.886 + 0.5)),
    ],
)
def test_primaries_have_the_published_values(rgb: tuple[float, ...], ycrcb: tuple[float, ...]) -> None:
    image = torch.tensor(rgb).view(1, 3, 1, 1)
    torch.testing.assert_close(rgb_to_ycrcb(image).flatten(), torch.tensor(ycrcb))
    torch.testing.assert_close(rgb_to_luma(image).flatten(), torch.tensor(ycrcb[:1]))


def test_a_round_trip_is_off_by_no_more_than_the_rounded_coefficients() -> None:
    rgb = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    assert (ycrcb_to_rgb(rgb_to_ycrcb(rgb)) - rgb).abs().max() < 1e-3


def test_a_new_luma_keeps_the_colours() -> None:
    rgb = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    changed = with_luma(rgb, rgb_to_luma(rgb) + 0.25)
    torch.testing.assert_close(changed - with_luma(rgb, rgb_to_luma(rgb)), torch.full_like(rgb, 0.25))


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.6), (-0.5, 1.5), (0.5, 0.51)])
def test_the_display_step_equals_the_one_written_out_value_by_value(low: float, high: float) -> None:
    rgb = low + (high - low) * torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))
    expected = network_reference.display_bytes(rgb.numpy())
    assert np.array_equal(stretched_bytes(rgb).permute(1, 2, 0).numpy(), expected)


def test_every_8_bit_level_is_stretched_as_published() -> None:
    """All levels over a span where truncating the quotient shows: 255 * (a - 3) / 177 in float64."""
    levels = torch.arange(3, 181)
    expected = [int(255.0 * ((level - 3) / 177)) for level in range(3, 181)]
    assert stretched_bytes((levels + 0.5) / 255).tolist() == expected


def test_a_constant_image_is_black_after_the_display_step() -> None:
    assert stretched_bytes(torch.full((1, 3, 4, 4), 0.7)).unique().tolist() == [0]
