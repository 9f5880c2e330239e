# SPDX-License-Identifier: Apache-2.0
import os

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.mixture import Mixture, PairSource, PublishedSource, SceneSource, split_hold_out
from segmif_ros.data.published import open_dataset
from segmif_ros.data.transforms import AugmentConfig, Sample
from segmif_ros.labels import CAMVID, FMB, MFNET
from segmif_ros.scenes import VERSION

PLAIN = AugmentConfig(crop_height=8, crop_width=8, scale_min=1.0, scale_max=1.0, flip=0.0, colour=0.0)


class Constant:
    """Samples whose every pixel is the source's level."""

    def __init__(self, level):
        self.level = level

    def __len__(self):
        return 3

    def files(self):
        return []

    def sample(self, index, rng):
        grey = np.full((8, 8), self.level, np.uint8)
        return Sample(infrared=grey, rgb=np.dstack([grey] * 3), labels=grey, name=f"{self.level}/{index}")


@given(count=st.integers(0, 200), every=st.integers(1, 9))
def test_held_out_and_kept_indices_are_disjoint_and_complete(count, every):
    kept, apart = split_hold_out(count, every, False), split_hold_out(count, every, True)
    assert not set(kept) & set(apart)
    assert sorted(kept + apart) == list(range(count))


def test_every_fourth_of_twelve_is_held_out():
    assert split_hold_out(12, 4, True) == [3, 7, 11]


def test_without_hold_out_everything_is_kept():
    assert split_hold_out(3, 0, False) == [0, 1, 2]


def test_sources_are_drawn_by_their_weights():
    mixture = Mixture([(Constant(1), 3.0, PLAIN), (Constant(2), 1.0, PLAIN)], seed=1)
    levels = [mixture[n].infrared[0, 0] for n in range(400)]
    assert 0.7 < levels.count(1) / 400 < 0.8


def test_a_sample_depends_on_its_number_and_not_on_what_was_drawn_before():
    parts = [(Constant(1), 1.0, PLAIN), (Constant(2), 1.0, PLAIN)]
    forward = [Mixture(parts, seed=5)[n].name for n in range(20)]
    mixture = Mixture(parts, seed=5)
    backward = [mixture[n].name for n in reversed(range(20))]
    assert forward == backward[::-1]
    assert len(set(forward)) > 2


def test_a_weight_of_zero_is_refused():
    with pytest.raises(ValueError, match="weight above 0"):
        Mixture([(Constant(1), 0.0, PLAIN)], seed=1)


@pytest.fixture
def pairs(tmp_path):
    for folder, shape in (("infrared", (6, 7)), ("visible", (6, 7, 3))):
        (tmp_path / folder).mkdir()
        for i in range(8):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), np.full(shape, 10 * i, np.uint8))
    return tmp_path


def test_a_pair_folder_never_trains_on_what_it_holds_out(pairs):
    kept = PairSource(pairs, hold_out_every=4)
    apart = PairSource(pairs, hold_out_every=4, held_out=True)
    assert apart.names == ("3", "7")
    assert not set(kept.names) & set(apart.names)


def test_a_pair_has_no_truth(pairs):
    sample = PairSource(pairs).sample(2, np.random.default_rng(0))
    assert (sample.labels == 255).all()
    assert sample.rgb.shape == (6, 7, 3)
    assert sample.infrared[0, 0] == 20


def test_a_pair_of_different_sizes_is_named(pairs):
    cv2.imwrite(str(pairs / "visible/2.png"), np.zeros((5, 7, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"2\.png"):
        PairSource(pairs).sample(2, np.random.default_rng(0))


def test_labels_beside_the_pairs_are_left_aside_unless_their_classes_are_given(pairs):
    (pairs / "labels").mkdir()
    (pairs / "labels/2.png").write_bytes(b"no image")
    assert (PairSource(pairs).sample(2, np.random.default_rng(0)).labels == 255).all()


def labelled(root, name, level):
    (root / "labels").mkdir(exist_ok=True)
    cv2.imwrite(str(root / f"labels/{name}.png"), np.full((6, 7), level, np.uint8))


def test_labels_of_a_pair_are_used_where_it_has_some(pairs):
    labelled(pairs, 2, 8)
    source = PairSource(pairs, mapping=LabelMapping(FMB, FMB))
    assert (source.sample(2, np.random.default_rng(0)).labels == 8).all()
    assert (source.sample(3, np.random.default_rng(0)).labels == 255).all()


def test_pairs_without_labels_can_be_left_out(pairs):
    labelled(pairs, 2, 8)
    assert PairSource(pairs, mapping=LabelMapping(FMB, FMB), labelled_only=True).names == ("2",)


def test_a_folder_without_the_labels_asked_for_is_named(pairs):
    with pytest.raises(DatasetError, match="none of the 8 pairs has a label file"):
        PairSource(pairs, mapping=LabelMapping(FMB, FMB), labelled_only=True)


def test_labels_of_a_pair_are_mapped_by_name(pairs):
    labelled(pairs, 2, CAMVID.id_of("pedestrian"))
    labels = PairSource(pairs, mapping=LabelMapping(CAMVID, FMB)).sample(2, np.random.default_rng(0)).labels
    assert (labels == FMB.id_of("person")).all()


def test_label_ids_outside_the_set_name_the_file(pairs):
    labelled(pairs, 2, 15)
    with pytest.raises(DatasetError, match=r"labels/2\.png: ids \[15\] are not fmb's 0\.\.14"):
        PairSource(pairs, mapping=LabelMapping(FMB, FMB)).sample(2, np.random.default_rng(0))


def test_a_published_set_is_drawn_with_its_classes_mapped(tmp_path):
    for folder, shape, level in (("ir", (6, 7), 90), ("vi", (6, 7, 3), 30), ("Segmentation_labels", (6, 7), 3)):
        (tmp_path / "train" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "train" / folder / "00001D.png"), np.full(shape, level, np.uint8))
    source = PublishedSource(open_dataset("msrs", tmp_path, "train"), FMB)
    sample = source.sample(0, np.random.default_rng(0))
    assert len(source) == 1
    assert (sample.infrared == 90).all()
    assert (sample.labels == FMB.id_of("bicycle")).all()


def test_infrared_of_16_bits_is_refused_by_name(pairs):
    cv2.imwrite(str(pairs / "infrared/2.png"), np.full((6, 7), 3000, np.uint16))
    with pytest.raises(DatasetError, match=r"2\.png: 16 bits a pixel; 8-bit infrared is needed"):
        PairSource(pairs).sample(2, np.random.default_rng(0))


def test_too_few_pairs_to_hold_one_out_is_said(pairs):
    with pytest.raises(DatasetError, match="8 pairs are too few to hold out every 9th"):
        PairSource(pairs, hold_out_every=9, held_out=True)


def test_a_folder_without_pairs_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no folder of infrared images \(looked for infrared/"):
        PairSource(tmp_path)


def test_a_cached_scene_equals_the_rendered_one(tmp_path):
    cached = SceneSource(first_seed=3, count=3, height=48, width=64, cache=tmp_path)
    rendered = SceneSource(first_seed=3, count=3, height=48, width=64)
    rng = np.random.default_rng(0)
    for _ in range(2):
        a, b = cached.sample(2, rng), rendered.sample(2, rng)
        assert np.array_equal(a.rgb, b.rgb)
        assert np.array_equal(a.infrared, b.infrared)
        assert np.array_equal(a.labels, b.labels)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cached_scene_is_kept_under_the_version_of_the_generator(tmp_path):
    SceneSource(first_seed=3, count=1, height=48, width=64, cache=tmp_path).sample(0, np.random.default_rng(0))
    assert [path.name for path in tmp_path.iterdir()] == [f"scene-v{VERSION}-3-day-48x64.png"]


def test_a_scene_that_the_disk_has_no_room_for_is_an_error_of_one_line(tmp_path):
    part = f".scene-v{VERSION}-3-day-48x64.png.{os.getpid()}.part"
    (tmp_path / part).symlink_to("/dev/full")
    source = SceneSource(first_seed=3, count=1, height=48, width=64, cache=tmp_path)
    with pytest.raises(DatasetError, match=r"day-48x64\.png: the rendered scene cannot be kept: No space left"):
        source.sample(0, np.random.default_rng(0))
    assert not list(tmp_path.iterdir())


def test_scenes_can_have_the_classes_of_another_set(tmp_path):
    source = SceneSource(first_seed=3, count=1, height=48, width=64, mapping=LabelMapping(FMB, MFNET))
    labels = source.sample(0, np.random.default_rng(0)).labels
    assert set(np.unique(labels)) <= {*range(1, len(MFNET)), 255}


def test_scenes_take_the_lightings_in_turn():
    source = SceneSource(first_seed=0, count=4, height=48, width=64)
    assert [source.lighting(i) for i in range(4)] == ["day", "dusk", "night", "day"]
