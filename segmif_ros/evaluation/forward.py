# SPDX-License-Identifier: Apache-2.0
"""One image pair through a model as evaluation needs it: plain float32, no engine, no warm-up."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from segmif_ros.arrays import Image
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.model import Mode, SegMiF


@torch.no_grad()
def predict(
    model: SegMiF, infrared: Image, rgb: Image, prior: PriorMethod, mode: Mode = "robot"
) -> tuple[Image, Image]:
    """Fused RGB uint8 (H, W, 3) and label ids uint8 (H, W) of one pair.

    Args:
        model: In evaluation mode, on any device.
        infrared: uint8 (H, W).
        rgb: uint8 (H, W, 3), RGB.
        prior: Method of the prior image, as in `imaging.prior`.
        mode: See `SegMiF.forward`.
    """
    device = next(model.parameters()).device
    guide = prior_image(infrared, rgb, prior)
    planes = (to_plane(image).to(device) for image in (infrared, rgb, guide))
    output = model(*planes, mode=mode)
    logits = F.interpolate(output.logits, size=infrared.shape, mode="bilinear", align_corners=False)
    labels = logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
    fused = (255 * output.fused_rgb[0]).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return fused, labels


@torch.no_grad()
def predict_labels(model: SegMiF, rgb: Image) -> Image:
    """Label ids uint8 (H, W) that the segmentation network alone gives for an RGB image uint8 (H, W, 3)."""
    device = next(model.parameters()).device
    logits = model.segment(to_plane(rgb).to(device))
    full = F.interpolate(logits, size=rgb.shape[:2], mode="bilinear", align_corners=False)
    return np.asarray(full.argmax(dim=1)[0].to(torch.uint8).cpu().numpy())


def to_plane(image: Image) -> torch.Tensor:
    """uint8 (H, W) or (H, W, C) to float32 (1, C, H, W) in [0, 1]."""
    planes = np.moveaxis(image if image.ndim == 3 else image[..., None], 2, 0)
    # converted by numpy: PyTorch would wake its threads for every small image of a batch
    return torch.from_numpy(np.divide(planes, 255, dtype=np.float32, order="C"))[None]
