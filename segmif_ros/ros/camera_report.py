# SPDX-License-Identifier: Apache-2.0
"""What the cameras are like, in words for the log and as values for /diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Collection

from segmif_ros.ros.problems import Problem
from segmif_ros.stream.camera_health import SPOKEN, Condition
from segmif_ros.stream.single_camera import CameraReport


def camera_values(report: CameraReport) -> dict[str, str]:
    """Return which cameras results rest on now, and what each is like."""
    health = {f"{camera}_health": condition.name.lower() for camera, condition in report.conditions.items()}
    return {"cameras": "+".join(report.used), **health}


def camera_problems(
    report: CameraReport, known: Collection[str] = (), *, calibrated: Callable[[str], bool] = lambda _camera: True
) -> list[Problem]:
    """Return what is wrong with the cameras' pictures, and what the results rest on meanwhile.

    Args:
        report: Of the pipeline.
        known: Cameras ("infrared", "rgb") whose silence is explained elsewhere.
        calibrated: Says whether it is known by how much the confidence is to be lowered while a camera is alone.
    """
    lines = dict(zip((each for each, what in report.conditions.items() if what), report.lines, strict=True))
    found = [
        Problem(f"{camera} {report.conditions[camera].name}", line)
        for camera, line in lines.items()
        if not (report.conditions[camera] is Condition.SILENT and camera in known)
    ]
    if report.single:
        known_factor = calibrated(report.single)
        how = "lowered" if known_factor else "halved, as nobody has calibrated it: segmif single-camera does"
        line = f"results rest on {SPOKEN[report.single]} alone; their confidence is {how}"
        found.append(Problem(f"{report.single} alone", line))
    return found
