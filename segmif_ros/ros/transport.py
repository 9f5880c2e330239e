# SPDX-License-Identifier: Apache-2.0
"""The Fast DDS profile that lets camera images through: where it lies, and setting it for processes to come.

Fast DDS reads the variable once, when a process makes its first participant, so it has to be set before ``rclpy.init``.
It matters on the sending side: every process that publishes images needs it, a camera driver too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

PACKAGE = "segmif_ros"
PROFILE = "fastdds.xml"
# Fast DDS of Jazzy and later reads the first name and warns about the second, Humble's knows the second alone.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def _folders() -> Iterator[Path]:
    """Yield the places of the configuration files: what the user sourced, what pip installed, the checkout."""
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        yield Path(prefix) / "share" / PACKAGE / "config"
    package = Path(__file__).resolve().parent.parent
    yield package / "config"  # package data
    yield package.parent / "config"  # a checkout, where setup.py and CMakeLists.txt take the package data from
    yield Path(sys.prefix) / "share" / PACKAGE / "config"


def profile_path() -> Path:
    """Return the profile's path; FileNotFoundError names the places that were looked at."""
    folders = list(_folders())
    for folder in folders:
        if (folder / PROFILE).is_file():
            return (folder / PROFILE).resolve()
    raise FileNotFoundError(f"no {PROFILE} in {', '.join(str(folder) for folder in folders)}: install {PACKAGE} again")


def user_profile(environment: MutableMapping[str, str] | None = None) -> str | None:
    """Return the profile that the user has set by himself, or None; an empty value counts as not set."""
    environment = os.environ if environment is None else environment
    return next((environment[name] for name in PROFILE_VARIABLES if environment.get(name)), None)


def use_profile(environment: MutableMapping[str, str] | None = None) -> str:
    """Set the profile in ``environment`` (this process's own by default) unless the user has set one.

    Call it before ``rclpy.init``, or on the environment that a child process is started with.

    Returns:
        The profile in force.

    Raises:
        FileNotFoundError: The package was installed without its configuration files.
    """
    environment = os.environ if environment is None else environment
    chosen = user_profile(environment)
    if chosen is None:
        chosen = str(profile_path())
        environment[PROFILE_VARIABLES[environment.get("ROS_DISTRO") == "humble"]] = chosen
    return chosen
