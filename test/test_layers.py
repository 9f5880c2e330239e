# SPDX-License-Identifier: Apache-2.0
"""Layers point one way: every import inside the package is checked against the house's plan."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from run_suites import HERE, LIST, read_suites

PACKAGE = Path(__file__).parent.parent / "segmif_ros"
# room -> what of ours it may import besides itself; cli and trials stand on top of everything
GROUND: frozenset[str] = frozenset()
FILES = {"paths", "yaml_file", "files", "arrays"}  # types of arrays, and what every layer reads and writes files with
# how `python -m` of any room ends, where it writes, and how its settings are declared
EVERYWHERE = {"command_line", "result_folder", "settings"}
ALLOWED = {
    "paths": GROUND,
    "yaml_file": {"paths"},
    "files": GROUND,
    "arrays": GROUND,
    "model": {"files"},
    "palettes": GROUND,
    "labels": {"palettes", *FILES},
    "imaging": GROUND,
    "command_line": GROUND,
    "result_folder": GROUND,
    "settings": FILES,
    "scenes": {"imaging", "labels"},
    "rig": {"imaging"},
    "grid": {"rig", "labels", *FILES},
    "stream": {"imaging", "rig", "inference", "labels"},
    "inference": {"model", "imaging", "labels"},
    "reporting": {"labels"},
    "data": {"model", "labels", "imaging", "scenes"},
    "evaluation": {"reporting", "model", "labels", "imaging", "scenes", "stream", "inference", "data", "grid", "rig"},
    "training": {"reporting", "model", "labels", "imaging", "rig", "inference", "data", "evaluation"},
    "bag": {"reporting", "stream", "inference", "evaluation", "imaging", "rig", "labels", "data", "scenes", "grid"},
    "predict": {"reporting", "bag", "stream", "inference", "evaluation", "rig", "imaging", "labels", "data", "model"},
    "ros": {"stream", "inference", "imaging", "rig", "labels", "data", "scenes", "grid", "msg"},
}
TOP = {"cli", "trials"}
MAY_IMPORT_ROS = {"ros", "trials"}
ROS_MODULES = {
    *("rclpy", "sensor_msgs", "std_msgs", "diagnostic_msgs", "lifecycle_msgs", "builtin_interfaces", "rcl_interfaces"),
    *("ament_index_python", "message_filters", "cv_bridge", "vision_msgs", "std_srvs", "rosgraph_msgs"),
    *("nav_msgs", "geometry_msgs", "visualization_msgs", "tf2_msgs", "tf2_ros"),
}


def _layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if _layer(path) not in ("msg", "__init__")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_layers_below_it(path: Path) -> None:
    layer = _layer(path)
    if layer in TOP:
        return
    assert layer in ALLOWED, f"{path}: '{layer}' has no place in the plan of layers"
    for name in _imports(path):
        if name.startswith("segmif_ros."):
            target = name.split(".")[1]
            below = ALLOWED[layer] if layer in FILES else ALLOWED[layer] | FILES
            assert target in {layer, *below, *EVERYWHERE}, f"{path.relative_to(PACKAGE)} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_node_and_the_trials_import_ros(path: Path) -> None:
    if _layer(path) in MAY_IMPORT_ROS:
        return
    assert not [name for name in _imports(path) if name.split(".")[0] in ROS_MODULES]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_below_the_top_names_a_module_of_ros_in_a_string(path: Path) -> None:
    if _layer(path) in MAY_IMPORT_ROS | TOP:
        return
    tree = ast.parse(path.read_text())
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    }
    named = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [each for each in named if "segmif_ros.ros" in each and each not in docstrings]


def test_every_room_of_the_plan_exists() -> None:
    built = {_layer(path) for path in SOURCES}
    assert not [room for room in (*ALLOWED, *TOP) if room not in built]


def test_the_page_about_the_architecture_has_every_room_and_no_other() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    table = [row.split("|")[2] for row in page.splitlines() if row.startswith("|") and row.count("|") == 5]
    shown = {name.strip("/").removesuffix(".py") for cell in table for name in re.findall(r"`([^`]+)`", cell)}
    assert shown == {*ALLOWED, *TOP}


def test_the_files_that_the_architecture_points_to_exist() -> None:
    for page in ("docs/architecture.md", "CONTRIBUTING.md"):
        text = (PACKAGE.parent / page).read_text()
        for name in re.findall(r"`([\w/]+\.py)`", text):
            places = (PACKAGE / name, PACKAGE.parent / name)
            assert any(place.exists() for place in places), f"{page}: {name}"


# names that mean the same in each room: a room has one command, one configuration, its errors, its messages
IN_EVERY_ROOM = {
    *("__init__.py", "__main__.py", "command.py", "config.py", "errors.py"),
    *("bench.py", "messages.py", "grid_messages.py"),
}


def test_a_file_name_means_one_thing() -> None:
    names = Counter(path.name for path in SOURCES)
    twice = {name for name, count in names.items() if count > 1}
    assert twice <= IN_EVERY_ROOM


def test_the_plan_of_layers_has_no_circle() -> None:
    def below(layer: str, seen: tuple[str, ...]) -> None:
        assert layer not in seen, " -> ".join((*seen, layer))
        for each in ALLOWED.get(layer, GROUND) - {layer}:
            below(each, (*seen, layer))

    for layer in ALLOWED:
        below(layer, ())


def test_every_test_file_belongs_to_exactly_one_run() -> None:
    found = [
        path
        for suite in read_suites(LIST.read_text())
        for match in HERE.glob(suite.path)
        for path in (match.rglob("test_*.py") if match.is_dir() else [match])
    ]
    assert sorted(found) == sorted(HERE.rglob("test_*.py"))
