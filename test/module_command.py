# SPDX-License-Identifier: Apache-2.0
"""What `python -m MODULE` does, called within a test."""

from collections.abc import Callable, Sequence
from types import ModuleType

from segmif_ros.command_line import run_module


def command_of(module: ModuleType) -> Callable[[Sequence[str]], int]:
    """Return the function that takes a command line and returns the exit status."""
    return lambda arguments: run_module(module.__name__, module.__doc__, module.add_arguments, module.run, arguments)
