# SPDX-License-Identifier: Apache-2.0
"""camera_info with wrong, missing and senseless numbers."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.camera_model import CameraModel, Window, camera_from_info
from segmif_ros.rig.errors import CalibrationError, RegistrationError
from segmif_ros.rig.registration import Registration, RegistrationConfig
from segmif_ros.trials.fuzz.tally import Tally

_NUMBERS = (0.0, -1.0, 1.0, 1e-300, 1e300, -1e308, math.nan, math.inf, -math.inf, 1e-9, 640.0, 1e6)
_SIDES = (0, 1, 2, 640, 32766, 32767, 2**31, 2**32 - 1)
_MODELS = (
    "plumb_bob",
    "",
    "equidistant",
    "rational_polynomial",
    "none",
    "fisheye",
    "Kannala Brandt4",
    "omni",
    "\n" * 99,
)


def run(tally: Tally, count: int, seed: int) -> None:
    """Throw ``count`` pairs of camera_info."""
    rng = random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(count):
            fields = [_fields(rng, baseline) for baseline in (0.0, -50.0)]
            made = [_camera(tally, each) for each in fields]
            if None not in made:
                _rig(tally, made, fields)


def _fields(rng: random.Random, baseline: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "width": 64,
        "height": 48,
        "distortion_model": rng.choice(_MODELS[:3]),
        "d": [0.01, -0.02, 0.001, 0.002, 0.0][: rng.choice((4, 5))],
        "k": [50.0, 0, 31.5, 0, 50, 23.5, 0, 0, 1],
        "r": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        "p": [50.0, 0, 31.5, baseline, 0, 50, 23.5, 0, 0, 0, 1, 0],
    }
    for _ in range(rng.randrange(4)):
        name = rng.choice((*"dkrpdkrp", "width", "height", "model", "window"))
        if name in "dkrp":
            values = fields[name]
            if values and rng.random() < 0.7:
                values[rng.randrange(len(values))] = rng.choice(_NUMBERS)
            else:
                fields[name] = [rng.choice(_NUMBERS)] * rng.choice((0, 1, 3, 8, 9, 12, 14, 100))
        elif name == "model":
            fields["distortion_model"] = rng.choice(_MODELS)
        elif name == "window":
            fields["window"] = _window(rng)
        else:
            fields[name] = rng.choice(_SIDES)
    return fields


def _window(rng: random.Random) -> Window:
    x, y, width, height, binning_x, binning_y = (rng.choice((0, 1, 8, 32, 64, 2**32 - 1)) for _ in range(6))
    return Window(
        x_offset=x, y_offset=y, width=width, height=height, binning_x=binning_x, binning_y=binning_y
    )  # fmt: skip


def _camera(tally: Tally, fields: dict[str, Any]) -> CameraModel | None:
    return tally.attempt("camera", lambda: camera_from_info(**fields), CalibrationError, str(fields))


def _rig(tally: Tally, cameras: list[Any], fields: list[dict[str, Any]]) -> None:
    which = str(fields)
    refusals = (CalibrationError, RegistrationError)
    rig = tally.attempt(
        "extrinsics", lambda: RigCalibration().completed(infrared=cameras[0], rgb=cameras[1]), refusals, which
    )
    if rig is not None and rig.extrinsics is not None:
        tally.attempt("registration", lambda: Registration(RegistrationConfig(mode="stereo"), rig), refusals, which)
