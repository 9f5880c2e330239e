# SPDX-License-Identifier: Apache-2.0
"""The frame on the device makes the prior image that the CPU makes."""

import cv2
import numpy as np
import pytest
import torch

from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.inference.device_frame import DEVICE_PRIORS, DeviceFrame
from segmif_ros.inference.device_prior import device_prior
from segmif_ros.inference.frame import FrameNetwork

LEVELS = np.arange(256, dtype=np.uint8)


def _made(infrared: np.ndarray, rgb: np.ndarray, method: PriorMethod) -> np.ndarray:
    return device_prior(torch.from_numpy(infrared).float(), torch.from_numpy(rgb).float(), method).numpy()


def _scene(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs with edges, gradients and noise."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 10, width // 10, 4)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    smooth[height // 3 : height // 2, width // 3 : width // 2] += 90
    planes = (smooth + 3 * generator.standard_normal(smooth.shape)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(planes[..., 3]), np.ascontiguousarray(planes[..., :3])


def test_the_luma_of_every_colour_is_that_of_the_cpu() -> None:
    blue, green = np.meshgrid(LEVELS, LEVELS)
    for red in range(256):
        rgb = np.stack([np.full_like(green, red), green, blue], axis=-1)
        np.testing.assert_array_equal(_made(green, rgb, "visible"), prior_image(green, rgb, "visible"))


def test_the_mean_of_every_pair_of_levels_is_that_of_the_cpu() -> None:
    infrared, grey = np.meshgrid(LEVELS, LEVELS)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(_made(infrared, rgb, "mean"), prior_image(infrared, rgb, "mean"))


@pytest.mark.parametrize("size", [(29, 31), (96, 130)])
def test_vsm_wls_is_that_of_the_cpu_but_for_rounding(size: tuple[int, int]) -> None:
    infrared, rgb = _scene(*size, seed=3)
    difference = np.abs(_made(infrared, rgb, "vsm_wls") - prior_image(infrared, rgb, "vsm_wls"))
    assert (difference == 0).mean() > 0.999
    assert difference.max() <= 1


@pytest.mark.parametrize("level", [0, 7, 255])
def test_vsm_wls_of_an_even_image_stays_even(level: int) -> None:
    infrared, rgb = np.full((40, 50), level, np.uint8), np.full((40, 50, 3), 200, np.uint8)
    difference = _made(infrared, rgb, "vsm_wls") - prior_image(infrared, rgb, "vsm_wls")
    assert np.abs(difference).max() <= 1  # halfway between two levels


def test_an_unknown_prior_is_refused() -> None:
    assert DEVICE_PRIORS == ("vsm_wls", "visible", "mean")
    with pytest.raises(ValueError, match="prior is 'guess': it must be one of vsm_wls, visible, mean"):
        _made(np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), "guess")  # type: ignore[arg-type]


def test_without_a_prior_image_and_a_way_to_make_it_there_is_no_frame() -> None:
    frame = DeviceFrame(FrameNetwork(torch.nn.Identity()), torch.float32)
    grey = torch.zeros((2, 2), dtype=torch.uint8)
    with pytest.raises(ValueError, match="no prior image"):
        frame(grey, grey[..., None].expand(2, 2, 3))
