# SPDX-License-Identifier: Apache-2.0
"""Params files that a command line names: what can't be used is one line, and so is what is for another node."""

from pathlib import Path

import pytest

from segmif_ros.ros.params_file_check import check_files, files_for_others, given_files, matches, sections

FILE = Path(__file__).parents[2] / "config" / "segmif.yaml"


def arguments(path) -> list[str]:
    return ["--ros-args", "-r", "__ns:=/front", "--params-file", str(path)]


def test_only_what_follows_the_option_within_ros_arguments_is_a_params_file() -> None:
    given = ["--params-file", "not.yaml", "--ros-args", "--params-file", "a.yaml", "--", "--params-file", "nor.yaml"]
    assert given_files([*given, "--ros-args", "-p", "x:=1", "--params-file", "b.yaml"]) == ["a.yaml", "b.yaml"]


def test_a_command_line_without_arguments_names_none() -> None:
    assert given_files([]) == given_files(["--ros-args"]) == []


def test_the_file_of_the_package_is_fine_for_any_node() -> None:
    check_files(arguments(FILE))
    assert files_for_others("/front/left/rig", arguments(FILE)) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "No such file"),
        ("segmif_node:\n\tros__parameters:\n", "line 2: not YAML: a tab: indent with spaces"),
        ("segmif_node: {ros__parameters: [}\n", "line 1"),
        ("slop_s: 0.1\n", "no ros__parameters in it"),
        ("", "no ros__parameters in it"),
    ],
)
def test_a_file_that_can_not_be_used_is_one_line_with_its_name(tmp_path, text, part) -> None:
    path = tmp_path / "robot.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=part) as raised:
        check_files(arguments(path))
    assert "robot.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_for_another_node_is_said_with_both_names(tmp_path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("segmif:\n  ros__parameters:\n    slop_s: 0.1\n")
    [line] = files_for_others("/segmif_node", arguments(path))
    assert "it is for '/segmif' and this node is '/segmif_node'" in line
    path.write_text("segmif:\n  ros__parameters: {}\nsegmif_node:\n  ros__parameters: {}\n")
    assert files_for_others("/segmif_node", arguments(path)) == []


def test_namespaces_may_be_written_as_mappings() -> None:
    content = {"front": {"segmif_node": {"ros__parameters": {"a": 1}}, "left": {"rig": {"ros__parameters": {}}}}}
    assert list(sections(content)) == ["/front/segmif_node", "/front/left/rig"]


@pytest.mark.parametrize(
    ("section", "name", "fits"),
    [
        ("/segmif_node", "/segmif_node", True),
        ("/segmif_node", "/front/segmif_node", False),
        ("/**", "/front/left/segmif_node", True),
        ("/**/segmif_node", "/segmif_node", True),
        ("/**/segmif_node", "/front/left/segmif_node", True),
        ("/*/segmif_node", "/front/segmif_node", True),
        ("/*/segmif_node", "/segmif_node", False),
        ("/front.left/x", "/frontaleft/x", False),
    ],
)
def test_wildcards_are_those_of_rcl(section, name, fits) -> None:
    assert matches(section, name) is fits
