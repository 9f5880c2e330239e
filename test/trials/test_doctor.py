# SPDX-License-Identifier: Apache-2.0
"""`segmif doctor`: what is missing is named with how to install it."""

from pathlib import Path

import pytest

from segmif_ros import cli
from segmif_ros.trials import doctor
from segmif_ros.trials.doctor import Dependency, State, examine


def _found(name: str, environment: dict[str, str] | None = None) -> doctor.Finding:
    return {each.name: each for each in examine(environment or {})}[name]


def test_what_is_there_is_said_with_its_version() -> None:
    assert _found("numpy").state is State.OK
    assert _found("numpy").detail[0].isdigit()


def test_what_is_needed_and_missing_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "PARTS", (Dependency(module="no_such_thing", remedy="apt install it", needed=True),))
    assert _found("no_such_thing").state is State.MISSING
    assert cli.main(["doctor"]) == 1
    assert "apt install it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("minimum", "state"), [("1.21", State.OK), ("99", State.MISSING), ("1.999.9", State.OK), ("", State.OK)]
)
def test_what_is_older_than_the_oldest_that_is_tested_is_said(
    monkeypatch: pytest.MonkeyPatch, minimum: str, state: State
) -> None:
    part = Dependency(module="numpy", distribution="numpy", remedy="pip it", needed=True, minimum=minimum)
    monkeypatch.setattr(doctor, "PARTS", (part,))
    found = _found("numpy")
    assert found.state is state
    assert state is State.OK or "is too old, 99 or later is needed: pip it" in found.detail


def test_the_minimums_are_those_that_the_package_asks_for() -> None:
    asked = (Path(__file__).parents[2] / "setup.py").read_text()
    for part in doctor.PARTS:
        if part.minimum:
            assert f'"{part.distribution}>={part.minimum}' in asked, part.distribution


def test_what_is_optional_and_missing_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PARTS", (Dependency(module="no_such.actions", remedy="a ROS 2 install has it"),))
    assert _found("no_such").state is State.OPTIONAL


def test_the_launch_folder_of_the_sources_does_not_pass_for_the_launch_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "launch_of_sources").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "PARTS", (Dependency(module="launch_of_sources.actions", remedy="x"),))
    assert _found("launch_of_sources").state is State.OPTIONAL


def test_the_own_profile_is_in_force_where_the_user_has_set_none() -> None:
    found = _found("Fast DDS profile")
    assert found.state is State.OK
    assert "set by segmif_ros" in found.detail
    assert "segment 10 MiB" in found.detail


def test_a_profile_of_the_user_without_a_large_segment_is_warned_about(tmp_path: Path) -> None:
    profile = tmp_path / "mine.xml"
    profile.write_text("<dds><segment_size>524288</segment_size></dds>")
    found = _found("Fast DDS profile", {"FASTDDS_DEFAULT_PROFILES_FILE": str(profile)})
    assert found.state is State.OPTIONAL
    assert "524288 bytes: images over 512 KB may get lost" in found.detail


@pytest.mark.parametrize("content", [None, "<broken"])
def test_a_profile_that_can_not_be_read_is_said(tmp_path: Path, content: str | None) -> None:
    profile = tmp_path / "mine.xml"
    if content is not None:
        profile.write_text(content)
    found = _found("Fast DDS profile", {"FASTDDS_DEFAULT_PROFILES_FILE": str(profile)})
    assert (found.state, found.detail[:28]) == (State.OPTIONAL, "camera images may get lost: ")


def test_another_middleware_needs_no_profile() -> None:
    assert "rmw_cyclonedds_cpp" in _found("Fast DDS profile", {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}).detail


def test_missing_default_weights_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmif_ros.inference.weights.packaged_weights", dict)
    assert _found("weights").state is State.MISSING


def test_a_middleware_that_is_not_installed_is_named(tmp_path: Path) -> None:
    environment = {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp", "AMENT_PREFIX_PATH": str(tmp_path)}
    found = _found("middleware", environment)
    assert found.state is State.MISSING
    assert "apt install ros-$ROS_DISTRO-rmw-zenoh-cpp" in found.detail
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "librmw_zenoh_cpp.so").touch()
    assert _found("middleware", environment).state is State.OK


@pytest.mark.parametrize(
    ("text", "state"), [("", State.OK), ("42", State.OK), ("500", State.MISSING), ("x", State.MISSING)]
)
def test_a_domain_that_is_none_is_said(text: str, state: State) -> None:
    assert _found("ROS_DOMAIN_ID", {"ROS_DOMAIN_ID": text}).state is state


def test_the_profile_alone_is_printed_for_camera_drivers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--profile"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert Path(line).name == "fastdds.xml"
    assert Path(line).is_file()
