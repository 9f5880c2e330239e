# SPDX-License-Identifier: Apache-2.0
"""Targets of whole pairs are cropped with their pair, keep their grey levels, and may come from files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.mixture import Mixture, PairSource
from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.data.whole_targets import WholeTargets, made_target, target_files, target_folder
from segmif_ros.imaging.fusion_target import fusion_target
from segmif_ros.inference.sample_pairs import pattern_pairs

SIZE = (48, 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for side in ("infrared", "visible", "Mask2"):
        (tmp_path / side).mkdir()
    for name, (infrared, rgb) in zip("ab", pattern_pairs(*SIZE), strict=True):
        cv2.imwrite(str(tmp_path / "infrared" / f"{name}.png"), infrared)
        cv2.imwrite(str(tmp_path / "visible" / f"{name}.png"), rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / "Mask2" / f"{name}.png"), 255 - infrared)
    return tmp_path


def test_a_crop_of_a_made_target_is_that_of_the_whole_pair_whatever_the_colours_become(folder: Path) -> None:
    source = WholeTargets(PairSource(folder), made_target("vsm_wls"))
    whole = {each.name: each for each in (source.sample(i, np.random.default_rng(0)) for i in range(2))}
    augment = AugmentConfig(crop_height=24, crop_width=24, scale_min=1.0, scale_max=1.0, flip=0.0, colour=1.0)
    for number in range(4):
        sample = Mixture([(source, 1.0, augment)], seed=number)[0]
        expected = fusion_target(whole[sample.name].infrared, whole[sample.name].rgb, "vsm_wls")
        assert sample.target is not None
        match = cv2.matchTemplate(expected, sample.target, cv2.TM_SQDIFF)
        assert match.min() < 1e-3  # of a sum over all pixels: a part of it, to the last level


def test_targets_are_read_by_the_names_of_the_images(folder: Path) -> None:
    source = WholeTargets(PairSource(folder), target_files(folder / "Mask2"))
    sample = source.sample(1, np.random.default_rng(0))
    assert sample.target is not None
    np.testing.assert_array_equal(sample.target, 255 - sample.infrared)
    assert source.names == ("a", "b")
    assert len(source) == 2


@pytest.mark.parametrize("place", ["train/Mask2", "Mask2/train", "Mask2", "FMB/Train/Mask2"])
def test_the_folder_of_targets_is_found_in_each_layout(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    assert target_folder(tmp_path, "Mask2", "train") == tmp_path / place


def test_another_splits_targets_are_not_taken(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "Infrared").mkdir(parents=True)
    (tmp_path / "test" / "Mask2").mkdir()
    assert target_folder(tmp_path, "Mask2", "train") == tmp_path / "Mask2"


def test_a_missing_or_misfit_target_is_named(folder: Path) -> None:
    (folder / "Mask2" / "a.png").unlink()
    cv2.imwrite(str(folder / "Mask2" / "b.png"), np.zeros((3, 3), np.uint8))
    source = WholeTargets(PairSource(folder), target_files(folder / "Mask2"))
    with pytest.raises(DatasetError, match="no fusion target called a"):
        source.sample(0, np.random.default_rng(0))
    with pytest.raises(DatasetError, match=r"b\.png: is uint8 3x3: 8 bits and 64x48 are needed"):
        source.sample(1, np.random.default_rng(0))
    with pytest.raises(DatasetError, match="no such folder"):
        target_files(folder / "masks")
