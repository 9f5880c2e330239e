# SPDX-License-Identifier: Apache-2.0
"""The published fusion losses written a second time, plainly, for comparison with recorded values."""

import torch
from torch import Tensor
from torch.nn import functional as F


def first_round_loss(fused: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of the values and of the Sobel magnitudes |gx| + |gy|."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack((kernel, -kernel.t()))[:, None]
    edges = [F.conv2d(plane, kernels, padding=1).abs().sum(dim=1) for plane in (fused, mask)]
    return F.l1_loss(fused, mask) + F.l1_loss(edges[0], edges[1])


def later_rounds_loss(fused: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference + 1.1 (1 - SSIM), SSIM with an 11x11 Gaussian of sigma 1.5 and zero padding."""
    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]
    planes = torch.cat((fused, mask, fused * fused, mask * mask, fused * mask))
    mean_f, mean_m, mean_ff, mean_mm, mean_fm = F.conv2d(planes, window, padding=5)
    c1, c2 = 0.01**2, 0.03**2
    covariance, variances = mean_fm - mean_f * mean_m, mean_ff - mean_f**2 + mean_mm - mean_m**2
    luminance = (2 * mean_f * mean_m + c1) / (mean_f**2 + mean_m**2 + c1)
    similarity = (luminance * (2 * covariance + c2) / (variances + c2)).mean()
    return F.mse_loss(fused, mask) + 1.1 * (1 - similarity)
