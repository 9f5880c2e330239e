# SPDX-License-Identifier: Apache-2.0
"""glibc's allocator, set to keep large blocks.

A forward pass on a CPU allocates and frees hundreds of large buffers. By default glibc gives each back to the kernel
and asks for it again, page fault by page fault; that can take longer than the arithmetic.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_TOP_PAD_BYTES = 256 << 20


def keep_large_blocks() -> bool:
    """Keep freed blocks in the process from now on; True if the C library took it.

    Call it before the first large allocation. It costs address space and some peak memory, and does nothing where the
    C library isn't glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl and others
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    mallopt.restype = ctypes.c_int
    return all(
        mallopt(option, value) == 1
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _TOP_PAD_BYTES))
    )
