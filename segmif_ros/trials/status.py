# SPDX-License-Identifier: Apache-2.0
"""`segmif status`: a running node in one screen: inputs, rates, drops by reason, ages and problems."""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from segmif_ros.command_line import DONE, FAILED
from segmif_ros.trials.live import Listener, Tracked, as_json, screen

_HOME_AND_CLEAR = "\x1b[H\x1b[J"


class NoNodeError(RuntimeError):
    """No node was heard of; ``exit_status`` is that of a failure."""

    exit_status = FAILED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif status`."""
    parser.add_argument("--watch", action="store_true", help="show it again every second, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print one JSON object a node instead")
    parser.add_argument("--node", help="only this node, such as front/segmif_node (default: all)")
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="longest wait for a node (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the state of the nodes.

    Returns:
        0 if every node reports OK, 1 if one reports a problem.

    Raises:
        NoNodeError: If none was heard of in time.
    """
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    context = rclpy.context.Context()
    rclpy.init(args=[], context=context)
    try:
        node = Node("segmif_status", context=context, enable_rosout=False, start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        listener = Listener(node, time.monotonic)
        seen = _wait(listener, executor, options)
        while True:
            images = listener.image_topics()
            if options.json:
                text = "\n".join(json.dumps(as_json(each, images)) for each in seen)
            else:
                now_s = time.monotonic()
                text = "\n\n".join("\n".join(screen(each, images, now_s)) for each in seen)
            print(f"{_HOME_AND_CLEAR}{text}" if options.watch and not options.json else text, flush=True)
            if not options.watch:
                return DONE if all(each.now.level == "OK" for each in seen) else FAILED
            until_s = time.monotonic() + 1.0
            while time.monotonic() < until_s:
                executor.spin_once(timeout_sec=0.1)
            seen = _chosen(listener, options.node) or seen
    finally:
        rclpy.try_shutdown(context=context)


def _wait(listener: Listener, executor: Any, options: argparse.Namespace) -> list[Tracked]:
    """Wait until every node was heard of twice, so that rates are known, or for as long as was asked."""
    until_s = time.monotonic() + options.timeout
    while time.monotonic() < until_s:
        executor.spin_once(timeout_sec=0.1)
        seen = _chosen(listener, options.node)
        if seen and all(each.before is not None for each in seen):
            return seen
    if seen := _chosen(listener, options.node):
        return seen
    wanted = f"node '{options.node}'" if options.node else "segmif_node"
    others = ", ".join(each.now.node for each in listener.seen())
    found = f"nodes that report: {others}" if others else "no node reports on /diagnostics"
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    raise NoNodeError(
        f"no {wanted} within {options.timeout:g} s on ROS domain {domain}: {found}; is it started, and in this domain?"
    )


def _chosen(listener: Listener, name: str | None) -> list[Tracked]:
    seen = listener.seen()
    return seen if name is None else [each for each in seen if each.now.node == name.lstrip("/")]
