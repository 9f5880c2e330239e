# SPDX-License-Identifier: Apache-2.0
"""Settings that several nodes have."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.settings import setting

DEPTH_SOURCES = ("image", "points")
TURN_SOURCES = ("none", "tf", "topic")


@dataclass(frozen=True, kw_only=True)
class QosConfig:
    """Quality of service of some topics."""

    reliability: str = setting(
        "best_effort",
        "QoS of {what}. A best_effort subscription receives from every publisher, a reliable one only from reliable "
        "ones; a reliable publisher suits every subscription.",
        choices=("best_effort", "reliable"),
    )
    depth: int = setting(5, "Queue depth of {what}.", minimum=1, maximum=1000)


@dataclass(frozen=True, kw_only=True)
class LifeConfig:
    """How a lifecycle node starts and reports."""

    autostart: bool = setting(True, "Configure and activate at start; false waits for lifecycle transitions.")
    diagnostics_period_s: float = setting(
        1.0, "Time between two messages on /diagnostics in seconds.", minimum=0.05, maximum=60.0
    )
