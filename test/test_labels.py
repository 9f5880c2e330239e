# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from segmif_ros.labels import FMB, LABEL_SETS, LabelSetError, label_set, label_set_for_classes


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
