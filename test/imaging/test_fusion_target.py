# SPDX-License-Identifier: Apache-2.0
import numpy as np

from segmif_ros.imaging.fusion_target import fusion_target
from segmif_ros.imaging.prior import prior_image


def grey(plane):
    return np.repeat(plane[..., None], 3, axis=2)


def stripes(period, low, high):
    rows = np.where((np.arange(64) // period) % 2, high, low).astype(np.uint8)
    return np.repeat(rows[:, None], 64, axis=1)


def test_vsm_wls_is_the_prior_of_that_name():
    infrared, rgb = stripes(4, 20, 90), grey(stripes(8, 60, 200).T)
    assert np.array_equal(fusion_target(infrared, rgb, "vsm_wls"), prior_image(infrared, rgb, "vsm_wls"))


def test_detail_keeps_the_texture_of_the_source_that_has_some():
    textured, flat = stripes(2, 80, 120), np.full((64, 64), 100, np.uint8)
    for infrared, rgb in ((textured, grey(flat)), (flat, grey(textured))):
        fused = fusion_target(infrared, rgb, "detail").astype(int)
        contrast = fused[16:48].max() - fused[16:48].min()
        assert 35 <= contrast <= 45


def test_detail_shows_what_is_bright_in_either_source():
    infrared, luma = np.full((64, 64), 60, np.uint8), np.full((64, 64), 60, np.uint8)
    infrared[8:24, 8:24] = 220
    luma[40:56, 40:56] = 220
    fused = fusion_target(infrared, grey(luma), "detail")
    assert fused[16, 16] > fused[16, 48] + 100
    assert fused[48, 48] > fused[16, 48] + 100
