# SPDX-License-Identifier: Apache-2.0
"""`segmif doctor`: what is installed, what is missing and how to install it, and what is in force."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from segmif_ros.reporting.tables import wide_console
from segmif_ros.ros import transport
from segmif_ros.ros.stand_ins import make_importable

_LAST_DOMAIN = 232  # the ports of the last one still fit below 65536
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  Linux's place for it, no temporary file of ours


class State(Enum):
    """What a finding means."""

    OK = "ok"
    OPTIONAL = "not there"  # something can't be done without it, the rest can
    MISSING = "MISSING"  # nothing works without it


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's: what was looked for, what came of it, and the version or what to do."""

    name: str
    state: State
    detail: str


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """Something to import.

    Attributes:
        module: What is imported.
        distribution: Its name in the package index, for the version; empty where only a ROS 2 install has it.
        remedy: How to get it.
        needed: Nothing works without it.
        minimum: The oldest version that is tested (`make floors`); empty for any.
    """

    module: str
    distribution: str = ""
    remedy: str
    needed: bool = False
    minimum: str = ""


_PIP = "pip install segmif_ros brings it"
_WHEEL = "a ROS 2 install or pip install segmif_ros (Linux, x86_64, Python 3.10 to 3.13) brings it"
_APT = "only a ROS 2 install has it: apt install ros-$ROS_DISTRO-{}"
PARTS = (
    *(
        Dependency(module=module, distribution=distribution, remedy=_PIP, needed=True, minimum=minimum)
        for module, distribution, minimum in (
            ("numpy", "numpy", "1.21.5"),
            ("cv2", "opencv-python-headless", "4.5.4"),
            ("torch", "torch", "2.5"),
            ("safetensors", "safetensors", "0.4"),
            ("yaml", "PyYAML", "6"),
            ("rich", "rich", "11.2"),
            ("jinja2", "jinja2", "3.0.3"),
        )
    ),
    *(
        Dependency(module=module, distribution=f"ros-kilted-{module.replace('_', '-')}", remedy=_WHEEL, needed=True)
        for module in ("rclpy", "sensor_msgs", "std_msgs", "diagnostic_msgs", "lifecycle_msgs", "nav_msgs")
    ),
    Dependency(
        module="segmif_ros.msg",
        remedy="segmentation/semantic_map is not published: colcon build, or with a C compiler "
        "SEGMIF_ROS_MSGS=1 pip install --force-reinstall --no-deps segmif_ros",
    ),
    # a submodule: run from the sources' folder, the folder launch/ would pass for the package
    Dependency(module="launch.actions", remedy=f"ros2 launch needs it; {_APT.format('launch')}"),
    Dependency(module="launch_ros.actions", remedy=f"ros2 launch needs it; {_APT.format('launch-ros')}"),
    Dependency(module="message_filters", remedy=f"segmif_node pairs without it; {_APT.format('message-filters')}"),
    Dependency(
        module="cv_bridge", remedy=f"for consumers of the images, segmif_node needs none; {_APT.format('cv-bridge')}"
    ),
    Dependency(
        module="vision_msgs",
        remedy=f"without it no segmentation/label_info, which Nav2's layer waits for; {_APT.format('vision-msgs')}",
    ),
    *(
        Dependency(
            module=module,
            distribution=module,
            remedy=f"backend {module} needs it; pip install {packages}",
        )
        for module, packages in (("openvino", "openvino"), ("onnxruntime", "onnxruntime onnx onnxscript"))
    ),
    Dependency(module="tf2_msgs", remedy=f"grid_node takes poses from odom and parameters; {_APT.format('tf2-msgs')}"),
)


def examine(environment: Mapping[str, str] | None = None) -> list[Finding]:
    """Look at this machine and return the findings."""
    environment = os.environ if environment is None else environment
    found = [
        Finding(name="segmif_ros", state=State.OK, detail=_version("segmif_ros") or "from the sources"),
        Finding(name="Python", state=State.OK, detail=f"{platform.python_version()} on {platform.platform()}"),
        Finding(name="ROS 2", state=State.OK, detail=environment.get("ROS_DISTRO") or "wheels of the package index"),
    ]
    make_importable("tf2_msgs")
    found += [_part(part) for part in PARTS]
    found += [_domain(environment), _middleware(environment), _profile(dict(environment)), _shared_memory(), _disk()]
    if importlib.util.find_spec("torch"):
        found += [_devices(), _weights()]
    return found


def _part(part: Dependency) -> Finding:
    try:
        there = importlib.util.find_spec(part.module) is not None
    except ModuleNotFoundError:  # the parent package is not there either
        there = False
    name = part.module.removesuffix(".actions")
    if not there:
        return Finding(name=name, state=State.MISSING if part.needed else State.OPTIONAL, detail=part.remedy)
    version = part.distribution and (_version(part.distribution) or _own_version(part.module))
    if part.minimum and version and _older(version, part.minimum):
        detail = f"{version} is too old, {part.minimum} or later is needed: {part.remedy}"
        return Finding(name=name, state=State.MISSING if part.needed else State.OPTIONAL, detail=detail)
    return Finding(name=name, state=State.OK, detail=version or _declared_version(name.partition(".")[0]) or "there")


def _domain(environment: Mapping[str, str]) -> Finding:
    text = environment.get("ROS_DOMAIN_ID", "")
    if not text:
        return Finding(name="ROS_DOMAIN_ID", state=State.OK, detail="0, not set")
    if text.isdigit() and int(text) <= _LAST_DOMAIN:
        return Finding(name="ROS_DOMAIN_ID", state=State.OK, detail=text)
    return Finding(
        name="ROS_DOMAIN_ID", state=State.MISSING, detail=f"'{text}': a number from 0 to {_LAST_DOMAIN} is needed"
    )


def _middleware(environment: Mapping[str, str]) -> Finding:
    """Return whether the RMW that ROS 2 will load is installed; its library lies below an ament prefix."""
    name = "middleware"
    chosen = environment.get("RMW_IMPLEMENTATION", "")
    if not chosen:
        return Finding(name=name, state=State.OK, detail="the default of ROS 2: RMW_IMPLEMENTATION is not set")
    prefixes = [Path(each) for each in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if each]
    if not prefixes or any((each / "lib" / f"lib{chosen}.so").is_file() for each in prefixes):
        return Finding(name=name, state=State.OK, detail=chosen)
    package = chosen.replace("_", "-")
    return Finding(
        name=name,
        state=State.MISSING,
        detail=f"RMW_IMPLEMENTATION is {chosen}, which is not installed: unset it, or apt install "
        f"ros-$ROS_DISTRO-{package}",
    )


def _disk() -> Finding:
    usage = shutil.disk_usage(Path.cwd())
    return Finding(name="disk", state=State.OK, detail=f"{usage.free / 2**30:.0f} GiB free here, for recordings")


def _profile(environment: dict[str, str]) -> Finding:
    name = "Fast DDS profile"
    middleware = environment.get("RMW_IMPLEMENTATION", "")
    if middleware and "fastrtps" not in middleware:
        return Finding(name=name, state=State.OK, detail=f"not used: RMW_IMPLEMENTATION is {middleware}")
    chosen = transport.user_profile(environment)
    try:
        path = chosen or transport.use_profile(environment)
        segment = _segment_bytes(Path(path))
    except (OSError, ET.ParseError) as error:
        return Finding(name=name, state=State.OPTIONAL, detail=f"camera images may get lost: {error}")
    who = "set by you" if chosen else "set by segmif_ros for its own processes"
    if segment < 1 << 20:
        size = f"a shared-memory segment of {segment} bytes" if segment else "no segment size"
        return Finding(
            name=name, state=State.OPTIONAL, detail=f"{path}, {who}, has {size}: images over 512 KB may get lost"
        )
    return Finding(name=name, state=State.OK, detail=f"{path}, {who}, segment {segment / 2**20:.0f} MiB")


def _segment_bytes(path: Path) -> int:
    """Return the size of the largest shared-memory segment that a profile describes, 0 if it names none."""
    # our own file, or one that the user himself has pointed Fast DDS to
    sizes = [each.text or "0" for each in ET.parse(path).iter() if each.tag.rpartition("}")[2] == "segment_size"]  # noqa: S314
    return max((int(size) for size in sizes if size.strip().isdigit()), default=0)


def _shared_memory() -> Finding:
    if not _SHARED_MEMORY.is_dir():
        return Finding(name="shared memory", state=State.OPTIONAL, detail=f"no {_SHARED_MEMORY}: images go through UDP")
    usage = shutil.disk_usage(_SHARED_MEMORY)
    free = usage.free / 2**20
    detail = f"{free:.0f} of {usage.total / 2**20:.0f} MiB free in {_SHARED_MEMORY}"
    if free < 48:
        return Finding(
            name="shared memory", state=State.OPTIONAL, detail=f"{detail}: each process takes 11, see docker --shm-size"
        )
    return Finding(name="shared memory", state=State.OK, detail=detail)


def _devices() -> Finding:
    torch = importlib.import_module("torch")
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    processors = f"cpu ({os.cpu_count()} cores)"
    return Finding(name="devices", state=State.OK, detail=", ".join([*cards, processors]))


def _weights() -> Finding:
    from segmif_ros.inference.weights import DEFAULT_WEIGHTS, packaged_weights

    found = packaged_weights()
    listed = ", ".join(f"{name} ({path.stat().st_size / 1e6:.1f} MB)" for name, path in found.items())
    if DEFAULT_WEIGHTS in found:
        return Finding(name="weights", state=State.OK, detail=listed)
    return Finding(
        name="weights",
        state=State.MISSING,
        detail=f"the default {DEFAULT_WEIGHTS} is not in the package: install it again, or name a file as weights",
    )


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _own_version(module: str) -> str:
    """Return the version in a module itself: apt's OpenCV has no entry among Python's distributions."""
    if module != "cv2":
        return ""
    return str(getattr(importlib.import_module(module), "__version__", ""))


def _older(version: str, minimum: str) -> bool:
    found, least = ([int(each) for each in re.findall(r"\d+", text)] for text in (version, minimum))
    return found[: len(least)] < least


def _declared_version(package: str) -> str:
    """Return the version in a ROS package's package.xml, empty if there is none."""
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        manifest = Path(prefix) / "share" / package / "package.xml"
        if manifest.is_file():
            return ET.parse(manifest).findtext("version") or ""  # noqa: S314  of an installed package
    return ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif doctor`."""
    parser.add_argument(
        "--profile",
        action="store_true",
        help="print the path of the Fast DDS profile alone, for FASTDDS_DEFAULT_PROFILES_FILE of camera drivers",
    )


def run(options: argparse.Namespace) -> int:
    """Print the findings, or the profile's path; 1 if something is missing without which nothing works."""
    from rich.table import Table

    if options.profile:
        print(transport.profile_path())
        return 0
    found = examine()
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(overflow="fold")  # a path is needed whole
    colours = {State.OK: "green", State.OPTIONAL: "yellow", State.MISSING: "bold red"}
    for each in found:
        table.add_row(each.name, f"[{colours[each.state]}]{each.state.value}[/]", each.detail)
    wide_console().print(table, highlight=False)
    return 1 if any(each.state is State.MISSING for each in found) else 0
