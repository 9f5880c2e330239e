# SPDX-License-Identifier: Apache-2.0
"""For all tests: hypothesis judges results and not how busy the machine is, and SIGINT is not ignored."""

import signal

from hypothesis import settings

settings.register_profile("segmif", deadline=None)
settings.load_profile("segmif")

# A shell starts background jobs with SIGINT ignored, and programs that tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
