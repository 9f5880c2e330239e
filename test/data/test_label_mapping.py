# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.labels import CAMVID, FMB, PST900, LabelSet


def test_ids_are_mapped_and_what_has_no_counterpart_is_ignored():
    labels = np.array([[CAMVID.id_of("pavement"), CAMVID.id_of("fence"), 255]], np.uint8)
    assert LabelMapping(CAMVID, FMB).apply(labels, "a.png").tolist() == [[FMB.id_of("sidewalk"), 255, 255]]


def test_the_ignored_id_of_a_set_becomes_255():
    own = LabelSet(name="own", names=("unlabelled", "road"), palette=np.zeros((2, 3), np.uint8), ignore_id=0)
    assert LabelMapping(own, own).apply(np.array([[0, 1]], np.uint8), "a.png").tolist() == [[255, 1]]


def test_unlabelled_pixels_of_camvid_have_no_truth_in_its_own_classes():
    labels = np.array([[CAMVID.id_of("unlabelled"), CAMVID.id_of("fence"), 255]], np.uint8)
    assert LabelMapping(CAMVID, CAMVID).apply(labels, "a.png").tolist() == [[255, CAMVID.id_of("fence"), 255]]


def test_an_id_outside_the_set_names_the_file():
    with pytest.raises(DatasetError, match=r"a\.png: ids \[15, 200\] are not fmb's 0\.\.14"):
        LabelMapping(FMB, FMB).apply(np.array([[3, 15, 200]], np.uint8), "a.png")


def test_the_description_names_what_is_renamed_ignored_and_never_seen():
    said = LabelMapping(CAMVID, FMB, {"fence": "building"}).describe()
    assert said.startswith("11 of 12 classes of camvid used; pavement -> sidewalk, tree -> vegetation, fence -> ")
    assert "; ignored: unlabelled; never seen: unlabelled, lamp, truck, bus, motorcycle" in said


def test_sets_that_share_no_class_want_a_label_map():
    tools = LabelSet(name="tools", names=("saw", "drill"), palette=np.zeros((2, 3), np.uint8))
    with pytest.raises(DatasetError, match="no class of label set 'pst900' has a counterpart in 'tools'"):
        LabelMapping(PST900, tools)
    assert "hand_drill -> drill" in LabelMapping(PST900, tools, {"hand_drill": "drill"}).describe()


def test_a_label_map_with_an_unknown_class_is_refused():
    with pytest.raises(DatasetError, match="label_map: label set 'camvid' has no class 'horse'"):
        LabelMapping(CAMVID, FMB, {"horse": "road"})
