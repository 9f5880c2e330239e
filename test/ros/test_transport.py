# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile is found, set for processes to come, and never put over the user's own."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from segmif_ros.ros import transport

NAMESPACE = {"dds": "http://www.eprosima.com"}


def test_the_profile_is_found_without_an_ament_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    assert transport.profile_path().name == "fastdds.xml"


def test_the_sourced_workspace_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = tmp_path / "share" / "segmif_ros" / "config" / "fastdds.xml"
    profile.parent.mkdir(parents=True)
    profile.write_text("<dds/>")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    assert transport.profile_path() == profile.resolve()


def test_a_missing_profile_is_said_with_the_places_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PROFILE", "gone.xml")
    with pytest.raises(FileNotFoundError, match=r"no gone\.xml in .*config.*: install segmif_ros again"):
        transport.profile_path()


@pytest.mark.parametrize(
    ("distribution", "name"),
    [
        ("", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("jazzy", "FASTDDS_DEFAULT_PROFILES_FILE"),
        ("humble", "FASTRTPS_DEFAULT_PROFILES_FILE"),
    ],
)
def test_the_profile_is_set_under_the_name_that_the_distribution_reads(distribution: str, name: str) -> None:
    environment = {"ROS_DISTRO": distribution}
    chosen = transport.use_profile(environment)
    assert environment == {"ROS_DISTRO": distribution, name: chosen}


@pytest.mark.parametrize("name", transport.PROFILE_VARIABLES)
def test_a_profile_of_the_user_stays(name: str) -> None:
    environment = {name: "/mine.xml"}
    assert transport.use_profile(environment) == "/mine.xml"
    assert environment == {name: "/mine.xml"}


def test_an_empty_variable_counts_as_not_set() -> None:
    environment = {"FASTDDS_DEFAULT_PROFILES_FILE": ""}
    assert transport.use_profile(environment).endswith("fastdds.xml")


def test_the_profile_has_a_segment_for_several_images_and_udp_for_other_hosts() -> None:
    root = ET.parse(transport.profile_path()).getroot()
    transports = {
        each.findtext("dds:type", namespaces=NAMESPACE): each
        for each in root.iterfind(".//dds:transport_descriptor", NAMESPACE)
    }
    assert set(transports) == {"SHM", "UDPv4"}
    shared = transports["SHM"]
    assert int(shared.findtext("dds:segment_size", "0", NAMESPACE)) >= 8_000_000
    used = {each.text for each in root.iterfind(".//dds:userTransports/dds:transport_id", NAMESPACE)}
    assert used == {each.findtext("dds:transport_id", namespaces=NAMESPACE) for each in transports.values()}
    assert root.find(".//dds:participant[@is_default_profile='true']", NAMESPACE) is not None
