# SPDX-License-Identifier: Apache-2.0
"""What may befall a running node, one mishap after the other.

Hostile parameters, images and camera_info, a rig that is killed and starts again, services and lifecycle transitions.
Nothing here waits: whoever spins the executor calls `Mishaps.step` often.
"""

from __future__ import annotations

import itertools
import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ANSWER_S = 60.0  # until a call counts as unanswered: loading a model on a busy machine takes long
NODE = "segmif_node"
_CAMERAS = ("infrared", "rgb")
_UINT32 = 2**32 - 1
# each has to be refused, in one line
HOSTILE_VALUES: tuple[tuple[str, Any], ...] = (
    ("calibration_file", "~nosuchuser/rig.yaml"),
    ("calibration_file", "/proc/self/mem"),
    ("calibration_file", "/"),
    ("calibration_file", 5000 * "x"),
    ("snapshot_folder", "~nosuchuser/x"),
    ("mask_classes", "a\nb\x1b[31m"),
    ("mask_classes", ["a", "b"]),
    ("output_width", -1),
    ("max_pixels", 0),
    ("time_offset_s", math.nan),
    ("slop_s", -math.inf),
    ("queue_size", 2**62),
    ("gain_policy", "nosuch"),
    ("single_camera", True),
    ("single_camera_after_s", 1e300),
    ("no_such_parameter", 1),
)
_HOSTILE_IMAGES: tuple[dict[str, Any], ...] = (
    {"height": 0, "width": 0},
    {"height": _UINT32, "width": _UINT32, "step": _UINT32, "data": b"0123456789"},
    {"step": 1},
    {"data": b""},
    {"encoding": 1000 * "\n"},
    {"encoding": "bayer_nosuch16"},
    {"height": 1, "width": 4000},
    {"is_bigendian": 255},
)
_HOSTILE_INFOS: tuple[dict[str, Any], ...] = (
    {"p": [0.0] * 12},
    {"k": [math.nan] * 9},
    {"d": [1e308] * 14, "distortion_model": "rational_polynomial"},
    {"width": _UINT32, "height": _UINT32},
    {"distortion_model": 1000 * "\n"},
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a service: what it is called, on which client, with what, and how its answer is judged."""

    name: str
    client: Any
    request: Any
    judge: Callable[[Any], str] = lambda _answer: ""


class Mishaps:
    """Lets one mishap after the other happen to the node.

    Args:
        node: An rclpy node, which its user spins.
        restart_rig: Kills the rig and starts another one.
        folder: Snapshots go to a folder in it, which is removed now and then.

    Attributes:
        count: Mishaps so far.
        complaints: What the node did wrong, a line each.
    """

    def __init__(self, node: Any, restart_rig: Callable[[], None], folder: Path) -> None:
        from lifecycle_msgs.srv import ChangeState
        from rcl_interfaces.srv import SetParameters
        from sensor_msgs.msg import CameraInfo, Image
        from std_srvs.srv import SetBool, Trigger

        self._restart_rig = restart_rig
        self._folder = folder / "snapshots"
        self._clients = {
            name: node.create_client(kind, f"{NODE}/{name}")
            for name, kind in (
                *(("set_parameters", SetParameters), ("change_state", ChangeState), ("enable", SetBool)),
                *(("reload_weights", Trigger), ("snapshot", Trigger)),
            )
        }
        self._images = {each: node.create_publisher(Image, f"{each}/image_raw", 5) for each in _CAMERAS}
        self._infos = {each: node.create_publisher(CameraInfo, f"{each}/camera_info", 5) for each in _CAMERAS}
        self._calls: deque[Call] = deque()
        self._future: Any = None
        self._called_s = 0.0
        self._number = 0
        self._turns: Iterator[Callable[[], None]] = itertools.cycle(
            (
                *(self._parameters, self._hostile_images, self._reload, self._parameters, self._hostile_infos),
                *(self._snapshot, self._restart_rig, self._parameters, self._pause, self._hostile_images),
                *(self._deactivate, self._parameters, self._hostile_infos, self._reconfigure),
            )
        )
        self.count = 0
        self.complaints: list[str] = []

    @property
    def busy(self) -> bool:
        """Whether an answer is still waited for."""
        return bool(self._calls)

    def next(self) -> None:
        """Let the next mishap happen, unless an answer to the one before it is still waited for."""
        if not self.busy:
            self.count += 1
            next(self._turns)()
            self._begin()

    def step(self) -> None:
        """Look whether the present call was answered; go on to the next one."""
        if not self._calls:
            return
        call = self._calls[0]
        if not self._future.done():
            if time.monotonic() - self._called_s < ANSWER_S:
                return
            self.complaints.append(f"{call.name} was not answered within {ANSWER_S:.0f} s")
        elif complaint := call.judge(self._future.result()):
            self.complaints.append(f"{call.name} {complaint}")
        self._calls.popleft()
        self._begin()

    def _begin(self) -> None:
        if self._calls:
            call = self._calls[0]
            self._future, self._called_s = call.client.call_async(call.request), time.monotonic()

    def _call(self, name: str, judge: Callable[[Any], str] = lambda _answer: "", **values: Any) -> None:
        client = self._clients[name]
        self._calls.append(Call(name=name, client=client, request=client.srv_type.Request(**values), judge=judge))

    def _set(self, name: str, value: Any, judge: Callable[[Any], str]) -> None:
        from rclpy.parameter import Parameter

        self._call("set_parameters", judge, parameters=[Parameter(name, value=value).to_parameter_msg()])

    def _parameters(self) -> None:
        for _ in range(3):
            name, value = HOSTILE_VALUES[self._number % len(HOSTILE_VALUES)]
            self._number += 1
            self._set(name, value, partial(_refused, name, value))

    def _hostile_images(self) -> None:
        from sensor_msgs.msg import Image
        from std_msgs.msg import Header

        facts = _HOSTILE_IMAGES[self.count % len(_HOSTILE_IMAGES)]
        for camera, encoding, size in (("infrared", "mono8", 1), ("rgb", "rgb8", 3)):
            height, width = facts.get("height", 6), facts.get("width", 8)
            data = bytes(height * width * size) if "data" not in facts else facts["data"]
            values = {"encoding": encoding, "height": height, "width": width, "step": width * size, **facts}
            values["step"] = min(_UINT32, values["step"])
            self._images[camera].publish(Image(header=Header(frame_id=1000 * "x"), **values | {"data": data}))

    def _hostile_infos(self) -> None:
        from sensor_msgs.msg import CameraInfo

        facts = _HOSTILE_INFOS[self.count % len(_HOSTILE_INFOS)]
        for publisher in self._infos.values():
            publisher.publish(CameraInfo(**{"width": 64, "height": 48, "distortion_model": "plumb_bob", **facts}))

    def _reload(self) -> None:
        self._call("reload_weights", lambda answer: "" if answer.success else f"failed: {answer.message}")

    def _snapshot(self) -> None:
        """Ask for a snapshot, into a folder that vanishes between two of them."""
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._set("snapshot_folder", str(self._folder), lambda _answer: "")
        self._call("snapshot")  # right after a rig was killed there may be no pair: it says so

    def _pause(self) -> None:
        self._call("enable", data=False)
        self._call("enable", data=True)

    def _deactivate(self) -> None:
        self._transitions("deactivate", "activate")

    def _reconfigure(self) -> None:
        self._transitions("deactivate", "cleanup", "configure", "activate")

    def _transitions(self, *names: str) -> None:
        from lifecycle_msgs.msg import Transition

        for name in names:
            transition = Transition(id=getattr(Transition, f"TRANSITION_{name.upper()}"))
            self._call("change_state", partial(_changed, name), transition=transition)


def _changed(name: str, answer: Any) -> str:
    return "" if answer.success else f"refused to {name}"


def _refused(name: str, value: Any, answer: Any) -> str:
    return refused(name, value, answer.results[0])


def refused(name: str, value: Any, result: Any) -> str:
    """Return what is wrong with the answer to a hostile value, empty if it was refused in one line."""
    shown = f"{name} {str(value)[:40]!r}"
    if result.successful:
        return f"took {shown}"
    return "" if len(result.reason.splitlines()) == 1 else f"refused {shown} in {result.reason!r}"
