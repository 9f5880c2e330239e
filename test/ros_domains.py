# SPDX-License-Identifier: Apache-2.0
"""ROS domains of this test run, which no other test run on this machine has meanwhile."""

import os
import socket

_LAST = 101  # Linux takes ports from 32768 on for itself, which DDS reaches at domain 102
_taken: list[socket.socket] = []


def take_domain() -> int:
    """Return a domain id that is this process's until it ends."""
    for step in range(_LAST):
        domain = 1 + (os.getpid() + step) % _LAST
        # a name in Linux's abstract namespace: one process has it at a time, and the kernel frees it at its end
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0segmif_ros-test-domain-{domain}")
        except OSError:
            claim.close()
            continue
        if _silent(domain):
            _taken.append(claim)
            return domain
        claim.close()
    raise RuntimeError("all ROS domains are in use: is something left running from other tests?")


def _silent(domain: int) -> bool:
    """Whether no DDS process listens where the first participant of a domain does (DDSI-RTPS 9.6.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7400 + 250 * domain + 10))
        except OSError:
            return False
    return True
