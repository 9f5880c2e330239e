# SPDX-License-Identifier: Apache-2.0
"""ROS domains for processes that shall talk to each other alone, on this machine."""

from __future__ import annotations

import os
import random
import socket

# Linux takes ports from 32768 on for itself, which DDS reaches at domain 102
_DOMAINS = range(1, 102)


def free_domain() -> int:
    """Return a ROS domain id that no DDS process of this machine uses, as far as its ports tell."""
    candidates = random.sample(_DOMAINS, len(_DOMAINS))
    for domain in candidates:
        # the port on which the first participant of a domain on a host listens (DDSI-RTPS 9.6.1.1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7400 + 250 * domain + 10))
            except OSError:
                continue
        return domain
    return candidates[0]


def local_environment(domain: int) -> dict[str, str]:
    """Return what an environment needs for ROS to stay on this machine and on ``domain``."""
    # Humble knows only the older variable, later distributions warn about it
    local = {"ROS_LOCALHOST_ONLY": "1"} if os.environ.get("ROS_DISTRO") == "humble" else {}
    return {**(local or {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}), "ROS_DOMAIN_ID": str(domain)}
