# SPDX-License-Identifier: Apache-2.0
"""`segmif record-synthetic`: a bag of synthetic road scenes with exact labels, made without ROS."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmif_ros.bag.drive import write_drive
from segmif_ros.bag.messages import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    camera_info_message,
    compressed_message,
    image_message,
)
from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC, BagError
from segmif_ros.bag.writing import STORAGES, BagWriter, new_bag
from segmif_ros.command_line import parse_size
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.scenes import LIGHTINGS, RoadScene
from segmif_ros.scenes.drive import Drive
from segmif_ros.scenes.faults import Fault, FaultInjector, parse_faults

LABELS_TOPIC = "/rig/labels"  # where the simulated rig publishes them
# stamps start at a round time well after 0, which some tools take for "no stamp"
START_NS = 1_700_000_000_000_000_000
_LATENCY_NS = 3_000_000  # between stamp and recording


@dataclass(frozen=True, kw_only=True)
class RecordConfig:
    """What to record.

    Attributes:
        frames: Pairs.
        rate_hz: Pairs a second.
        seed: Of the scene.
        height: Rows.
        width: Columns.
        lighting: "day", "dusk", "night" or "any".
        infrared_delay_s: How much later than RGB the infrared stamps are.
        storage: "mcap" or "sqlite3".
        compressed: Record RGB as jpeg and infrared as 16-bit png, on /compressed topics.
        labels: Record the labels too.
        overwrite: Replace the files of a bag that is there.
        drive: Record a drive with known poses along a straight, level street, and its exact ground.
        faults: Of the cameras.
    """

    frames: int = 100
    rate_hz: float = 10.0
    seed: int = 0
    height: int = 240
    width: int = 320
    lighting: str = "any"
    infrared_delay_s: float = 0.004
    storage: str = "mcap"
    compressed: bool = False
    labels: bool = True
    overwrite: bool = False
    drive: bool = False
    faults: tuple[Fault, ...] = ()


def record(path: Path, config: RecordConfig) -> None:
    """Write the bag; BagError or SceneError say what doesn't go."""
    if config.frames < 1 or not config.rate_hz > 0:
        raise BagError(f"{config.frames} frames at {config.rate_hz:g} Hz make no bag: give at least 1 and a rate")
    size = config.height, config.width
    make = Drive if config.drive else RoadScene
    scene = make(config.seed, *size, lighting=config.lighting)
    injector = FaultInjector(config.faults, config.seed)
    with (
        new_bag(path, config.storage, compress=True, overwrite=config.overwrite) as bag,
        progress_bar(f"recording {path.name}", config.frames) as advance,
    ):
        for i in range(config.frames):
            _write_frame(bag, scene, i, config, injector)
            advance(1)


def _write_frame(
    bag: BagWriter, scene: RoadScene | Drive, i: int, config: RecordConfig, injector: FaultInjector
) -> None:
    t_ns = round(1e9 * i / config.rate_hz)
    frame = scene.frame(1e-9 * t_ns)
    rgb_ns = START_NS + t_ns
    infrared_ns = rgb_ns + round(1e9 * config.infrared_delay_s)
    images: list[tuple[str, str, str, np.ndarray, int]] = [
        (RGB_TOPIC, "rgb8", "jpeg", frame.rgb, rgb_ns),
        (INFRARED_TOPIC, "mono16", "png", frame.infrared, infrared_ns),
    ]
    for topic, encoding, kind, image, stamp_ns in images:
        camera = topic.split("/")[1]
        frame_id = f"{camera}_optical_frame"
        recorded_ns = stamp_ns + _LATENCY_NS
        picture = injector.picture(camera, t_ns, image)
        if picture is None:
            continue
        image, stamp_ns = picture, injector.stamp_ns(camera, t_ns, stamp_ns)
        info = camera_info_message(config.height, config.width, _intrinsics(scene), stamp_ns, frame_id)
        bag.write(topic.replace("image_raw", "camera_info"), CAMERA_INFO, recorded_ns, info)
        if config.compressed:
            raw = compressed_message(image, encoding, kind, stamp_ns, frame_id)
            bag.write(f"{topic}/compressed", COMPRESSED, recorded_ns, raw)
        else:
            bag.write(topic, IMAGE, recorded_ns, image_message(image, encoding, stamp_ns, frame_id))
    if isinstance(scene, Drive):
        write_drive(bag, scene, 1e-9 * t_ns, rgb_ns, rgb_ns + _LATENCY_NS)
    if config.labels:
        raw = image_message(frame.labels, "mono8", rgb_ns, "rgb_optical_frame")
        bag.write(LABELS_TOPIC, IMAGE, rgb_ns + _LATENCY_NS, raw)


def _intrinsics(scene: RoadScene | Drive) -> np.ndarray:
    """Return (3, 3) in pixels; the axis of a `RoadScene` is taken to be in the middle."""
    if isinstance(scene, Drive):
        return scene.K
    f, u, v = scene.focal_px, (scene.width - 1) / 2, (scene.height - 1) / 2
    return np.array([[f, 0, u], [0, f, v], [0, 0, 1]])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `segmif record-synthetic`."""
    default = RecordConfig()
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag to write")
    parser.add_argument("--frames", type=int, default=default.frames, help="pairs (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=default.rate_hz, help="pairs a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument(
        "--size", default=f"{default.width}x{default.height}", metavar="WIDTHxHEIGHT", help="default: %(default)s"
    )
    parser.add_argument("--lighting", default=default.lighting, choices=(*LIGHTINGS, "any"))
    parser.add_argument("--infrared-delay", type=float, default=default.infrared_delay_s, help="of its stamps, seconds")
    parser.add_argument("--storage", default=default.storage, choices=sorted(STORAGES))
    parser.add_argument("--compressed", action="store_true", help="jpeg and 16-bit png instead of raw images")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of a bag that is there")
    parser.add_argument(
        "--drive", action="store_true", help="drive with known poses on odom and tf, with exact ground for --grid"
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="CAMERA:KIND@START+DURATION", help="as those of segmif rig"
    )
    parser.add_argument("--no-labels", action="store_true", help="without the ground truth topic")


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif record-synthetic`."""
    width, height = parse_size(arguments.size)
    record(
        arguments.bag,
        RecordConfig(
            frames=arguments.frames,
            rate_hz=arguments.rate,
            seed=arguments.seed,
            height=height,
            width=width,
            lighting=arguments.lighting,
            infrared_delay_s=arguments.infrared_delay,
            storage=arguments.storage,
            compressed=arguments.compressed,
            labels=not arguments.no_labels,
            overwrite=arguments.overwrite,
            drive=arguments.drive,
            faults=parse_faults(",".join(arguments.fault)),
        ),
    )
    print(f"{arguments.frames} pairs in {arguments.bag}")
    return 0
