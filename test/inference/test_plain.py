# SPDX-License-Identifier: Apache-2.0
"""The plain forward is the same network: equal to the rewritten one in float64."""

import pytest
import torch

from segmif_ros.inference.plain import PlainSegMiF
from segmif_ros.model import SegMiF, SegMiFConfig

SIZES = {"encoder": "mit_b0", "num_classes": 3, "fusion_channels": 16, "growth": 4, "decoder_channels": 16}


@pytest.mark.parametrize("mode", ["robot", "authors"])
@pytest.mark.parametrize(("scale", "output", "prior_scale"), [(1, "direct", 1), (2, "blend", 1), (2, "blend", 2)])
def test_the_plain_forward_equals_the_rewritten_one_in_float64(
    mode: str, scale: int, output: str, prior_scale: int
) -> None:
    torch.manual_seed(0)
    sizes = SegMiFConfig(**SIZES, fusion_scale=scale, fusion_output=output, prior_scale=prior_scale)
    model = SegMiF(sizes).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the initial zeros and ones hide mistakes
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.segmentation.denoise_net.decoder.linear_fuse.bn.running_mean.normal_(std=0.1)
        planes = torch.rand(1, 5, 61, 71, dtype=torch.float64)
        images = planes[:, :1], planes[:, 1:4], planes[:, 4:]
        for plain, expected in zip(PlainSegMiF(model)(*images, mode=mode), model(*images, mode=mode), strict=True):
            assert expected.std() > 1e-3
            torch.testing.assert_close(plain, expected, rtol=0, atol=1e-12)
