# SPDX-License-Identifier: Apache-2.0
"""What a run shows: a bar on a terminal, plain lines elsewhere, and TensorBoard by choice."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import Progress, TextColumn

from segmif_ros.reporting.progress import bar_columns
from segmif_ros.training.config import RecipeError


class Display:
    """Lines, with a bar below them where ``file`` is a terminal.

    Args:
        first, total: Steps taken already, and of the whole run.
        file: None for standard output.
    """

    def __init__(self, *, first: int, total: int, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        self._bar: Progress | None = None
        if not self._file.isatty():
            return
        columns = (*bar_columns(TextColumn("{task.description}")), TextColumn("{task.fields[note]}"))
        self._bar = Progress(*columns, console=Console(file=self._file), transient=True)
        self._task = self._bar.add_task("", total=total, completed=first, note="")
        self._bar.start()

    def step(self, number: int, phase: str, note: str) -> None:
        """Move the bar to the end of step ``number``."""
        if self._bar is not None:
            self._bar.update(self._task, completed=number, description=phase, note=note)

    def line(self, text: str) -> None:
        """Print a line."""
        if self._bar is None:
            print(text, file=self._file, flush=True)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


class SilentDisplay(Display):
    """Shows nothing; for all processes but the main one."""

    def __init__(self) -> None:
        self._bar = None

    def line(self, text: str) -> None:
        """Do nothing."""


class ScalarWriter(Protocol):
    """The part of TensorBoard's writer that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point to a curve."""

    def close(self) -> None:
        """Write out everything."""


def tensorboard_writer(folder: Path, step: int) -> ScalarWriter:
    """Open TensorBoard's event files in ``folder``; points after ``step`` that an earlier run left are hidden.

    Raises RecipeError if TensorBoard isn't installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError(
            "tensorboard is asked for but not installed: pip install tensorboard, or leave it out"
        ) from error
    writer: ScalarWriter = SummaryWriter(str(folder), purge_step=step + 1)
    return writer


def write_scalars(writer: ScalarWriter, record: Mapping[str, Any]) -> None:
    """Add every number of a record of the learning curve, nested ones as ``outer/inner``."""
    step = record["step"]

    def add(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                add(f"{prefix}{name}/", value)
            elif isinstance(value, int | float) and name != "step":
                writer.add_scalar(f"{prefix}{name}", value, step)

    add("", record)
