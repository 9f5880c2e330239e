# SPDX-License-Identifier: Apache-2.0
"""What the node itself costs: age and rate with an engine that only sleeps, beside what is possible at best.

$ python -m segmif_ros.trials.overhead

This process publishes pairs (mono16 and rgb8) over DDS and listens to fused image, mask and confidence; the
node is another process. Age is the time from before the RGB image is published to when its mask is here. The best that
is possible is simulated: the same arrivals, the newest pair whenever the engine is free, and nothing else takes time.
"cpu" is the node's CPU time in milliseconds for each pair that was published, DDS and output included.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from segmif_ros.command_line import run_module
from segmif_ros.reporting.numbers import percentiles
from segmif_ros.settings import part, setting
from segmif_ros.settings.options import from_options
from segmif_ros.stream.single_camera import POLICIES
from segmif_ros.trials.live import listen
from segmif_ros.trials.measuring import CameraSettings, add_measuring_options, initialised, use_domain
from segmif_ros.trials.processes import TIMED_NODE, cpu_s, ros_arguments, running

NS_PER_S = 1_000_000_000
_DISCOVERY_S = 2.0
_STAGES = ("decode", "gain", "publish")


@dataclass(frozen=True, kw_only=True)
class OverheadConfig:
    """How long is measured, and with which cameras."""

    seconds: float = setting(20.0, "How long, for each engine.", minimum=0.1)
    single_camera: str = setting("continue", "As the node's parameter: none leaves out the health.", choices=POLICIES)
    cameras: CameraSettings = part(CameraSettings)


@dataclass(frozen=True, kw_only=True)
class OverheadFigures:
    """What was measured.

    Attributes:
        rate_hz: Of outputs.
        age_ms: Its percentiles.
        cpu_ms: CPU time of the node for each pair that was published.
        stage_ms: The node's own stages, medians.
    """

    rate_hz: float
    age_ms: tuple[float, ...]
    cpu_ms: float = 0.0
    stage_ms: dict[str, float] = field(default_factory=dict)


def figures(ages_ns: Sequence[int], span_s: float) -> OverheadFigures:
    """Sum up the ages of the outputs that came within ``span_s``; all NaN without an output."""
    found = percentiles([1e-6 * each for each in ages_ns])
    age_ms = tuple(np.nan if (value := found[end]) is None else value for end in ("p50", "p95", "p99"))
    return OverheadFigures(rate_hz=len(ages_ns) / span_s, age_ms=age_ms)


def ideal(rate_hz: float, infer_ms: float, seconds: float) -> OverheadFigures:
    """Simulate an engine that always takes the newest pair and costs nothing but its own time."""
    period_ns, infer_ns = round(NS_PER_S / rate_hz), round(1e6 * infer_ms)
    count = round(seconds * rate_hz)
    ages_ns, free_ns, newest = [], 0, -1
    while newest < count - 1:
        # the newest pair that is there when the engine gets free, or the next one as it comes
        newest = max(newest + 1, min(free_ns // period_ns, count - 1))
        free_ns = max(free_ns, newest * period_ns) + infer_ns
        ages_ns.append(free_ns - newest * period_ns)
    return figures(ages_ns, seconds)


# --- the node --------------------------------------------------------------------------------------------------------


def measure_node(infer_ms: float, config: OverheadConfig) -> OverheadFigures:
    """Start the node with an engine of this time and return what comes out of it."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    from segmif_ros.ros.messages import image_message, make_header, stamp_ns

    random = np.random.default_rng(0)
    infrared = random.integers(0, 16384, (config.cameras.height, config.cameras.width), np.uint16)
    rgb = random.integers(0, 256, (config.cameras.height, config.cameras.width, 3), np.uint8)
    offered: dict[int, int] = {}
    arrivals: list[tuple[int, int]] = []
    stop = threading.Event()
    command = [*TIMED_NODE, "--infer-ms", f"{infer_ms:g}", *ros_arguments(single_camera=config.single_camera)]
    command += ["--log-level", "error"]
    context = rclpy.context.Context()
    with initialised(context), running(command) as (process,):
        node = Node("overhead", context=context)
        cameras = [
            (node.create_publisher(Image, f"{camera}/image_raw", qos_profile_sensor_data), image, encoding)
            for camera, image, encoding in (("infrared", infrared, "mono16"), ("rgb", rgb, "rgb8"))
        ]

        def arrived(mask: Image) -> None:
            arrivals.append((stamp_ns(mask.header), time.monotonic_ns()))

        node.create_subscription(Image, "segmentation/mask", arrived, qos_profile_sensor_data)
        for topic in ("fused/image", "segmentation/confidence"):
            node.create_subscription(Image, topic, lambda _serialized: None, qos_profile_sensor_data, raw=True)
        values: dict[str, str] = {}
        listen(node, lambda status: values.update(status.values))
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)

        def publish() -> None:
            period_ns = round(NS_PER_S / config.cameras.rate_hz)
            due_ns = time.monotonic_ns()
            while not stop.is_set():
                now_ns = time.time_ns()
                header = make_header(now_ns, "camera")
                for _, image, _ in cameras:  # a picture that stands still would be a fault
                    image[:, 0] = len(offered) % 251
                messages = [image_message(image, encoding, header) for _, image, encoding in cameras]
                offered[now_ns] = time.monotonic_ns()
                for (publisher, _, _), message in zip(cameras, messages, strict=True):
                    publisher.publish(message)
                due_ns += period_ns
                time.sleep(max(0, due_ns - time.monotonic_ns()) * 1e-9)

        while not all(publisher.get_subscription_count() for publisher, _, _ in cameras):
            executor.spin_once(timeout_sec=0.1)
        camera = threading.Thread(target=publish)
        camera.start()
        try:
            while not arrivals:
                executor.spin_once(timeout_sec=0.1)
            begin_ns = time.monotonic_ns() + round(_DISCOVERY_S * NS_PER_S)
            end_ns = begin_ns + round(config.seconds * NS_PER_S)
            while time.monotonic_ns() < begin_ns:
                executor.spin_once(timeout_sec=0.1)
            began_s, before = cpu_s(process.pid), len(offered)
            while time.monotonic_ns() < end_ns:
                executor.spin_once(timeout_sec=0.1)
            cpu_ms = 1e3 * (cpu_s(process.pid) - began_s) / max(1, len(offered) - before)
        finally:
            stop.set()
            camera.join()
        executor.shutdown()
        node.destroy_node()
    counted = [(sent_ns, at_ns) for sent_ns, at_ns in arrivals if begin_ns <= at_ns < end_ns]
    ages_ns = [at_ns - offered[sent_ns] for sent_ns, at_ns in counted if sent_ns in offered]
    stage_ms = {stage: float(values.get(f"stage_{stage}_ms_p50", "nan")) for stage in _STAGES}
    return replace(figures(ages_ns, config.seconds), cpu_ms=cpu_ms, stage_ms=stage_ms)


def row(infer_ms: float, best: OverheadFigures, found: OverheadFigures) -> str:
    """Return a line of the table."""
    ages = "  ".join(f"{mine:6.1f} ({possible:6.1f})" for mine, possible in zip(found.age_ms, best.age_ms, strict=True))
    over = found.age_ms[0] - best.age_ms[0]
    costs = "  ".join(f"{each:7.1f}" for each in (found.cpu_ms, *found.stage_ms.values()))
    return f"{infer_ms:9.0f}  {found.rate_hz:5.1f} ({best.rate_hz:5.1f})  {ages}  {over:8.1f}  {costs}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the engines' times, and the cameras."""
    parser.add_argument("--infer-ms", type=float, nargs="+", default=[0.0, 20.0, 50.0, 100.0], help="engines' times")
    add_measuring_options(parser, OverheadConfig)


def run(options: argparse.Namespace) -> int:
    """Measure and print a line for each engine."""
    config = from_options(options, OverheadConfig())
    cameras = config.cameras
    use_domain(options.domain)
    print(f"{cameras.width}x{cameras.height} at {cameras.rate_hz:g} Hz; in brackets the best that is possible")
    print(
        f"{'engine ms':>9}  {'rate Hz':^13}  {'age p50 ms':^15}  {'age p95 ms':^15}  {'age p99 ms':^15}"
        f"  {'p50 over':>8}  {'cpu':>7}  {'decode':>7}  {'gain':>7}  {'publish':>7}"
    )
    for infer_ms in options.infer_ms:
        best = ideal(cameras.rate_hz, infer_ms, config.seconds)
        print(row(infer_ms, best, measure_node(infer_ms, config)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.overhead", __doc__, add_arguments, run))
