# SPDX-License-Identifier: Apache-2.0
"""The node's services: ``~/enable``, ``~/reload_weights``, ``~/snapshot``.

Enable answers at once, on the node's own executor: it may be a robot's stop, and must not wait behind the others. These
answer when they are done, which may take seconds, while frames go on being received: so they have a thread with an
executor of its own. (A coroutine that waits makes rclpy's executor spin without a pause.) An executor takes whole
nodes, so these two belong to a second, hidden node; their names are the first one's.
"""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from segmif_ros.ros.barrier import GuardedExecutor, GuardedNode
from segmif_ros.stream.processing import Frame, Output, PairRefusedError, in_one_line
from segmif_ros.stream.single_camera import Moment

if TYPE_CHECKING:
    from segmif_ros.inference.engine import EngineProtocol
    from segmif_ros.ros.node_config import NodeConfig
    from segmif_ros.stream.pipeline import Pipeline

SNAPSHOT_TIMEOUT_S = 10.0
_LOOK_S = 0.1


class Controlled(Protocol):
    """What the services need of the node."""

    @property
    def config(self) -> NodeConfig: ...  # noqa: D102

    @property
    def pipeline(self) -> Pipeline | None: ...  # noqa: D102

    @property
    def active(self) -> bool: ...  # noqa: D102

    def load_engine(self) -> EngineProtocol: ...  # noqa: D102

    def use_engine(self, engine: EngineProtocol, pipeline: Pipeline) -> bool: ...  # noqa: D102


class Services:
    """The services of one node.

    Args:
        node: The one that they are named after.
        controlled: What they act on.
    """

    def __init__(self, node: LifecycleNode, controlled: Controlled) -> None:
        self._log = node.get_logger()
        self._node_name = node.get_name()
        self._controlled = controlled
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            from std_srvs.srv import SetBool, Trigger
        except ImportError as error:
            self._log.warning(
                f"~/enable, ~/reload_weights and ~/snapshot are not offered: std_srvs is not installed ({error}); "
                "apt install ros-$ROS_DISTRO-std-srvs or pip install ros-kilted-std-srvs brings it"
            )
            return
        # not renamed with the first one, and not listed beside it
        self._node = _HiddenNode(
            f"_{self._node_name}_control",
            context=node.context,
            namespace=node.get_namespace(),
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
            barrier=getattr(node, "barrier", None),
        )
        node.create_service(SetBool, "~/enable", self._enable)
        for name, answer in (("~/reload_weights", self._reload), ("~/snapshot", self._snapshot)):
            self._node.create_service(Trigger, node.resolve_service_name(name), answer)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._awake = self._node.create_guard_condition(lambda: None)
        self._thread = threading.Thread(target=self._spin, name="segmif-control", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """End the services; False if one is still busy, as with loading a model, after ``timeout_s``."""
        if self._thread is None:
            return True
        self._closing.set()
        self._awake.trigger()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._executor.shutdown(timeout_sec=0)
        self._node.destroy_node()
        self._thread = None
        return True

    def _spin(self) -> None:
        executor = GuardedExecutor(self._executor, self._node.barrier)
        try:
            while not self._closing.is_set():
                executor.spin_once()
        except ExternalShutdownException:
            pass  # the whole process is about to end

    def _enable(self, request: Any, response: Any) -> Any:
        pipeline = self._controlled.pipeline
        if pipeline is None:
            return _answer(response, False, "the node is not configured")
        pipeline.enable(request.data)
        line = "frames are processed" if request.data else "frames are not processed until ~/enable is called with true"
        self._log.info(line)
        return _answer(response, True, line)

    def _reload(self, _request: Any, response: Any) -> Any:
        pipeline = self._controlled.pipeline
        if pipeline is None:
            return _answer(response, False, "the node is not configured: the weights are loaded when it is")
        try:
            engine = self._controlled.load_engine()
            if not self._controlled.use_engine(engine, pipeline):
                return _answer(response, False, "the node was cleaned up meanwhile")
        except Exception as error:  # noqa: BLE001  whatever it is, the node continues as it was and the caller gets the line
            expected = isinstance(error, RuntimeError | ValueError | OSError)  # weights, device: their text is enough
            if not expected:
                self._log.error(f"unexpected error:\n{traceback.format_exc()}")
            reason = " ".join(str(error).split()) if expected else in_one_line(error)
            line = f"the weights are not reloaded, the old ones stay: {reason}"
            self._log.error(line)
            return _answer(response, False, line)
        line = f"model {engine.model_name} ({engine.model_hash}) from the next pair on"
        self._log.info(line)
        return _answer(response, True, line)

    def _snapshot(self, _request: Any, response: Any) -> Any:
        pipeline = self._controlled.pipeline
        if pipeline is None or not self._controlled.active:
            return _answer(response, False, "the node is not active")
        taken: list[tuple[Moment[Frame], Output | PairRefusedError]] = []
        there = threading.Event()

        def take(moment: Moment[Frame], outcome: Output | PairRefusedError) -> None:
            taken.append((moment, outcome))  # only kept: PNGs take longer than the worker has
            there.set()

        try:
            pipeline.watch_next(take)
            from segmif_ros.ros.snapshot import new_folder

            folder = new_folder(self._controlled.config.snapshot_folder, self._node_name)
            if not self._waited(there):
                folder.rmdir()
                return _answer(response, False, f"no pair came within {SNAPSHOT_TIMEOUT_S:g} s; see /diagnostics")
            self._write(folder, pipeline, *taken[0])
        except OSError as error:
            where = error.filename or self._controlled.config.snapshot_folder or "the folder of snapshots"
            line = f"no snapshot: {where} can't be written ({error.strerror or error}): free it, or set snapshot_folder"
            return _answer(response, False, line)
        finally:
            pipeline.watch_next(None)
        self._log.info(f"snapshot written: {folder}")
        return _answer(response, True, str(folder))

    def _waited(self, there: threading.Event) -> bool:
        """Whether it came in time; the end of the process is not held up for it."""
        for _ in range(max(1, round(SNAPSHOT_TIMEOUT_S / _LOOK_S))):
            if there.wait(_LOOK_S) or self._closing.is_set():
                break
        return there.is_set()

    def _write(
        self, folder: Path, pipeline: Pipeline, moment: Moment[Frame], outcome: Output | PairRefusedError
    ) -> None:
        from segmif_ros.ros.snapshot import write_snapshot

        write_snapshot(
            folder,
            moment,
            outcome,
            decode=pipeline.decode,
            config=self._controlled.config,
            statistics=pipeline.snapshot(),
        )


class _HiddenNode(GuardedNode, Node):
    """The second node; what its calls raise costs the call."""


def _answer(response: Any, success: bool, message: str) -> Any:
    response.success, response.message = success, message
    return response
