# SPDX-License-Identifier: Apache-2.0
"""End with the process that started this one.

`ros2 launch` ends on SIGTERM without ending what it started. The launch files therefore start our executables with
``--exit-with-parent``, and Linux then sends these SIGTERM when launch is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

OPTION = "--exit-with-parent"
_PR_SET_PDEATHSIG = 1  # prctl(2)


def exit_with_parent_on_request(arguments: Sequence[str] | None = None) -> bool:
    """Ask the kernel for SIGTERM at the parent's end if `OPTION` is among the arguments.

    Args:
        arguments: The command line without the program's name; ``sys.argv[1:]`` if None.

    Returns:
        Whether it was asked for and Linux could be asked.
    """
    if OPTION not in (sys.argv[1:] if arguments is None else arguments) or sys.platform != "linux":
        return False
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), signal.SIGTERM)
    return True
