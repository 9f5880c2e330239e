# SPDX-License-Identifier: Apache-2.0
"""The prior image made on the device is the one made on the CPU, in every pixel of every colour there is."""

import numpy as np
import pytest
import torch

from segmif_ros.imaging.prior import prior_image
from segmif_ros.inference.device_frame import DEVICE_PRIORS, DeviceFrame, device_prior
from segmif_ros.inference.frame import FrameNetwork

LEVELS = np.arange(256, dtype=np.uint8)


def _made(infrared: np.ndarray, rgb: np.ndarray, method: str) -> np.ndarray:
    return device_prior(torch.from_numpy(infrared).float(), torch.from_numpy(rgb).float(), method).numpy()


def test_the_luma_of_every_colour_is_that_of_the_cpu() -> None:
    blue, green = np.meshgrid(LEVELS, LEVELS)
    for red in range(256):
        rgb = np.stack([np.full_like(green, red), green, blue], axis=-1)
        np.testing.assert_array_equal(_made(green, rgb, "visible"), prior_image(green, rgb, "visible"))


def test_the_mean_of_every_pair_of_levels_is_that_of_the_cpu() -> None:
    infrared, grey = np.meshgrid(LEVELS, LEVELS)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(_made(infrared, rgb, "mean"), prior_image(infrared, rgb, "mean"))


def test_the_device_makes_only_what_is_nearly_free() -> None:
    assert DEVICE_PRIORS == ("visible", "mean")
    grey = np.zeros((2, 2), np.uint8)
    with pytest.raises(ValueError, match="prior 'vsm_wls' is made on the CPU only"):
        _made(grey, np.zeros((2, 2, 3), np.uint8), "vsm_wls")


def test_without_a_prior_image_and_a_way_to_make_it_there_is_no_frame() -> None:
    frame = DeviceFrame(FrameNetwork(torch.nn.Identity()), torch.float32)
    grey = torch.zeros((2, 2), dtype=torch.uint8)
    with pytest.raises(ValueError, match="no prior image"):
        frame(grey, grey[..., None].expand(2, 2, 3))
