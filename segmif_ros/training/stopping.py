# SPDX-License-Identifier: Apache-2.0
"""Ending a run on Ctrl-C or SIGTERM with its state saved."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"


class TrainingStopped(Exception):  # noqa: N818 - an end that was asked for is no error
    """A run was ended by a signal, its state is saved.

    Attributes:
        status: Exit status of the command, 128 + the signal's number.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped at step {step} by {signal.Signals(signal_number).name}; state saved")
        self.status = 128 + signal_number


class StopRequest:
    """While entered, notes the first SIGINT or SIGTERM instead of ending; a second one ends the process at once.

    Outside the main thread, where Python allows no handlers, signals keep their effect.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[int, Any] = {}
        self._owner = os.getpid()

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # a process that prepares data and has not come to ignoring signals yet, see `batches`
        self.signal_number = number
        for each in _SIGNALS:
            # not a handler of Python's: those wait until the present operation ends
            signal.signal(each, signal.SIG_DFL)
        # written directly: a signal may come in the middle of a print; the bar would leave its cursor hidden
        cursor = _SHOW_CURSOR if os.isatty(2) else b""
        os.write(2, cursor + b"\nstopping after this step with the state saved; once more ends at once\n")
