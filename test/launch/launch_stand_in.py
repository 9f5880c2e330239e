# SPDX-License-Identifier: Apache-2.0
"""A stand-in for launch and launch_ros, which the package index lacks: actions keep what they were made with."""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Action:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


ACTIONS = {
    "launch": ("LaunchDescription",),
    "launch.actions": (
        *("DeclareLaunchArgument", "LogInfo", "OpaqueFunction", "RegisterEventHandler", "SetEnvironmentVariable"),
        *("IncludeLaunchDescription", "Shutdown"),
    ),
    "launch.launch_description_sources": ("PythonLaunchDescriptionSource",),
    "launch.event_handlers": ("OnProcessExit",),
    "launch_ros": (),
    "launch_ros.actions": ("Node",),
}


def install(patch: pytest.MonkeyPatch) -> None:
    """Put the stand-in where `import launch` finds it."""
    for name, classes in ACTIONS.items():
        module = ModuleType(name)
        for each in classes:
            setattr(module, each, type(each, (Action,), {}))
        patch.setitem(sys.modules, name, module)


@dataclass
class Context:
    """A launch context: configurations by name, and what is being shut down."""

    launch_configurations: dict[str, str]
    argv: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    is_shutdown: bool = False


def exited(status: int) -> SimpleNamespace:
    """Return the event of a process that ended."""
    return SimpleNamespace(process_name="segmif_node-1", returncode=status)


def named(actions: list[Action], kind: str) -> list[Action]:
    """Return the actions of one class."""
    return [each for each in actions if type(each).__name__ == kind]
