# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from segmif_ros.data.camvid import CamVid, camvid_to_fmb
from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.invented_infrared import thermal_from_labels
from segmif_ros.labels import CAMVID, FMB


@pytest.fixture
def root(tmp_path):
    """One image with sky above road and a pedestrian between."""
    labels = np.full((40, 60), CAMVID.id_of("road"), np.uint8)
    labels[:15] = CAMVID.id_of("sky")
    labels[10:30, 25:35] = CAMVID.id_of("pedestrian")
    rgb = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    for folder in ("images", "labels"):
        (tmp_path / "train" / folder).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "train/images/a.png"), rgb)
    cv2.imwrite(str(tmp_path / "train/labels/a.png"), labels)
    return tmp_path


@pytest.mark.parametrize(
    ("camvid", "fmb"),
    [
        ("sky", "sky"),
        ("building", "building"),
        ("pole", "pole"),
        ("road", "road"),
        ("pavement", "sidewalk"),
        ("tree", "vegetation"),
        ("sign", "sign"),
        ("car", "car"),
        ("pedestrian", "person"),
        ("bicyclist", "bicycle"),
    ],
)
def test_a_class_maps_to_its_counterpart_by_name(camvid, fmb):
    mapped = camvid_to_fmb(np.array([[CAMVID.id_of(camvid)]], np.uint8))
    assert mapped.item() == FMB.id_of(fmb)


@pytest.mark.parametrize("camvid", ["fence", "unlabelled"])
def test_a_class_without_counterpart_is_ignored(camvid):
    assert camvid_to_fmb(np.array([[CAMVID.id_of(camvid)]], np.uint8)).item() == 255


def test_an_unknown_id_is_refused_with_the_file_named():
    with pytest.raises(DatasetError, match=r"x\.png: ids \[12, 200\]"):
        camvid_to_fmb(np.array([[3, 12, 200]], np.uint8), "x.png")


def test_people_are_hotter_than_road_and_road_than_sky(root):
    data = CamVid(root, "train")
    for seed in range(10):
        sample = data.sample(0, np.random.default_rng(seed))
        person, road, sky = (
            sample.infrared[sample.labels == FMB.id_of(name)].mean() for name in ("person", "road", "sky")
        )
        assert person > road > sky


def test_infrared_is_invented_anew_by_the_generator(root):
    data = CamVid(root, "train")
    first, again, other = (data.sample(0, np.random.default_rng(seed)).infrared for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_large_car_has_a_warm_patch():
    labels = np.full((60, 80), CAMVID.id_of("car"), np.uint8)
    rgb = np.full((60, 80, 3), 90, np.uint8)
    spans = [np.ptp(cv2.blur(thermal_from_labels(labels, rgb, np.random.default_rng(s)), (9, 9))) for s in range(8)]
    assert max(spans) > 40


def test_a_missing_split_names_the_expected_folders(tmp_path):
    with pytest.raises(DatasetError, match="no split 'val'"):
        CamVid(tmp_path, "val")


def test_an_unreadable_image_is_named(root):
    (root / "train/images/a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a\.png: not a readable image"):
        CamVid(root, "train").sample(0, np.random.default_rng(0))


def test_labels_of_another_size_are_named(root):
    cv2.imwrite(str(root / "train/labels/a.png"), np.zeros((10, 10), np.uint8))
    with pytest.raises(DatasetError, match=r"a\.png: labels are 10x10 and the image 60x40"):
        CamVid(root, "train").sample(0, np.random.default_rng(0))


def test_its_own_classes_can_be_kept_and_unlabelled_is_ignored(root):
    path = root / "train/labels/a.png"
    labels = np.full((40, 60), CAMVID.id_of("fence"), np.uint8)
    labels[0] = CAMVID.id_of("unlabelled")
    cv2.imwrite(str(path), labels)
    sample = CamVid(root, "train", "camvid").sample(0, np.random.default_rng(0))
    assert (sample.labels[0] == 255).all()
    assert (sample.labels[1:] == CAMVID.id_of("fence")).all()


def test_ids_outside_the_set_name_the_label_file(root):
    cv2.imwrite(str(root / "train/labels/a.png"), np.full((40, 60), 12, np.uint8))
    with pytest.raises(DatasetError, match=r"labels/a\.png: ids \[12\] are not camvid's 0\.\.11"):
        CamVid(root, "train").sample(0, np.random.default_rng(0))
