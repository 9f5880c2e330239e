# SPDX-License-Identifier: Apache-2.0
"""The cost table: what it says about label sets, and what it refuses."""

import re

import pytest
from grid_scenes import COSTS_FILE, costs

from segmif_ros.grid.costs import GROUND, NOTHING, OBJECT, cost_table, read_costs
from segmif_ros.grid.errors import CostsError
from segmif_ros.labels import CAMVID, FMB, LABEL_SETS, MFNET


def test_every_class_of_every_known_label_set_that_can_stand_is_never_free() -> None:
    for label_set in LABEL_SETS.values():
        table = costs().for_names(label_set.names)
        assert not (table.stands & ~table.never_free).any(), label_set.name


def test_the_packaged_weights_labels_are_all_named() -> None:
    table = costs().for_names(FMB.names)
    assert not table.problems()
    assert table.kinds[FMB.id_of("road")] == GROUND
    assert table.kinds[FMB.id_of("person")] == OBJECT
    assert table.kinds[200] == NOTHING


def test_names_that_mean_the_same_have_one_cost() -> None:
    table = costs().for_names(CAMVID.names)
    assert table.kinds[CAMVID.id_of("pavement")] == GROUND
    assert table.kinds[CAMVID.id_of("bicyclist")] == OBJECT


def test_a_class_without_cost_says_nothing_and_is_said() -> None:
    table = costs().for_names(("road", "spaceship"))
    assert table.kinds[1] == NOTHING
    assert "the costs don't name spaceship" in table.problems()[0]


def test_a_set_without_ground_is_said_and_its_rest_is_no_obstacle() -> None:
    table = cost_table(
        {"classes": {"car": {"kind": "object", "cost": 100}, "unlabelled": {"kind": "object", "cost": 9}}}
    )
    by_id = table.for_names(("unlabelled", "car"))
    assert "no cell will ever be free" in by_id.problems()[0]
    assert by_id.kinds[0] == NOTHING
    assert costs().for_names(MFNET.names).kinds[MFNET.id_of("car")] == OBJECT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "a mapping with 'classes'"),
        ({"classes": {}}, "a mapping with 'classes'"),
        ({"classes": {"road": 3}}, "classes.road must be a mapping"),
        ({"classes": {"road": {"kind": "flat", "cost": 0}}}, "classes.road.kind is 'flat'"),
        ({"classes": {"road": {"kind": "ground", "cost": 101}}}, "classes.road.cost is 101"),
        ({"classes": {"road": {"kind": "ground", "cost": True}}}, "classes.road.cost is True"),
        ({"classes": {"road": {"kind": "ground", "cost": 1, "movabel": True}}}, "did you mean 'movable'"),
        ({"classes": {"road": {"kind": "ground", "cost": 1, "movable": 1}}}, "true or false"),
        ({"classes": {"car": {"kind": "object", "cost": 9, "clearance_m": 3}}}, "clearance_m is 3: 0 to 2 metres"),
        ({"classes": {"road": {"kind": "ground", "cost": 0, "never_free": True}}}, "never_free and has cost 0"),
        ({"classes": {"car": {"kind": "object", "cost": 9, "overhang_m": -1}}}, "classes.car.overhang_m is -1"),
        ({"classes": {"road": {"kind": "ground", "cost": 0}}, "likely": 0}, "likely is 0"),
        ({"classes": {"road": {"kind": "ground", "cost": 0}}, "likly": 0.1}, "did you mean 'likely'"),
    ],
)
def test_a_wrong_table_is_refused_by_key(content, words: str) -> None:
    with pytest.raises(CostsError, match=words):
        cost_table(content)


def test_a_file_that_is_no_yaml_is_named(tmp_path) -> None:
    path = tmp_path / "costs.yaml"
    path.write_text("classes: [")
    with pytest.raises(CostsError, match=re.escape(str(path))):
        read_costs(path)
    with pytest.raises(CostsError, match=r"none\.yaml"):
        read_costs(tmp_path / "none.yaml")
    assert read_costs(COSTS_FILE).likely == 0.15
