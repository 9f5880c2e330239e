# SPDX-License-Identifier: Apache-2.0
"""`segmif view`: inputs, outputs and the state of a running node as a live page in a browser on this machine."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.grid.drawing import draw_cost
from segmif_ros.grid.evidence import Square
from segmif_ros.imaging.encodings import EncodingError, ImageBuffer, to_infrared, to_rgb
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.imaging.overlay import draw_confidence
from segmif_ros.trials.live import Listener, Tracked, screen
from segmif_ros.trials.view_server import ADDRESS, LegendClass, LivePicture, LiveView, serve

# panel -> title, topic of the node where its status doesn't name another
PANELS = {
    "infrared": ("infrared", "infrared/image_raw"),
    "rgb": ("RGB", "rgb/image_raw"),
    "fused": ("fused", "fused/image"),
    "overlay": ("classes over the fused image", "segmentation/overlay"),
    "confidence": ("confidence: dark is unsure", "segmentation/confidence"),
}
GRID = "grid", "ground seen from above: light is free, red is lethal, dark is unknown"  # only where grid_node runs
_REPORT_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif view`."""
    parser.add_argument("--port", type=int, default=8760, help="on this machine alone; 0: a free one (%(default)s)")
    parser.add_argument("--node", help="which node, such as front/segmif_node (default: the first that reports)")
    parser.add_argument("--points", type=Path, metavar="FILE", help="where points picked on the page go (YAML)")
    parser.add_argument("--seconds", type=float, default=0.0, help="end after so long (default: at Ctrl-C)")


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; return 0."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    titles = {**{name: title for name, (title, _) in PANELS.items()}, GRID[0]: GRID[1]}
    view = LiveView(titles, time.monotonic, options.points, hidden_while_empty=(GRID[0],))
    server = serve(view, options.port)
    context = rclpy.context.Context()
    rclpy.init(args=[], context=context)
    try:
        node = Node("segmif_view", context=context, enable_rosout=False, start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        topics = _Topics(node, view)
        listener = Listener(node, time.monotonic)
        print(f"http://{ADDRESS}:{server.server_address[1]}/   (Ctrl-C ends it)", flush=True)
        began_s, next_s = time.monotonic(), 0.0
        while not options.seconds or time.monotonic() - began_s < options.seconds:
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + _REPORT_S
                _report(view, listener, topics, options.node)
    except KeyboardInterrupt:
        pass  # the usual way to end it
    finally:
        server.shutdown()
        rclpy.try_shutdown(context=context)
    return 0


def _report(view: LiveView, listener: Listener, topics: _Topics, name: str | None) -> None:
    found = [each for each in listener.seen() if name is None or each.now.node == name.lstrip("/")]
    images = listener.image_topics()
    if found:
        topics.follow(found[0])
        view.report(found[0].now.level, screen(found[0], images, time.monotonic()))
    else:
        wanted = f"node '{name}'" if name else "segmif_node"
        view.report("", [f"no {wanted} reports on /diagnostics", f"image topics: {', '.join(images) or 'none'}"])


class _Topics:
    """The subscriptions of the view: to the topics of the node that is shown."""

    def __init__(self, node: Any, view: LiveView) -> None:
        self._node = node
        self._view = view
        self._gain = ThermalGain(GainConfig())
        self._subscribed: dict[str, tuple[str, Any]] = {}

    def follow(self, seen: Tracked) -> None:
        """Subscribe to the node's topics, and again where one has changed."""
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image as ImageMessage

        namespace = seen.now.node.rpartition("/")[0]
        prefix = f"/{namespace}/" if namespace else "/"
        for name, (_, default) in PANELS.items():
            topic = seen.now.values.get(f"topic_{name}", prefix + default)
            self._subscribe(name, topic, ImageMessage, partial(self._take, name), qos_profile_sensor_data)
        with suppress(ImportError):  # where nav_msgs isn't installed, no grid_node runs either
            from nav_msgs.msg import OccupancyGrid

            self._subscribe("grid", f"{prefix}grid/cost", OccupancyGrid, self._take_grid, qos_profile_sensor_data)
        from segmif_ros.ros.messages import semantic_map_type

        message_type, _ = semantic_map_type()
        if message_type is not None and "classes" not in self._subscribed:
            topic = seen.now.values.get("topic_semantic_map", f"{prefix}segmentation/semantic_map")
            self._subscribe("classes", topic, message_type, self._take_classes, qos_profile_sensor_data)

    def _subscribe(self, name: str, topic: str, kind: Any, callback: Callable[[Any], None], qos: Any) -> None:
        before, subscription = self._subscribed.get(name, ("", None))
        if before == topic:
            return
        if subscription is not None:
            self._node.destroy_subscription(subscription)
        self._subscribed[name] = topic, self._node.create_subscription(kind, topic, callback, qos)

    def _take(self, name: str, message: Any) -> None:
        from segmif_ros.ros.messages import image_buffer, stamp_ns

        stamp = stamp_ns(message.header)
        draw = partial(drawn, name, image_buffer(message), stamp, self._gain)
        now_s = time.monotonic()
        self._view.show(name, LivePicture(stamp=f"{stamp}-{now_s:.3f}", arrived_s=now_s, draw=draw))

    def _take_grid(self, message: Any) -> None:
        from segmif_ros.ros.messages import stamp_ns

        info, now_s = message.info, time.monotonic()
        cost = np.asarray(message.data, np.int8).reshape(info.height, info.width)
        corner = info.origin.position
        square = Square(x_m=corner.x, y_m=corner.y, cell_m=info.resolution, cells=info.width)
        draw = partial(draw_cost, cost, square, stamp_ns(message.header))
        self._view.show("grid", LivePicture(stamp=f"{now_s:.3f}", arrived_s=now_s, draw=draw))

    def _take_classes(self, message: Any) -> None:
        self._view.use_classes([LegendClass(each.name, (each.r, each.g, each.b)) for each in message.classes])
        # the legend is known now, and the message is the largest of all
        _, subscription = self._subscribed["classes"]
        self._node.destroy_subscription(subscription)
        self._subscribed["classes"] = "known", None


def drawn(name: str, image: ImageBuffer, stamp_ns: int, gain: ThermalGain) -> Image:
    """Return an image of a panel as a browser can show it.

    Args:
        name: Of the panel; infrared goes through the gain, confidence through a colour map.
        image: As it came.
        stamp_ns: Its stamp.
        gain: Of the infrared panel.

    Returns:
        (H, W) or (H, W, 3) RGB uint8; a grey card with the reason for an encoding that can't be shown.
    """
    try:
        if name == "infrared":
            return gain.apply(to_infrared(image), stamp_ns)
        if name == "confidence":
            return draw_confidence(to_infrared(image))
        return to_rgb(image)
    except EncodingError as error:
        card = np.full((240, 320, 3), 128, np.uint8)
        for row, start in enumerate(range(0, min(len(str(error)), 240), 40)):
            text = str(error)[start : start + 40]
            cv2.putText(card, text, (8, 24 + 20 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
        return card
