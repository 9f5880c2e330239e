# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segmif_ros.training.losses import (
    LossEvidence,
    fusion_loss_first_round,
    fusion_loss_later_rounds,
    labelled_weight,
    overlap_loss,
    segmentation_loss,
    sobel_strength,
    ssim,
)


def plane(rows):
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def slow_ssim(x, y):
    """Window by window, 11x11, images framed with five zeros."""
    place = np.arange(11) - 5
    line = np.exp(-(place**2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.sum(line) ** 2
    padded = [np.pad(image, 5) for image in (x, y)]
    values = []
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            p, q = (image[row : row + 11, column : column + 11] for image in padded)
            mp, mq = np.sum(window * p), np.sum(window * q)
            vp, vq = np.sum(window * p * p) - mp**2, np.sum(window * q * q) - mq**2
            vpq = np.sum(window * p * q) - mp * mq
            c1, c2 = 1e-4, 9e-4
            values.append((2 * mp * mq + c1) * (2 * vpq + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


def test_sobel_strength_of_a_single_pixel_is_the_kernels_magnitudes():
    image = plane([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    # |[1 0 1; 2 0 2; 1 0 1]| of the horizontal kernel plus |[1 2 1; 0 0 0; 1 2 1]| of the vertical one
    assert sobel_strength(image)[0, 0].tolist() == [[2, 2, 2], [2, 0, 2], [2, 2, 2]]


def test_sobel_strength_pads_with_zeros():
    assert sobel_strength(plane([[1.0]])).item() == 0.0
    # right column of two ones: horizontally 2 + 1 on the left neighbour side, vertically the other row
    assert sobel_strength(plane([[1.0, 1.0], [1.0, 1.0]]))[0, 0].tolist() == [[6, 6], [6, 6]]


def test_the_first_rounds_loss_is_absolute_difference_plus_sobel_difference():
    fused, target = plane([[0, 0, 0], [0, 0.5, 0], [0, 0, 0]]), plane([[0.0] * 3] * 3)
    # intensity 0.5 / 9, Sobel 8 pixels of 2 * 0.5 in 9
    assert fusion_loss_first_round(fused, target).item() == pytest.approx(0.5 / 9 + 8 / 9)


def test_ssim_equals_the_window_by_window_definition():
    x, y = np.random.default_rng(2).random((2, 14, 12))
    assert ssim(plane(x.tolist()), plane(y.tolist())).item() == pytest.approx(slow_ssim(x, y), abs=1e-12)


def test_ssim_of_an_image_with_itself_is_one():
    x = torch.rand(2, 1, 13, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert ssim(x, x).item() == pytest.approx(1.0)


def test_the_later_rounds_loss_is_squared_error_plus_weighted_dissimilarity():
    x, y = np.random.default_rng(3).random((2, 12, 12))
    expected = np.mean((x - y) ** 2) + 1.1 * (1 - slow_ssim(x, y))
    assert fusion_loss_later_rounds(plane(x.tolist()), plane(y.tolist())).item() == pytest.approx(expected)


def test_the_segmentation_loss_leaves_out_ignored_pixels():
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]]])
    labels = torch.tensor([[[0, 255]]])
    assert segmentation_loss(logits, labels).item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_the_segmentation_loss_upsamples_the_logits_to_the_labels():
    logits = torch.tensor([[[[2.0]], [[0.0]]]])
    labels = torch.zeros((1, 4, 4), dtype=torch.long)
    assert segmentation_loss(logits, labels).item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_a_batch_without_labels_gives_no_segmentation_loss_and_no_gradient():
    logits = torch.ones((1, 2, 2, 2), requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 8, 8), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and not logits.grad.any()


def test_class_weights_count_a_class_more():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 0, 0] = torch.tensor([3.0, 3.0])  # both pixels are called class 0
    labels = torch.tensor([[[0, 1]]])
    right, wrong = F.cross_entropy(logits, labels, reduction="none").flatten()
    weighted = segmentation_loss(logits, labels, LossEvidence(class_weights=torch.tensor([1.0, 4.0])))
    assert weighted == pytest.approx(float((right + 4 * wrong) / 5))


@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 1.0, 3.0])], ids=["plain", "weighted"])
def test_the_losses_of_parts_add_up_to_the_batchs(class_weights):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((4, 3, 2, 2), generator=generator)
    labels = torch.randint(0, 3, (4, 8, 8), generator=generator)
    labels[0, :7] = 255
    labels[1] = 255
    evidence = LossEvidence(class_weights=class_weights)
    total = labelled_weight(labels, evidence)
    parts = [segmentation_loss(logits[i : i + 1], labels[i : i + 1], evidence, total) for i in range(4)]
    whole = segmentation_loss(logits, labels, evidence)
    assert sum(parts).item() == pytest.approx(whole.item(), rel=1e-5)
    full = F.interpolate(logits, size=(8, 8), mode="bilinear")
    assert whole.item() == pytest.approx(F.cross_entropy(full, labels, class_weights, ignore_index=255).item())


def absence(bits, labels=255):
    return {"labels": torch.full((1, 1, 1), labels), "absent": torch.full((1, 1, 1), bits, dtype=torch.uint8)}


# classes 0 and 1 of group one, class 2 of none
POSSIBLE = torch.tensor([[True, True, True], [False, False, True]])


def test_a_pixel_where_a_group_surely_is_not_costs_the_groups_probability():
    logits = torch.log(torch.tensor([0.2, 0.3, 0.5]))[None, :, None, None]
    loss = segmentation_loss(logits, evidence=LossEvidence(possible=POSSIBLE), **absence(1))
    assert loss.item() == pytest.approx(-math.log(1 - 0.5))


def test_a_pixel_without_bits_of_absence_costs_nothing():
    logits = torch.randn(1, 3, 1, 1)
    assert segmentation_loss(logits, evidence=LossEvidence(possible=POSSIBLE), **absence(0)).item() == 0


def test_a_label_counts_instead_of_the_absence_on_its_pixel():
    logits = torch.log(torch.tensor([0.2, 0.3, 0.5]))[None, :, None, None]
    loss = segmentation_loss(logits, evidence=LossEvidence(possible=POSSIBLE), **absence(1, labels=1))
    assert loss.item() == pytest.approx(-math.log(0.3))


def test_labels_and_absence_are_averaged_by_their_weights():
    logits = torch.log(torch.tensor([0.2, 0.3, 0.5]))[None, :, None, None].expand(1, 3, 1, 2)
    labels, absent = torch.tensor([[[1, 255]]]), torch.tensor([[[0, 1]]], dtype=torch.uint8)
    evidence = LossEvidence(possible=POSSIBLE, absence_weight=0.5)
    loss = segmentation_loss(logits, labels, evidence, absent=absent)
    assert loss.item() == pytest.approx((-math.log(0.3) - 0.5 * math.log(0.5)) / 1.5)
    assert labelled_weight(labels, evidence, absent) == 1.5


def test_absence_that_the_network_is_wholly_wrong_about_has_a_finite_gradient():
    logits = torch.tensor([80.0, 0.0, -80.0])[None, :, None, None].requires_grad_()
    segmentation_loss(logits, evidence=LossEvidence(possible=POSSIBLE), **absence(1)).backward()
    assert logits.grad.isfinite().all() and logits.grad[0, 2] < 0


def likely(*pixels):
    """Logits (1, K, 1, N) whose softmax is these probabilities."""
    return torch.log(torch.tensor(pixels)).T[None, :, None, :]


def test_the_overlap_loss_is_one_minus_the_mean_soft_iou_of_the_classes_that_are_there():
    logits = likely([0.8, 0.1, 0.1], [0.4, 0.5, 0.1])
    # class 0: 0.8 of 0.8 + 0.4 + 1 - 0.8; class 1: 0.5 of 0.1 + 0.5 + 1 - 0.5; nobody asks for class 2
    assert overlap_loss(logits, torch.tensor([[[0, 1]]])).item() == pytest.approx(1 - (0.8 / 1.4 + 0.5 / 1.1) / 2)


def test_the_overlap_loss_leaves_out_pixels_without_a_label():
    logits = likely([0.8, 0.1, 0.1], [0.9, 0.05, 0.05])
    assert overlap_loss(logits, torch.tensor([[[0, 255]]])).item() == pytest.approx(1 - 0.8)


def test_a_class_drawn_where_it_surely_is_not_lowers_its_overlap():
    logits, labels = likely([0.8, 0.1, 0.1], [0.3, 0.3, 0.4]), torch.tensor([[[0, 255]]])
    absent = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    # of the second pixel's 0.3 + 0.3 in the absent group class 0 has 0.3
    assert overlap_loss(logits, labels, absent, POSSIBLE).item() == pytest.approx(1 - 0.8 / 1.3)
    assert overlap_loss(logits, labels, torch.zeros_like(absent), POSSIBLE).item() == pytest.approx(1 - 0.8)


def test_the_overlap_loss_of_a_batch_without_labels_is_zero_with_a_zero_gradient():
    logits = torch.ones((1, 3, 2, 2), requires_grad=True)
    loss = overlap_loss(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and not logits.grad.any()


def test_the_overlap_counts_beside_the_cross_entropy_by_its_weight():
    logits, labels = likely([0.8, 0.1, 0.1], [0.4, 0.5, 0.1]), torch.tensor([[[0, 1]]])
    plain = segmentation_loss(logits, labels)
    both = segmentation_loss(logits, labels, LossEvidence(overlap_weight=0.7))
    assert (both - plain).item() == pytest.approx(0.7 * overlap_loss(logits, labels).item())


def test_an_overlap_weight_of_zero_leaves_the_overlap_out():
    logits, labels = torch.randn(1, 3, 2, 2), torch.randint(0, 3, (1, 8, 8))
    assert segmentation_loss(logits, labels, LossEvidence(overlap_weight=0.0)) == segmentation_loss(logits, labels)


def test_parts_of_a_batch_count_their_overlap_by_their_share_of_the_labels():
    first, second = likely([0.8, 0.1, 0.1], [0.4, 0.5, 0.1]), likely([0.2, 0.7, 0.1], [0.1, 0.1, 0.8])
    labels = [torch.tensor([[[0, 1]]]), torch.tensor([[[255, 2]]])]
    evidence, plain = LossEvidence(overlap_weight=1.0), LossEvidence()
    total = labelled_weight(torch.cat(labels))
    added = [
        segmentation_loss(part, truth, evidence, total) - segmentation_loss(part, truth, plain, total)
        for part, truth in zip((first, second), labels, strict=True)
    ]
    overlaps = [overlap_loss(part, truth) for part, truth in zip((first, second), labels, strict=True)]
    assert sum(added).item() == pytest.approx((2 * overlaps[0] + overlaps[1]).item() / 3)


def test_moving_the_evidence_keeps_its_factors():
    evidence = LossEvidence(class_weights=torch.ones(3), possible=POSSIBLE, absence_weight=0.25, overlap_weight=0.5)
    moved = evidence.to(torch.device("cpu"))
    assert (moved.absence_weight, moved.overlap_weight) == (0.25, 0.5)
