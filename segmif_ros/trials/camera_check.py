# SPDX-License-Identifier: Apache-2.0
"""Show recorded images to the cameras' health check: what it would call them, which for healthy ones is a false alarm.

$ python -m segmif_ros.trials.camera_check DATA/roadscene DATA/videos

Each folder has infrared/ and visible/ with images, shown as one sequence in the order of their names, or with videos,
each of them a sequence. `--rig` shows the frames of the simulated rig under its options instead, and prints a table.
Status 0 if nothing was called a fault, else 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.command_line import run_module
from segmif_ros.data.image_files import IMAGE_SUFFIXES, DatasetError
from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.stream.camera_health import CameraHealth, Condition

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv")
FOLDERS = {"infrared": "infrared", "visible": "rgb"}


def sequences(folder: Path, camera: str) -> Iterator[tuple[str, Iterator[Array]]]:
    """Yield name and images of each sequence of a folder, infrared (H, W), RGB (H, W, 3) in OpenCV's order."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    images = [each for each in files if each.suffix.lower() in IMAGE_SUFFIXES]
    how = cv2.IMREAD_ANYDEPTH if camera == "infrared" else cv2.IMREAD_COLOR
    if images:
        yield folder.parent.name, (read for each in images if (read := cv2.imread(str(each), how)) is not None)
    for each in files:
        if each.suffix.lower() in VIDEO_SUFFIXES:
            yield each.name, _video(each, camera)


def _video(path: Path, camera: str) -> Iterator[Array]:
    capture = cv2.VideoCapture(str(path))
    while True:
        done, image = capture.read()
        if not done:
            return
        yield cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if camera == "infrared" else image


def called(camera: str, images: Iterator[Array], rate_hz: float) -> tuple[Counter[Condition], float]:
    """Return how many frames of a sequence had each condition, and the milliseconds that a look took on average."""
    health, found, took_s, count = CameraHealth(camera), Counter[Condition](), 0.0, 0
    for count, image in enumerate(images, start=1):
        now_ns = round(1e9 * count / rate_hz)
        encoding = "bgr8" if image.ndim == 3 else "mono8" if image.dtype == np.uint8 else "mono16"
        buffer = ImageBuffer(
            encoding=encoding,
            height=image.shape[0],
            width=image.shape[1],
            step=0,
            is_bigendian=False,
            data=image.tobytes(),
        )
        started = time.perf_counter()
        health.sees(buffer, now_ns, now_ns)
        found[health.condition(now_ns)] += 1
        took_s += time.perf_counter() - started
    return found, 1e3 * took_s / max(1, count)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is shown."""
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--rig", action="store_true", help="the simulated rig's options, at 10 and 30 Hz")
    parser.add_argument("--rate", type=float, default=10.0, help="of the frames (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Show all sequences; 1 if one was called a fault."""
    if options.rig:
        if options.folders:
            raise DatasetError("folders and --rig: give one of them")
        from segmif_ros.trials.rig_alarms import print_table

        return 1 if print_table() else 0
    if not options.folders:
        raise DatasetError("nothing to show: give a FOLDER, or --rig")
    seen = faults = 0
    for root in options.folders:
        for name, camera in FOLDERS.items():
            for sequence, images in sequences(root / name, camera):
                found, each_ms = called(camera, images, options.rate)
                seen += sum(found.values())
                faults += sum(count for condition, count in found.items() if condition is not Condition.OK)
                counts = ", ".join(f"{condition.name.lower()} {count}" for condition, count in sorted(found.items()))
                print(f"{camera:9s}{sequence:28s}{counts}  ({each_ms:.2f} ms a frame)", flush=True)
    if not seen:
        raise DatasetError("no image found: each FOLDER has to hold infrared/ and visible/")
    print(f"{seen} frames, {faults} of them called a fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.camera_check", __doc__, add_arguments, run))
