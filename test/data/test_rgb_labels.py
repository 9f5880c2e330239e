# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from segmif_ros.data.image_cache import ImageCache
from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.rgb_labels import RgbLabels
from segmif_ros.labels import FMB

SAME = LabelMapping(FMB, FMB)


@pytest.fixture
def root(tmp_path):
    """One image, all road."""
    for folder, image in (("images", np.full((6, 7, 3), 40, np.uint8)), ("labels", np.ones((6, 7), np.uint8))):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), image)
    return tmp_path


def test_missing_infrared_is_a_constant_drawn_for_each_sample(root):
    source = RgbLabels(root, "", SAME)
    levels = {int(source.sample(0, np.random.default_rng(seed)).infrared.max()) for seed in range(4)}
    assert len(levels) > 1
    assert np.ptp(source.sample(0, np.random.default_rng(0)).infrared) == 0


def test_infrared_can_be_invented_from_the_labels(root):
    sample = RgbLabels(root, "", SAME, infrared="invented").sample(0, np.random.default_rng(0))
    assert np.ptp(sample.infrared) > 0
    assert (sample.labels == 1).all()


def test_a_folder_without_images_and_labels_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no split 'val' \(expected .*val/images"):
        RgbLabels(tmp_path, "val", SAME)


def test_images_are_kept_until_the_limit_is_reached():
    kept, read = ImageCache(limit_bytes=10), []

    def reader(index):
        read.append(index)
        return (np.zeros(8, np.uint8),)

    for index in (0, 1, 0, 1):
        kept.get(index, lambda index=index: reader(index))
    assert read == [0, 1, 1]


def test_images_without_a_label_are_counted_and_named(root):
    assert RgbLabels(root, "", SAME).notes == []
    cv2.imwrite(str(root / "images" / "lonely.png"), np.zeros((6, 7, 3), np.uint8))
    source = RgbLabels(root, "", SAME)
    assert len(source) == 1
    assert source.notes == ["1 images without a label of the same name are left out, such as lonely"]
