# SPDX-License-Identifier: Apache-2.0
"""The losses of SegMiF (ICCV 2023, section 3.4, and the authors' choices where the paper is silent).

Shapes: B batch, H, W pixels, K classes. Images are float in [0, 1] except the fused one, which is unbounded.
The fusion losses compare with a target image that stands for both sources (the fused image of the VSM + WLS method),
so neither source appears in them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from segmif_ros.labels import IGNORE_ID

_SSIM_WINDOW = 11
_SSIM_SIGMA = 1.5
_SSIM_WEIGHT = 1.1


def sobel_strength(image: Tensor) -> Tensor:
    """|horizontal| + |vertical| Sobel response, (B, 1, H, W) to (B, 1, H, W); zero padding, no scaling."""
    horizontal = image.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    vertical = image.new_tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
    kernels = torch.stack([horizontal, vertical])[:, None]
    return F.conv2d(image, kernels, padding=1).abs().sum(dim=1, keepdim=True)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean SSIM of (B, 1, H, W) images in [0, 1], a scalar.

    11x11 Gaussian of sigma 1.5, zero padding (so the map has the size of the image), C1 = 0.01^2, C2 = 0.03^2.
    The evaluation's SSIM leaves out the windows that stick out; this one is the training loss as published.
    """
    place = torch.arange(_SSIM_WINDOW, dtype=x.dtype, device=x.device) - _SSIM_WINDOW // 2
    line = torch.exp(-(place**2) / (2 * _SSIM_SIGMA**2))
    line = line / line.sum()
    # the window is separable: two passes of 11 taps instead of 121, all five maps in one call
    maps = torch.cat([x, y, x * x, y * y, x * y], dim=1)
    planes = maps.shape[1]
    rows = line.view(1, 1, -1, 1).expand(planes, 1, -1, 1)
    columns = line.view(1, 1, 1, -1).expand(planes, 1, 1, -1)
    half = _SSIM_WINDOW // 2
    smooth = F.conv2d(F.conv2d(maps, rows, padding=(half, 0), groups=planes), columns, padding=(0, half), groups=planes)
    mx, my, mxx, myy, mxy = smooth.chunk(5, dim=1)
    vx, vy, vxy = mxx - mx * mx, myy - my * my, mxy - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean()


def fusion_loss_first_round(fused: Tensor, target: Tensor) -> Tensor:
    """Round 1: mean absolute difference plus mean absolute difference of Sobel strengths, scalar.

    fused, target: (B, 1, H, W).
    """
    return (target - fused).abs().mean() + (sobel_strength(target) - sobel_strength(fused)).abs().mean()


def fusion_loss_later_rounds(fused: Tensor, target: Tensor) -> Tensor:
    """Rounds 2 to 7: mean squared error plus 1.1 (1 - SSIM), scalar. fused, target: (B, 1, H, W)."""
    return F.mse_loss(fused, target) + _SSIM_WEIGHT * (1 - ssim(fused, target))


@dataclass(frozen=True, kw_only=True)
class LossEvidence:
    """What labels and maps of absence count in the segmentation loss.

    Attributes:
        class_weights: (K,) factors of the classes, None for 1.
        possible: (2 ** groups, K) bool, which classes a pixel may be by its bits of absence
            (`segmif_ros.data.absence.possible_classes`); None where the maps of absence are not looked at.
        absence_weight: What a pixel counts that has bits of absence and no label; a labelled one counts its class's
            factor.
        overlap_weight: Factor of `overlap_loss` beside the cross-entropy; 0 leaves it out.
    """

    class_weights: Tensor | None = None
    possible: Tensor | None = None
    absence_weight: float = 1.0
    overlap_weight: float = 0.0

    def to(self, device: torch.device) -> LossEvidence:
        """Move the tensors."""
        moved = (None if each is None else each.to(device) for each in (self.class_weights, self.possible))
        weights, possible = moved
        return replace(self, class_weights=weights, possible=possible)


LABELS_ALONE = LossEvidence()


def labelled_weight(labels: Tensor, evidence: LossEvidence = LABELS_ALONE, absent: Tensor | None = None) -> float:
    """How much the evidence of (B, H, W) int64 labels, and of uint8 bits of absence, counts together.

    It is what the mean loss divides by. For a batch that is cut into parts, by processes or one after another, the
    parts' weights add up to the batch's; they differ, so the mean of the parts' means would be another number.
    """
    known = labels != IGNORE_ID
    if evidence.class_weights is None:
        total = float(known.sum())
    else:
        total = float(evidence.class_weights.to(labels.device, torch.float64)[labels[known]].sum())
    if absent is not None and evidence.possible is not None:
        total += evidence.absence_weight * float(((absent > 0) & ~known).sum())
    return total


def segmentation_loss(
    logits: Tensor,
    labels: Tensor,
    evidence: LossEvidence = LABELS_ALONE,
    total: float | None = None,
    absent: Tensor | None = None,
) -> Tensor:
    """Mean negative logarithm of the probability of what is known of each pixel; a scalar.

    A labelled pixel gives the cross-entropy of the logits, upsampled to the label size. One without a label, but with
    bits of absence, gives -log(1 - p), p the probability of all classes that surely aren't there. A batch without any
    evidence gives 0 (with a zero gradient), since in a mixture some batches consist of pairs without labels.

    Args:
        logits: (B, K, h, w).
        labels: (B, H, W) int64.
        evidence: What counts how much; the mean is weighted alike.
        total: What the sum is divided by; None for the `labelled_weight` of this evidence. Parts of a batch give the
            batch's.
        absent: (B, H, W) uint8 bits, None for none.
    """
    full = F.interpolate(logits, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    divisor = labelled_weight(labels, evidence, absent) if total is None else total
    loss = F.cross_entropy(full, labels, evidence.class_weights, ignore_index=IGNORE_ID, reduction="sum")
    if absent is not None and evidence.possible is not None:
        loss = loss + evidence.absence_weight * _absence_loss(full, labels, absent, evidence.possible)
    loss = loss / (divisor if divisor > 0 else 1.0)
    if evidence.overlap_weight and divisor > 0:
        # a part of a batch counts what its evidence is of the whole batch's
        share = labelled_weight(labels, evidence, absent) / divisor
        overlap = overlap_loss(full, labels, absent, evidence.possible)
        loss = loss + evidence.overlap_weight * share * overlap
    return loss


def overlap_loss(
    logits: Tensor, labels: Tensor, absent: Tensor | None = None, possible: Tensor | None = None
) -> Tensor:
    """1 minus the soft Jaccard index, the mean over the classes that the labels hold; a scalar in [0, 1].

    The index of a class is sum(p y) / sum(p + y - p y), over the labelled pixels of all images given: p the class's
    probability, y 1 where it is the label. Pixels without a label, but with evidence that the class isn't there, add
    their p below the line. Thin and small things count as much as large ones. After Rahman and Wang, Optimizing
    intersection-over-union in deep neural networks for image segmentation (ISVC 2016). Without any label it is 0.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; 255 where there is no truth.
        absent: (B, H, W) uint8 bits of what surely isn't there, None for none.
        possible: (2 ** groups, K) bool, as in `Evidence`.
    """
    probabilities = logits.movedim(1, -1).softmax(dim=-1)
    known = labels != IGNORE_ID
    truth, of_known = labels[known], probabilities[known]
    counts = torch.bincount(truth, minlength=logits.shape[1]).to(probabilities.dtype)
    own = of_known.gather(1, truth[:, None])[:, 0]  # the probability of each pixel's own class
    inside = torch.zeros_like(counts).index_add(0, truth, own)
    drawn = of_known.sum(dim=0)
    if absent is not None and possible is not None:
        counted = (absent > 0) & ~known
        drawn = drawn + (probabilities[counted] * ~possible[absent[counted].long()]).sum(dim=0)
    held = counts > 0
    if not held.any():
        return logits.sum() * 0.0
    return (1 - inside[held] / (drawn + counts - inside)[held]).mean()


def _absence_loss(full: Tensor, labels: Tensor, absent: Tensor, possible: Tensor) -> Tensor:
    """Sum of -log(1 - p) over the pixels with bits and without a label, p that of the classes that aren't there."""
    counted = (absent > 0) & (labels == IGNORE_ID)
    values = full.movedim(1, -1)[counted]
    allowed = possible[absent[counted].long()]
    inside = torch.logsumexp(values.masked_fill(~allowed, -torch.inf), dim=1)
    return (torch.logsumexp(values, dim=1) - inside).sum()
