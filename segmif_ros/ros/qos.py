# SPDX-License-Identifier: Apache-2.0
"""Quality of service: profiles by name, overrides, and mismatches in words."""

from __future__ import annotations

from rclpy.duration import Duration, Infinite
from rclpy.qos import QoSCompatibility, QoSPolicyKind, QoSProfile, QoSReliabilityPolicy, qos_check_compatible
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# A mismatch is found by looking at who is there, which also sees its end; rclpy's own lines would come on top.
SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)
PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)


def profile(reliability: str, depth: int) -> QoSProfile:
    """Return a new volatile keep-last profile.

    Args:
        reliability: "best_effort" or "reliable".
        depth: How many messages wait at most.
    """
    return QoSProfile(depth=depth, reliability=QoSReliabilityPolicy[reliability.upper()])


def overridable() -> QoSOverridingOptions:
    """Return rclpy's ``qos_overrides`` for what is worth overriding."""
    kinds = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
    return QoSOverridingOptions(policy_kinds=kinds)


def mismatch(publisher: QoSProfile, subscription: QoSProfile) -> str:
    """Return in one line why a publisher and a subscription don't match; empty if they do.

    Args:
        publisher: Its profile.
        subscription: Likewise.
    """
    compatibility, reason = qos_check_compatible(_comparable(publisher), _comparable(subscription))
    if compatibility != QoSCompatibility.ERROR:
        return ""
    return "; ".join(each.removeprefix("ERROR: ").strip() for each in reason.split(";") if each.strip())


def _comparable(qos: QoSProfile) -> QoSProfile:
    """Return what matching depends on; a duration that was never set reads 0 locally, but infinite at a remote end."""
    durations = {
        name: Duration() if getattr(qos, name) == Infinite else getattr(qos, name)
        for name in ("deadline", "liveliness_lease_duration")
    }
    return QoSProfile(
        depth=1, reliability=qos.reliability, durability=qos.durability, liveliness=qos.liveliness, **durations
    )
