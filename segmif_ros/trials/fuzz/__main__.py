# SPDX-License-Identifier: Apache-2.0
"""Throw damaged inputs at the readers: ``python -m segmif_ros.trials.fuzz KIND --count N --seed S``.

Prints how many inputs were taken, how many were refused in one line, and every exception that no reader should raise,
with the first input that raises it. The same seed makes the same inputs. The exit status is 1 if there was one.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from segmif_ros.command_line import DONE, FAILED, run_module
from segmif_ros.trials.fuzz.tally import Tally

# kind -> what it throws at which reader, and how many make a full run
KINDS = {
    "images": ("raw and compressed images of every encoding at conversion, gain, crop and time offset", 40_000),
    "yaml": ("calibrations, cameras, label sets, params files and recipes at their readers", 6_000),
    "camera_info": ("camera_info at the camera model, the stereo extrinsics and the registration", 3_000),
    "weights": ("PyTorch and safetensors files at the checkpoint reader", 3_000),
    "bags": ("bags of every storage and compression at the export of a data set", 600),
}


def run_kind(kind: str, count: int, seed: int, keep: Path | None = None) -> Tally:
    """Throw ``count`` inputs of a kind, made from ``seed``; files that raise something go to ``keep``."""
    tally = Tally(keep)

    importlib.import_module(f"segmif_ros.trials.fuzz.fuzz_{kind}").run(tally, count, seed)
    return tally


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is thrown at the readers."""
    kinds = "\n".join(f"  {kind:12} {what}; {count} make a full run" for kind, (what, count) in KINDS.items())
    parser.description = f"Throw damaged inputs at the readers.\n\n{kinds}"
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, help="inputs (default: a full run)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write the first input of each unexpected kind here"
    )


def run(options: argparse.Namespace) -> int:
    """Run one kind, and print its counts."""
    count = KINDS[options.kind][1] if options.count is None else options.count
    tally = run_kind(options.kind, count, options.seed, options.keep)
    print(f"{options.kind}: {count} inputs from seed {options.seed}")
    print(tally.text())
    return FAILED if tally.unexpected else DONE


if __name__ == "__main__":
    sys.exit(run_module("segmif_ros.trials.fuzz", None, add_arguments, run))
