# SPDX-License-Identifier: Apache-2.0
import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmif_ros.data import transforms
from segmif_ros.data.transforms import AugmentConfig, Sample

GEOMETRY_ONLY = AugmentConfig(crop_height=24, crop_width=40, colour=0.0)
EVERYTHING = AugmentConfig(
    crop_height=24,
    crop_width=40,
    misregister=0.5,
    rare_crop=0.5,
    dark=0.5,
    glare=0.5,
    thermal_gain=0.5,
    thermal_noise=0.5,
    lost_rgb=0.2,
    lost_infrared=0.2,
)


def sample_of(grey, labels=None):
    """The same picture in every plane, so that any difference in geometry shows."""
    return Sample(
        infrared=grey,
        rgb=np.repeat(grey[..., None], 3, axis=2),
        labels=grey if labels is None else labels,
        target=grey,
        name="test",
    )


def blocks(height=32, width=48, levels=(0, 200)):
    rng = np.random.default_rng(4)
    coarse = rng.choice(np.array(levels, np.uint8), (height // 8, width // 8))
    return np.kron(coarse, np.ones((8, 8), np.uint8))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_images_and_labels_go_through_the_same_geometry(seed):
    out = transforms.augment(sample_of(blocks()), GEOMETRY_ONLY, np.random.default_rng(seed))
    assert np.array_equal(out.infrared, out.rgb[..., 0])
    assert np.array_equal(out.infrared, out.target)
    # labels are not interpolated: half-way values occur only in the images, and only at block edges
    assert set(np.unique(out.labels)) <= {0, 200, 255}
    same = (out.infrared > 100) == (out.labels > 100)
    away = (out.labels != 255) & ~edges(out.labels, 2)
    assert same[away].all()


def edges(labels, width):
    """Pixels near a change of label or near the border, beyond which a change may lie."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    near = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    near[:width], near[-width:], near[:, :width], near[:, -width:] = True, True, True, True
    return near


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(10, 60), width=st.integers(10, 60))
def test_every_source_size_comes_out_in_the_crop_size(seed, height, width):
    out = transforms.augment(
        sample_of(np.zeros((height, width), np.uint8)), EVERYTHING, np.random.default_rng(seed)
    )
    assert (out.infrared.shape, out.rgb.shape, out.labels.shape) == ((24, 40), (24, 40, 3), (24, 40))
    assert {out.infrared.dtype, out.rgb.dtype, out.labels.dtype} == {np.dtype(np.uint8)}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_same_seed_gives_the_same_sample(seed):
    first, second = (
        transforms.augment(sample_of(blocks()), EVERYTHING, np.random.default_rng(seed)) for _ in range(2)
    )
    for field in dataclasses.fields(Sample):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name))


def test_flipping_twice_gives_the_sample_back():
    sample = sample_of(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert transforms.flip(sample).infrared[0].tolist() == [3, 2, 1, 0]
    assert np.array_equal(transforms.flip(transforms.flip(sample)).rgb, sample.rgb)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_a_crop_holds_as_much_of_the_image_as_the_scale_says(ratio):
    ramp = np.tile(np.arange(200, dtype=np.uint8), (160, 1))
    config = AugmentConfig(crop_height=32, crop_width=40, scale_min=ratio, scale_max=ratio, flip=0.0, colour=0.0)
    row = transforms.augment(sample_of(ramp), config, np.random.default_rng(0)).infrared[0].astype(int)
    assert row[-1] - row[0] == pytest.approx(39 / ratio, abs=1.5)


def test_padding_ignores_labels_and_keeps_the_image():
    grey = np.full((3, 4), 9, np.uint8)
    out = transforms.pad(sample_of(grey), 5, 6, np.random.default_rng(0))
    assert out.labels.shape == (5, 6)
    assert np.count_nonzero(out.labels == 9) == 12
    assert np.count_nonzero(out.labels == 255) == 30 - 12
    assert sorted(set(out.rgb.reshape(-1, 3)[(out.labels == 255).ravel()].ravel().tolist())) == [104, 116, 124]


def test_a_crop_of_one_class_is_drawn_again():
    # left half is one class, right half a chequerboard: a balanced window must reach into the right half
    labels = np.zeros((8, 64), np.uint8)
    labels[:, 32:] = np.indices((8, 32)).sum(axis=0) % 2
    sample = sample_of(labels)
    cut = [transforms.crop(sample, 8, 16, np.random.default_rng(seed)) for seed in range(20)]
    assert all(np.bincount(each.labels.ravel()).max() < 0.75 * each.labels.size for each in cut)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="smaller than the crop"):
        transforms.crop(sample_of(np.zeros((4, 4), np.uint8)), 5, 4, np.random.default_rng(0))


def test_misregistration_moves_the_infrared_image_alone():
    sample = sample_of(blocks())
    out = transforms.misregister(sample, np.random.default_rng(1), 4.0)
    assert np.array_equal(out.rgb, sample.rgb)
    assert np.array_equal(out.labels, sample.labels)
    assert not np.array_equal(out.infrared, sample.infrared)


def test_darkness_takes_most_of_the_light():
    rgb = np.full((16, 16, 3), 180, np.uint8)
    assert all(transforms.darken(rgb, np.random.default_rng(seed)).mean() < 160 for seed in range(20))


def test_glare_only_adds_light():
    rgb = np.full((32, 32, 3), 40, np.uint8)
    out = transforms.add_glare(rgb, np.random.default_rng(2))
    assert (out >= rgb).all()
    assert out.max() > 200


def test_fog_takes_contrast_from_the_rgb_image():
    rgb = np.repeat(blocks()[..., None], 3, axis=2)
    assert all(
        0 < transforms.add_fog(rgb, np.random.default_rng(seed)).std() < 0.9 * rgb.std() for seed in range(10)
    )


def test_a_lost_infrared_camera_gives_a_constant():
    lost = dataclasses.replace(GEOMETRY_ONLY, lost_infrared=1.0)
    assert np.ptp(transforms.augment(sample_of(blocks()), lost, np.random.default_rng(3)).infrared) == 0


def test_a_lost_rgb_camera_gives_black():
    lost = dataclasses.replace(GEOMETRY_ONLY, lost_rgb=1.0)
    assert not transforms.augment(sample_of(blocks()), lost, np.random.default_rng(3)).rgb.any()


def test_images_of_different_size_make_no_sample():
    with pytest.raises(ValueError, match=r"pair 7: .* must be of one size"):
        Sample(
            infrared=np.zeros((4, 4), np.uint8),
            rgb=np.zeros((4, 5, 3), np.uint8),
            labels=np.zeros((4, 4), np.uint8),
            name="pair 7",
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_crop_around_a_class_drawn_from_those_present_holds_that_class(seed):
    labels = np.zeros((60, 80), np.uint8)
    labels[50, 3] = 4
    rng = np.random.default_rng(seed)
    hits = [
        (transforms.crop_around_rare(sample_of(labels, labels), 16, 24, rng).labels == 4).any() for _ in range(20)
    ]
    # one pixel of 4800: a crop at random would hold it in 8 % of the draws, and 1 / sqrt gives it 98 %
    assert sum(hits) >= 15


def test_a_crop_around_a_class_works_without_labels():
    unlabelled = np.full((60, 80), 255, np.uint8)
    cut = transforms.crop_around_rare(sample_of(unlabelled, unlabelled), 16, 24, np.random.default_rng(0))
    assert cut.labels.shape == (16, 24)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_blended_luma_lies_between_both_sources_and_keeps_the_colour(seed):
    infrared = np.full((4, 4), 140, np.uint8)
    rgb = np.full((4, 4, 3), (90, 100, 110), np.uint8)
    sample = Sample(infrared=infrared, rgb=rgb, labels=infrared, name="test")
    blended = transforms.blend_luma(sample, np.random.default_rng(seed)).astype(int)
    assert np.array_equal(blended[..., 1] - blended[..., 0], np.full((4, 4), 10))
    assert blended[..., 1].min() >= 100
    assert blended[..., 1].max() <= 142
