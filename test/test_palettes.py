# SPDX-License-Identifier: Apache-2.0
"""The palette "robot": persons stand out for everybody, and nothing but colours changes."""

import cv2
import numpy as np
import pytest

from segmif_ros.data.label_files import read_label_map
from segmif_ros.labels import FMB, LABEL_SETS, LabelSetError, common_name, label_set_for_classes, parse_label_set

KNOWN = pytest.mark.parametrize("each", LABEL_SETS.values(), ids=LABEL_SETS)
# How colours look to people who lack one kind of cones: on linear RGB, from Machado, Oliveira and Fernandes (2009)
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
FAR = 30.0  # in CIELAB, where 2 can just be seen side by side
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(palette, sight):
    """CIELAB of (N, 3) sRGB colours as somebody sees them."""
    value = palette / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    x, y, z = np.cbrt(np.maximum(seen @ TO_XYZ.T / TO_XYZ.sum(1), 0.0088)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def distances_to_person(labels, sight):
    """From each class that isn't a person to the class that is."""
    colours = lab(labels.palette, sight)
    people = np.array([common_name(name) == "person" for name in labels.names])
    return np.linalg.norm(colours[~people] - colours[people], axis=1)


def own_set(*classes):
    return parse_label_set({"name": "own", "classes": list(classes)})


@KNOWN
def test_ids_names_and_the_ignored_id_stay(each) -> None:
    drawn = each.with_palette("robot")
    assert (drawn.name, drawn.names, drawn.ignore_id) == (each.name, each.names, each.ignore_id)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", ["fmb", "mfnet", "camvid", "pst900"])
def test_a_persons_colour_is_far_from_every_other_class(name, sight) -> None:
    assert distances_to_person(LABEL_SETS[name].with_palette("robot"), sight).min() >= FAR


@pytest.mark.parametrize("sight", SIGHT)
def test_a_person_is_far_from_classes_that_nobody_knows(sight) -> None:
    others = label_set_for_classes(60)
    things = [{"name": f"thing {i}", "colour": colour} for i, colour in enumerate(others.palette.tolist())]
    labels = own_set({"name": "person"}, *things)
    assert distances_to_person(labels.with_palette("robot"), sight).min() >= FAR


def test_the_data_sets_own_colours_do_not_hold_that() -> None:
    assert distances_to_person(FMB, "deuteranopia").min() < FAR


@KNOWN
def test_every_class_has_a_colour_of_its_own(each) -> None:
    assert len({tuple(colour) for colour in each.with_palette("robot").palette.tolist()}) == len(each)


def test_classes_that_mean_the_same_have_near_colours_of_their_own() -> None:
    drawn = own_set({"name": "person"}, {"name": "pedestrian"}).with_palette("robot").palette.astype(int)
    assert 0 < np.abs(drawn[0] - drawn[1]).max() < 20


@pytest.mark.parametrize(
    "other", [{"name": "pedestrian"}, {"name": "walker", "aliases": ["person"]}, {"name": "Person"}], ids=str
)
def test_a_class_goes_by_what_others_call_it(other) -> None:
    drawn = own_set({"name": "forklift"}, other).with_palette("robot")
    np.testing.assert_array_equal(drawn.palette[1], FMB.with_palette("robot").palette[FMB.id_of("person")])


def test_an_unknown_class_keeps_its_hue_dulled() -> None:
    red, green, blue = own_set({"name": "forklift", "colour": [255, 0, 0]}).with_palette("robot").palette[0].tolist()
    assert red > green == blue > 0 and red - green < 64


def test_what_a_set_does_not_name_stays_transparent_in_overlays() -> None:
    drawn = own_set({"name": "person"}, {"name": "unlabelled", "colour": [9, 9, 9]}).with_palette("robot")
    assert drawn.palette[1].tolist() == [0, 0, 0]


def test_an_unknown_palette_is_refused_with_the_choices() -> None:
    with pytest.raises(LabelSetError, match=r"^no palette 'neon': choose from dataset, robot$"):
        FMB.with_palette("neon")


@KNOWN
@pytest.mark.parametrize("palette", ["dataset", "robot"])
def test_truth_in_either_palette_is_read(each, palette, tmp_path) -> None:
    ids = np.arange(len(each), dtype=np.uint8)[None]
    assert cv2.imwrite(str(tmp_path / "truth.png"), each.with_palette(palette).colourise(ids)[..., ::-1])
    np.testing.assert_array_equal(read_label_map(tmp_path / "truth.png", each.with_palette("robot")), ids)
