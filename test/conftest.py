# SPDX-License-Identifier: Apache-2.0
"""For all tests: hypothesis judges results and not how busy the machine is, and SIGINT is not ignored."""

import os
import signal
import sys

import pytest
from hypothesis import settings

settings.register_profile("segmif", deadline=None)
settings.load_profile("segmif")

# A shell starts background jobs with SIGINT ignored, and programs that tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_status = 0


def pytest_sessionfinish(exitstatus):
    """Remember how the tests went."""
    global _status  # noqa: PLW0603
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    """End here, with all said: native threads of the runtimes that tests load can hold up the interpreter's own end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status)
