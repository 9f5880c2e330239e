# SPDX-License-Identifier: Apache-2.0
"""The Nav2 and nvblox configurations name published parameters, our topics, and every class of the packaged models.

The names are those of docs.nav2.org, the layer's README and nvblox's parameter page; a typo in a file would be silent
on a robot, because these nodes ignore what they don't know.
"""

from pathlib import Path

import pytest
from grid_scenes import costs

from segmif_ros.labels import FMB
from segmif_ros.yaml_file import read_yaml

CONFIG = Path(__file__).parents[2] / "config"
COSTMAP = {
    *("global_frame", "robot_base_frame", "rolling_window", "width", "height", "resolution", "update_frequency"),
    *("publish_frequency", "transform_tolerance", "track_unknown_space", "trinary_costmap", "lethal_cost_threshold"),
    *("unknown_cost_value", "plugins"),
}
STATIC = {
    *("plugin", "enabled", "map_topic", "map_subscribe_transient_local", "subscribe_to_updates"),
    *("footprint_clearing_enabled", "restore_cleared_footprint"),
}
INFLATION = {
    "plugin",
    "enabled",
    "inflation_radius",
    "cost_scaling_factor",
    "inflate_unknown",
    "inflate_around_unknown",
}
SOURCE = {
    *("segmentation_topic", "confidence_topic", "labels_topic", "pointcloud_topic", "max_obstacle_distance"),
    *("min_obstacle_distance", "tile_map_decay_time", "use_cost_selection", "class_types", "observation_persistence"),
    *("expected_update_rate", "visualize_tile_map"),
}
CLASS_TYPE = {"classes", "base_cost", "max_cost", "mark_confidence", "samples_to_max_cost", "dominant_priority"}
NVBLOX = {
    *("mapping_type", "use_segmentation", "num_cameras", "use_tf_transforms", "use_depth", "use_color", "use_lidar"),
    *("voxel_size", "esdf_mode", "publish_esdf_distance_slice", "map_clearing_radius_m", "map_clearing_frame_id"),
    *("input_qos", "multi_mapper", "static_mapper"),
}
MULTI_MAPPER = {"connected_mask_component_size_threshold", "remove_small_connected_components"}
MAPPER = {
    *("projective_integrator_max_integration_distance_m", "workspace_bounds_type"),
    *("workspace_bounds_min_height_m", "workspace_bounds_max_height_m"),
}


def _costmap(file: str) -> dict:
    return read_yaml(CONFIG / file)["local_costmap"]["local_costmap"]["ros__parameters"]


@pytest.mark.parametrize("file", ["nav2_costmaps.yaml", "nav2_semantic_layer.yaml"])
def test_costmaps_keep_the_unknown_and_name_published_parameters(file: str) -> None:
    parameters = _costmap(file)
    assert set(parameters) - set(parameters["plugins"]) <= COSTMAP
    assert set(parameters["plugins"]) <= set(parameters)
    assert parameters["track_unknown_space"] is True
    assert set(parameters["inflation_layer"]) <= INFLATION


def test_the_ground_layer_reads_the_latched_grid() -> None:
    layer = _costmap("nav2_costmaps.yaml")["ground_layer"]
    assert set(layer) <= STATIC
    assert (layer["map_topic"], layer["map_subscribe_transient_local"]) == ("/grid/cost", True)
    assert _costmap("nav2_costmaps.yaml")["trinary_costmap"] is False, "costs between free and lethal would be lost"


def test_the_semantic_layer_names_each_class_once_and_what_is_never_free_is_not_traversable() -> None:
    source = _costmap("nav2_semantic_layer.yaml")["semantic_layer"]["segmif"]
    types = source["class_types"]
    assert set(source) - set(types) <= SOURCE
    assert all(set(source[each]) == CLASS_TYPE for each in types)
    named = [name for each in types for name in source[each]["classes"]]
    assert sorted(named) == sorted(FMB.names), "the layer logs an error for each class that it doesn't know"
    table = costs().for_names(FMB.names)
    never_free = {name for name, never in zip(FMB.names, table.never_free, strict=True) if never}
    assert not never_free & set(source["traversable"]["classes"])


def test_nvblox_gets_published_parameters() -> None:
    parameters = read_yaml(CONFIG / "nvblox_people.yaml")["/**"]["ros__parameters"]
    assert set(parameters) <= NVBLOX
    assert set(parameters["multi_mapper"]) <= MULTI_MAPPER
    assert set(parameters["static_mapper"]) <= MAPPER
