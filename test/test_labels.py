# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from segmif_ros.labels import (
    CAMVID,
    FMB,
    LABEL_SETS,
    MFNET,
    LabelSetError,
    counterparts,
    label_metadata,
    label_set,
    label_set_for_classes,
    label_set_of,
)

YARD = """
name: yard
classes:
  - {name: ground, aliases: [road, sidewalk]}
  - {name: person, colour: [220, 20, 60]}
  - {name: forklift}
  - {name: unlabelled}
ignore_id: 3
"""


@pytest.fixture
def yard(tmp_path):
    """A set of one's own, from a file."""
    (tmp_path / "yard.yaml").write_text(YARD)
    return label_set(str(tmp_path / "yard.yaml"))


def by_name(theirs, ours, label_map=None):
    """Their class to ours, without those that have no counterpart."""
    found = counterparts(theirs, ours, label_map)
    return {theirs.names[i]: ours.names[j] for i, j in found.items() if j is not None}


@pytest.mark.parametrize("each", LABEL_SETS.values(), ids=LABEL_SETS)
def test_every_class_has_a_colour_of_its_own(each) -> None:
    assert each.palette.shape == (len(each.names), 3)
    assert len({tuple(colour) for colour in each.palette}) == len(each)


def test_ids_become_colours_and_unknown_ids_become_black() -> None:
    labels = np.array([[FMB.id_of("person"), 200]], np.uint8)
    assert FMB.colourise(labels).tolist() == [[[66, 102, 167], [0, 0, 0]]]


def test_a_set_is_found_by_its_name() -> None:
    assert label_set("fmb") is FMB


def test_an_unknown_set_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(LabelSetError, match=r"no label set 'cityscapes'.*fmb.*mfnet"):
        label_set("cityscapes")


def test_an_unknown_class_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(LabelSetError, match=r"'fmb' has no class 'horse'.*person"):
        FMB.id_of("horse")


@pytest.mark.parametrize(("count", "name"), [(15, "fmb"), (9, "mfnet")])
def test_the_authors_class_counts_mean_their_data_sets(count: int, name: str) -> None:
    assert label_set_for_classes(count).name == name


def test_any_other_class_count_gets_numbered_classes_in_distinct_colours() -> None:
    made = label_set_for_classes(40)
    assert made.names[39] == "class_39"
    assert len({tuple(colour) for colour in made.palette}) == 40


def test_classes_have_counterparts_of_the_same_name_or_of_one_that_means_the_same() -> None:
    assert by_name(CAMVID, FMB) == {
        **{name: name for name in ("sky", "building", "pole", "road", "sign", "car")},
        "pavement": "sidewalk", "tree": "vegetation", "pedestrian": "person", "bicyclist": "bicycle",
    }


def test_what_is_unlabelled_in_one_set_has_no_counterpart_in_another() -> None:
    assert MFNET.names[0] == FMB.names[0] == "unlabelled"
    assert counterparts(MFNET, FMB)[0] is None
    assert counterparts(FMB, FMB)[0] == 0


def test_a_label_map_goes_before_the_names() -> None:
    found = by_name(CAMVID, FMB, {"fence": "building", "sky": "ignored"})
    assert found["fence"] == "building"
    assert "sky" not in found


@pytest.mark.parametrize("label_map", [{"horse": "road"}, {"road": "horse"}])
def test_a_label_map_with_an_unknown_class_is_refused(label_map) -> None:
    with pytest.raises(LabelSetError, match="has no class 'horse'"):
        counterparts(CAMVID, FMB, label_map)


def test_a_set_of_ones_own_has_names_colours_and_an_ignored_id(yard) -> None:
    assert (yard.name, yard.names, yard.ignore_id) == ("yard", ("ground", "person", "forklift", "unlabelled"), 3)
    assert yard.palette[1].tolist() == [220, 20, 60]
    assert len({tuple(colour) for colour in yard.palette}) == 4


def test_aliases_of_a_set_of_ones_own_count_in_both_directions(yard) -> None:
    assert by_name(FMB, yard) == {"road": "ground", "sidewalk": "ground", "person": "person"}
    assert by_name(yard, FMB) == {"ground": "road", "person": "person"}


def test_the_ignored_id_of_a_set_has_no_counterpart(yard) -> None:
    assert counterparts(yard, yard) == {0: 0, 1: 1, 2: 2, 3: None}


@pytest.mark.parametrize("content", ["[" * 200_000, "{", "3", '{"ignore_id":' + "9" * 5000 + ',"classes":[]}'])
def test_damaged_classes_of_weights_are_refused_in_one_line(content) -> None:
    with pytest.raises(LabelSetError, match="label_classes of the weights") as refused:
        label_set_of({"label_set": "own", "label_classes": content}, 3)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "line 1: not YAML"),
        ("- a", "label set must be a mapping with name, classes, ignore_id"),
        ("name: a", "label set lacks classes"),
        ("name: a\nclasses: []", "a list of 1 to 255 classes"),
        ("name: a\nclasses: [{name: b}, {name: b}]", "two classes are called b"),
        ("name: a\nclasses: [{name: no}]", r"classes\[0\]\.name is False"),
        ("name: a\nclasses: [{name: b, color: [1, 2, 3]}]", r"classes\[0\] has an unknown key 'color'; known: name"),
        ("name: a\nclasses: [{name: b, colour: [1, 2, 300]}]", r"classes\[0\]\.colour is \[1, 2, 300\]"),
        ("name: a\nclasses: [{name: b, aliases: c}]", r"classes\[0\]\.aliases must be a list"),
        ("name: a\nclasses: [{name: b}]\nignore_id: 300", "ignore_id is 300"),
    ],
)
def test_a_label_set_that_cannot_be_used_names_file_and_key(tmp_path, content, message) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(LabelSetError, match=message) as refused:
        label_set(str(path))
    assert str(refused.value).startswith(f"{path}: ")
    assert len(str(refused.value).splitlines()) == 1


def test_weights_describe_their_classes_by_themselves(yard) -> None:
    found = label_set_of(label_metadata(yard), 4)
    assert (found.name, found.names, found.ignore_id) == (yard.name, yard.names, yard.ignore_id)
    assert np.array_equal(found.palette, yard.palette)


def test_weights_for_camvids_classes_have_no_truth_where_unlabelled_also_of_older_files() -> None:
    older = label_metadata(CAMVID) | {
        "label_classes": label_metadata(CAMVID)["label_classes"].replace('"ignore_id": 11', '"ignore_id": 255')
    }
    assert older != label_metadata(CAMVID)
    assert CAMVID.names[CAMVID.ignore_id] == "unlabelled"
    assert label_set_of(label_metadata(CAMVID), 12) is CAMVID
    assert label_set_of(older, 12) is CAMVID


def test_weights_that_only_name_a_set_or_nothing_have_the_usual_classes() -> None:
    assert label_set_of({"label_set": "mfnet"}, 9) is MFNET
    assert label_set_of(label_metadata(FMB), 15) is FMB
    assert label_set_of({}, 15) is FMB


@pytest.mark.parametrize("classes", ["{", "[]", '{"classes": [{}]}'])
def test_a_broken_description_in_weights_is_refused(classes) -> None:
    with pytest.raises(LabelSetError):
        label_set_of({"label_set": "own", "label_classes": classes}, 3)


def test_weights_of_another_number_of_classes_than_they_name_are_refused() -> None:
    with pytest.raises(LabelSetError, match="'fmb' of 15 classes, but have 9"):
        label_set_of({"label_set": "fmb"}, 9)
