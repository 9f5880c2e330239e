# SPDX-License-Identifier: Apache-2.0
"""ROS domains for processes that shall talk to each other alone, on this machine."""

from __future__ import annotations

import errno
import os
import socket

from segmif_ros.reporting.errors import WorkFailedError

_DOMAINS = range(1, 102)  # Linux takes ports from 32768 on for itself, which DDS reaches at domain 102
_taken: list[socket.socket] = []


def take_domain() -> int:
    """Return a ROS domain id that is this process's, and its children's, until it ends.

    Raises:
        WorkFailedError: If all of them are in use.
    """
    first = os.getpid() % len(_DOMAINS)
    for domain in (*_DOMAINS[first:], *_DOMAINS[:first]):
        # a name in Linux's abstract namespace: one process has it at a time, and the kernel frees it at its end
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0segmif_ros-test-domain-{domain}")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                claim.close()
                continue
        if _silent(domain):
            _taken.append(claim)
            return domain
        claim.close()
    raise WorkFailedError("all ROS domains of this machine are in use: is something left running?")


def _silent(domain: int) -> bool:
    """Whether no DDS process listens where the first participant of a domain does (DDSI-RTPS 9.6.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7400 + 250 * domain + 10))
        except OSError:
            return False
    return True


def local_environment(domain: int) -> dict[str, str]:
    """Return what an environment needs for ROS to stay on this machine and on ``domain``."""
    # Humble knows only the older variable, later distributions warn about it
    local = {"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") == "humble" else {}
    return {**(local or {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}), "ROS_DOMAIN_ID": str(domain)}
