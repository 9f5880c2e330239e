# SPDX-License-Identifier: Apache-2.0
"""For all tests: hypothesis judges results and not how busy the machine is, and SIGINT is not ignored."""

import signal

import pytest
from hypothesis import settings

settings.register_profile("segmif", deadline=None)
settings.load_profile("segmif")

# A shell starts background jobs with SIGINT ignored, and programs that tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_OVER_DDS = {"ros_context", "bench", "started", "listener"}


def pytest_collection_modifyitems(items):
    """Mark the tests whose fixtures talk over DDS: `make quick` leaves them out."""
    for each in items:
        if _OVER_DDS & set(getattr(each, "fixturenames", ())):
            each.add_marker(pytest.mark.dds)
