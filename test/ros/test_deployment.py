# SPDX-License-Identifier: Apache-2.0
"""Containers, boot unit and security policy: what they run exists, and the policy has the node's own names."""

import re
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from segmif_ros import cli

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile*"))
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_built_by_a_target_of_the_makefile(file: Path) -> None:
    text = file.read_text()
    asked = re.findall(r"make ([a-z]+) VENV", text)
    assert asked
    assert set(asked) <= set(TARGETS)
    command = re.search(r'^CMD \["([a-z]+)"', text, re.MULTILINE)
    assert command
    assert command[1] in cli.COMMANDS


def test_the_services_of_compose_run_commands_of_ours_and_share_memory_with_the_host() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    for each in services.values():
        assert each["command"][0] in cli.COMMANDS
        assert (each["ipc"], each["network_mode"]) == ("host", "host")
        assert (ROOT / "docker" / each["build"]["context"] / each["build"]["dockerfile"]).is_file()


# The keys of the Compose Specification that a service and its build may have here, and their types.
_SERVICE = {"build": dict, "command": list, "environment": dict, "ipc": str, "network_mode": str, "profiles": list}
_SERVICE |= {"restart": str, "stop_signal": str, "volumes": list, "deploy": dict, "shm_size": str}
_BUILD = {"context": str, "dockerfile": str}
_RESTARTS = ("no", "always", "on-failure", "unless-stopped")


def test_compose_has_only_keys_of_its_specification() -> None:
    content = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    assert set(content) == {"services"}
    for service in content["services"].values():
        assert all(isinstance(value, _SERVICE[key]) for key, value in service.items())
        assert all(isinstance(value, _BUILD[key]) for key, value in service["build"].items())
        assert service.get("restart", "no") in _RESTARTS
        assert all(each.count(":") >= 1 for each in service.get("volumes", ()))


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="there is no docker-compose here")
@pytest.mark.parametrize("profile", [(), ("--profile", "trial")])
def test_compose_itself_finds_nothing_wrong(profile: tuple[str, ...]) -> None:
    command = ["docker-compose", "-f", ROOT / "docker" / "compose.yaml", *profile, "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_has_only_known_instructions_and_copies_what_exists(file: Path) -> None:
    lines = file.read_text().replace("\\\n", " ").splitlines()
    steps = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    assert {step[0] for step in steps} <= {"ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT", "CMD", "USER"}
    assert next(step[0] for step in steps if step[0] != "ARG") == "FROM"
    here = [step for step in steps if step[0] == "COPY" and not any(word.startswith("--from=") for word in step)]
    copied = [name for step in here for name in step[1:-1]]
    assert all((ROOT / name).exists() for name in copied)


def test_what_git_ignores_does_not_go_into_an_image() -> None:
    left_out = set((ROOT / ".dockerignore").read_text().split())
    built = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split() if line.startswith("/")}
    assert built <= left_out
    assert ".git" in left_out


def test_the_unit_runs_the_node_and_stops_it_as_ctrl_c_does() -> None:
    text = (ROOT / "config" / "segmif.service").read_text()
    assert re.search(r"^ExecStart=\S+/segmif run --params-file \S+$", text, re.MULTILINE)
    assert "\nKillSignal=SIGINT\n" in text
    assert "\nRestart=on-failure\n" in text


def _allowed(node: str, kind: str, access: str) -> set[str]:
    tree = ET.parse(ROOT / "config" / "sros2_policy.xml")
    found = tree.findall(f".//profile[@node='{node}']/{kind}s[@{access}='ALLOW']/{kind}")
    return {str(each.text) for each in found}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "segmif.service"
    text = (ROOT / "config" / "segmif.service").read_text()
    unit.write_text(text.replace("/opt/segmif/venv/bin/segmif", sys.executable))  # it wants a program that is there
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_policy_has_every_topic_of_the_node() -> None:
    topics = runpy.run_path(str(ROOT / "launch" / "segmif.launch.py"))["TOPICS"]
    for access, word in (("publish", "output:"), ("subscribe", "input:")):
        ours = {topic for _, topic, text in topics if text.startswith(word)}
        assert ours <= _allowed("segmif_node", "topic", access)


def _without_prefix(names: set[str]) -> set[str]:
    return {each.replace("~/", "/segmif_node/") if each[0] in "~/" else f"/{each}" for each in names}


def test_a_running_node_has_no_topic_or_service_that_the_policy_forbids(bench) -> None:
    node = bench().node
    publishers = {name for name, _ in node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace())}
    heard = {name for name, _ in node.get_subscriber_names_and_types_by_node(node.get_name(), node.get_namespace())}
    served = {name for name, _ in node.get_service_names_and_types_by_node(node.get_name(), node.get_namespace())}
    assert publishers <= _without_prefix(_allowed("segmif_node", "topic", "publish"))
    assert heard <= _without_prefix(_allowed("segmif_node", "topic", "subscribe"))
    assert served <= _without_prefix(_allowed("segmif_node", "service", "reply"))
