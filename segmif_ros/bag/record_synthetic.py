# SPDX-License-Identifier: Apache-2.0
"""`segmif record-synthetic`: a bag of synthetic road scenes with exact labels, made without ROS."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmif_ros.bag.drive_writing import write_drive
from segmif_ros.bag.messages import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    camera_info_message,
    compressed_message,
    image_message,
)
from segmif_ros.bag.reading import INFRARED_TOPIC, RGB_TOPIC
from segmif_ros.bag.writing import STORAGES, BagWriter, new_bag
from segmif_ros.reporting.progress import progress_bar
from segmif_ros.scenes import LIGHTINGS, RoadScene
from segmif_ros.scenes.drive import Drive
from segmif_ros.scenes.faults import Fault, FaultInjector, parse_faults
from segmif_ros.settings import check, setting
from segmif_ros.settings.options import add_options, from_options

LABELS_TOPIC = "/rig/labels"  # where the simulated rig publishes them
# stamps start at a round time well after 0, which some tools take for "no stamp"
START_NS = 1_700_000_000_000_000_000
_LATENCY_NS = 3_000_000  # between stamp and recording


@dataclass(frozen=True, kw_only=True)
class RecordConfig:
    """What to record. Frames of a drive have known poses and exact ground; ``faults`` are the cameras'."""

    frames: int = setting(100, "Pairs.", minimum=1)
    rate_hz: float = setting(10.0, "Pairs per second.", minimum=0.001)
    seed: int = setting(0, "Seed of the scene.", minimum=0)
    width: int = setting(320, "Columns and rows of the images.", minimum=16, maximum=8192)
    height: int = setting(240, "Rows of the images.", minimum=16, maximum=8192)
    lighting: str = setting("any", "Light of the scene.", choices=(*LIGHTINGS, "any"))
    infrared_delay_s: float = setting(0.004, "Seconds by which the infrared stamps are later than RGB's.")
    storage: str = setting("mcap", "Format of the bag.", choices=tuple(sorted(STORAGES)))
    compressed: bool = setting(False, "Whether RGB is jpeg and infrared 16-bit png, on /compressed topics.")
    overwrite: bool = setting(False, "Whether the files of a bag that is there are replaced.")
    drive: bool = setting(
        False, "Whether it is a drive along a straight, level street, with poses on odom and tf, and exact ground."
    )
    labels: bool = True
    faults: tuple[Fault, ...] = ()


def record(path: Path, config: RecordConfig) -> None:
    """Write the bag; BagError, SceneError or SettingError say what is wrong."""
    check(config)
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
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag to write")
    add_options(parser, RecordConfig)
    parser.add_argument(
        "--fault", action="append", default=[], metavar="CAMERA:KIND@START+DURATION", help="as those of segmif rig"
    )
    parser.add_argument("--no-labels", action="store_true", help="without the topic of the ground truth")


def run(arguments: argparse.Namespace) -> int:
    """Run `segmif record-synthetic`."""
    faults = parse_faults(",".join(arguments.fault))
    config = from_options(arguments, RecordConfig(labels=not arguments.no_labels, faults=faults))
    record(arguments.bag, config)
    print(f"{config.frames} pairs in {arguments.bag}")
    return 0
