# SPDX-License-Identifier: Apache-2.0
"""segmif_node: infrared and RGB in, fused image and labels out.

In: ``infrared/image_raw``, ``rgb/image_raw``, or ``/compressed`` of either, and both ``camera_info``. Out:
``fused/image``, ``segmentation/mask``, each with ``camera_info``, ``segmentation/confidence``,
``segmentation/overlay``, ``segmentation/semantic_map`` and ``/diagnostics``. All names but the last are relative and
remappable; all outputs carry the master frame's header.
Services: `segmif_ros.ros.services`. Parameters: `segmif_ros.ros.node_config`.

The executor's thread receives and pairs; one worker thread decodes, computes and publishes.
"""

from __future__ import annotations

import gc
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger

from segmif_ros.inference.weights import weights_note
from segmif_ros.rig.registration import Unregistered
from segmif_ros.ros import parameters
from segmif_ros.ros.barrier import GuardedNode
from segmif_ros.ros.camera_infos import CameraInfoInput
from segmif_ros.ros.frame_budget import observed, within_budget
from segmif_ros.ros.inputs import CameraInput
from segmif_ros.ros.monitor import Monitor
from segmif_ros.ros.node_config import NODE_NAME, NodeConfig
from segmif_ros.ros.node_rig import NodeRig
from segmif_ros.ros.outputs import Outputs, chosen_classes
from segmif_ros.ros.parameter_sets import ParameterSets
from segmif_ros.ros.params_file_check import files_for_others
from segmif_ros.ros.qos import profile
from segmif_ros.ros.rig_source import RigSource
from segmif_ros.ros.services import Services
from segmif_ros.settings import Changes, Setting
from segmif_ros.stream.intake import MakePairer
from segmif_ros.stream.pairing import JUMP_BACK_NS, NearestStampPairer
from segmif_ros.stream.pipeline import Pipeline
from segmif_ros.stream.processing import Frame, Output, PairRefusedError
from segmif_ros.stream.watched_time import WatchedTime

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol

# How long deactivation and the end of the process wait for the pair in work; the executor stands still meanwhile.
DEACTIVATE_TIMEOUT_S = 0.8
CLOSE_TIMEOUT_S = 0.5
LOOK_S = 0.1  # between two looks whether a camera has fallen silent, where no frame of the other one brings one
WARM_UP_SIZE = 480, 640  # rows and columns where nothing tells the cameras'


def load_engine(config: NodeConfig) -> EngineProtocol:
    """Return the engine that the parameters ask for; ValueError or RuntimeError with one line if there can't be one."""
    get_logger(NODE_NAME).info(f"loading {', '.join(config.network.engine.weights)}")
    from segmif_ros.inference.engine import Engine  # torch takes seconds to import: only once it is needed

    return Engine(config.network.engine)


class SegmifNode(NodeRig, ParameterSets, GuardedNode, LifecycleNode):
    """The lifecycle node.

    Args:
        make_engine: Returns the engine for a configuration; tests pass a fake.
        options: Of `rclpy.lifecycle.LifecycleNode`.

    Attributes:
        config: The parameters' values.
        pipeline: While the node is configured.
        engine: What computes, while the node is configured.
        outputs: The publishers, while the node is configured.
        inputs: Infrared and RGB, while the node is active.
        rig: What is known of the two cameras.
        time_offset: The estimate of their time offset.
        registration_watch: Whether they moved since calibration.

    Raises:
        segmif_ros.settings.SettingError: If a parameter's value is not acceptable.
    """

    def __init__(self, make_engine: Callable[[NodeConfig], EngineProtocol] = load_engine, **options: Any) -> None:
        super().__init__(NODE_NAME, **options)
        self._make_engine = make_engine
        self.pipeline: Pipeline | None = None
        self.outputs: Outputs | None = None
        self.inputs: list[CameraInput] = []
        self._info_inputs: list[CameraInfoInput] = []
        self._begin_rig()
        self.engine: EngineProtocol | None = None
        self._first_result = True
        self._changing = threading.Lock()  # services have a thread of their own

        self.config = parameters.declare(self, NodeConfig)
        self.rig = RigSource(self.config)
        parameters.watch(self, self.config, self._apply, may_change=self._why_not_now)
        self._say_unknown_parameters()
        for line in files_for_others(self.get_fully_qualified_name()):
            self.get_logger().warning(line)

        self._control = Services(self, self)
        # steady time, so that a paused or jumping simulation doesn't silence the diagnostics
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self.config.life.diagnostics_period_s, Monitor(self, self).report, clock=steady)
        self._watched = WatchedTime(time.monotonic_ns)
        self.create_timer(LOOK_S, self._advance, clock=steady)
        back = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-JUMP_BACK_NS), on_clock_change=False)
        self._jumps = self.get_clock().create_jump_callback(
            back, post_callback=self.barrier.around("clock jump", self._clock_jumped)
        )

    def start(self) -> bool:
        """Configure and activate, if the parameter autostart is set; False if that failed."""
        if not self.config.life.autostart:
            self.get_logger().info("unconfigured: waiting for lifecycle transitions, because autostart is false")
            return True
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def close(self) -> bool:
        """Stop work for good; False if the worker is still busy with a pair."""
        self.registration_watch.close()
        stopped = self._control.close(CLOSE_TIMEOUT_S) and self._stop_work(CLOSE_TIMEOUT_S)
        if stopped and self.state in ("unconfigured", "inactive", "active"):
            self.trigger_shutdown()  # lifecycle managers hear of it
        return stopped

    # --- lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model, warm it up and create the outputs."""
        config = self.config
        if config.opencv_threads:
            cv2.setNumThreads(config.opencv_threads)
        started = time.monotonic()
        try:
            make_pairer = self._pairer_maker(config)
            self.rig = RigSource(config)  # first: it knows the images' size, and the engine takes seconds
            engine = self._warm_engine(config)
            if not isinstance(self.rig.registration, Unregistered):
                self.rig.registration.prepare()
            self.outputs = Outputs(self, config, engine)
        except (RuntimeError, ValueError, OSError) as error:  # bad parameters, weights, device, QoS overrides
            self.get_logger().error(f"can't configure: {' '.join(str(error).split())}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001  a defect: rclpy would swallow it, so it is logged here with all there is
            self.get_logger().error(f"can't configure, unexpected error:\n{traceback.format_exc()}")
            self._free()
            return TransitionCallbackReturn.FAILURE
        self.engine = engine
        self.pipeline = Pipeline(
            config.pipeline,
            engine,
            observed(self._publish, time.monotonic_ns),
            now_ns=time.monotonic_ns,
            stamp_clock_ns=lambda: int(self.get_clock().now().nanoseconds),
            say=self.get_logger().warning,
            trace=self._trace,
            unexpected=partial(self.barrier.caught, "worker"),
            registration=self.rig.registration,
            make_pairer=make_pairer,
            turn=self._turn_between,
        )
        self.get_logger().info(
            f"model {engine.model_name} ({engine.model_hash}), {len(engine.label_set)} classes of "
            f"{engine.label_set.name}, on {engine.device_name} by {engine.backend_name} in "
            f"{engine.precision}, ready after {time.monotonic() - started:.1f} s"
        )
        if note := weights_note(",".join(config.network.engine.weights)):
            self.get_logger().info(f"{engine.model_name} is good for {note}")
        self._use_rig(self.rig)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        assert self.pipeline is not None
        result = super().on_activate(state)
        self._first_result = True
        self.pipeline.start()
        qos = self.config.input_qos.reliability, self.config.input_qos.depth
        try:
            for camera, offer, transport in (
                ("infrared", self.pipeline.offer_infrared, self.config.infrared_transport),
                ("rgb", self.pipeline.offer_rgb, self.config.rgb_transport),
            ):
                self._info_inputs.append(CameraInfoInput(self, camera, profile(*qos), self._take_info))
                self.inputs.append(
                    CameraInput(
                        self,
                        camera,
                        profile(*qos),
                        partial(self._take_frame, camera, offer),
                        time.monotonic_ns,
                        watched_ns=self._watched.now,
                        transport=transport,
                    )
                )
            self._watch_rig(changed=False)
        except RuntimeError as error:  # QoS overrides
            self.get_logger().error(f"can't activate: {' '.join(str(error).split())}")
            self._stop_work(DEACTIVATE_TIMEOUT_S)
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        assert self.outputs is not None
        assert self.engine is not None
        self.outputs.announce(self.engine.label_set)
        self._say_unknown_parameters(qos=True)
        self.get_logger().info("active: " + " and ".join(f"{each.topic}" for each in self.inputs))
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and end the worker; the model stays loaded."""
        if not self._stop_work(DEACTIVATE_TIMEOUT_S):
            self.get_logger().warning("deactivated with a pair still in work: its result will not be published")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and destroy the outputs."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop work and free everything."""
        self._stop_work(CLOSE_TIMEOUT_S)
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, so that the node can be configured again."""
        self._stop_work(CLOSE_TIMEOUT_S)
        self._free()
        return super().on_error(state)

    def _stop_work(self, timeout_s: float) -> bool:
        inputs: list[CameraInput | CameraInfoInput] = [*self.inputs, *self._info_inputs]
        for each in inputs:
            each.close()
        self.inputs.clear()
        self._info_inputs.clear()
        self._take_depth_from(None)
        self._take_turns_from(None)
        self.time_offset.reset()
        return self.pipeline is None or self.pipeline.stop(timeout_s)

    def _free(self) -> None:
        with self._changing:
            if self.outputs is not None:
                self.outputs.close()
            self.outputs = self.pipeline = self.engine = self._registration = None
            self._infos.clear()
        gc.collect()  # so that the model's memory goes now and not at some later time

    def _pairer_maker(self, config: NodeConfig) -> MakePairer:
        """Return what makes the pairer of sync_policy; RuntimeError if message_filters is needed and not installed."""
        if config.sync_policy == "nearest":
            return NearestStampPairer
        from segmif_ros.ros.synchronizers import pairer_maker

        return pairer_maker(config.sync_policy, self.get_logger().error)

    def _publish(self, output: Output) -> None:
        assert self.outputs is not None
        self.outputs.publish(output)
        if output.infrared is not None and output.rgb is not None:
            self.registration_watch.see(output.registered)
        if self._first_result:
            self._first_result = False
            engine, result = output.engine, output.result
            height, width = result.labels.shape[:2]
            self.get_logger().info(
                f"first result: {width}x{height}, {sum(result.stage_ms.values()):.0f} ms in the network by "
                f"{engine.backend_name} on {engine.device_name} in {engine.precision}"
            )

    def _take_frame(self, camera: str, offer: Callable[[Frame], None], frame: Frame) -> None:
        self._watched.look()
        offer(frame)
        if self.config.estimates_time_offset:
            self.time_offset.see(camera, frame)

    def _advance(self) -> None:
        """Let the pipeline look at the clock: silence is found by time alone."""
        self._watched.look()
        if self.active and self.pipeline is not None:
            self.pipeline.advance()

    # --- control -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The lifecycle's, for example "active"."""
        return str(self._state_machine.current_state[1])

    @property
    def active(self) -> bool:
        """Whether the node takes frames."""
        return bool(self.inputs)

    def load_engine(self) -> EngineProtocol:
        """Return another engine as the parameters say, warmed up; ValueError, RuntimeError or OSError say why not."""
        config = self.config
        engine = self._warm_engine(config)
        chosen_classes(config.mask_classes, engine.label_set)  # raises if it doesn't have one of them
        return engine

    def _warm_engine(self, config: NodeConfig) -> EngineProtocol:
        engine = within_budget(
            self._make_engine(config), config.frame_budget_ms, (config.network.size.height, config.network.size.width)
        )
        height, width = self.rig.view_size or WARM_UP_SIZE
        engine.warm_up(config.warm_up_height or height, config.warm_up_width or width)
        return engine

    def use_engine(self, engine: EngineProtocol, pipeline: Pipeline) -> bool:
        """Run another engine from the next pair on.

        Args:
            engine: The new one, warmed up.
            pipeline: The one that it is meant for.

        Returns:
            Whether it runs; False if the node has another pipeline by now.
        """
        with self._changing:
            if self.pipeline is not pipeline or self.outputs is None:
                return False
            self.outputs.configure(self.config, engine)
            pipeline.replace_engine(engine)
            self.engine = engine
        return True

    # --- parameters --------------------------------------------------------------------------------------------------

    def _why_not_now(self, row: Setting) -> str | None:
        if row.changes is Changes.UNCONFIGURED and self.pipeline is not None:
            return "can change only while the node is unconfigured: deactivate and clean up first"
        return None

    def _apply(self, config: NodeConfig) -> None:
        with self._changing:
            rig = self.rig.after(config)  # this and the outputs may refuse
            if self.pipeline is not None and self.outputs is not None and self.engine is not None:
                self.outputs.configure(config, self.engine)
                self.pipeline.configure(self._pipeline_config(config), rig.registration)
            self.config = config
            self._use_rig(rig)

    def _say_unknown_parameters(self, *, qos: bool = False) -> None:
        for name, line in parameters.undeclared_overrides(self).items():
            if name.startswith("qos_overrides.") == qos:
                self.get_logger().warning(f"{line}; it is ignored")

    # --- health ------------------------------------------------------------------------------------------------------

    def _clock_jumped(self, jump: TimeJump) -> None:
        if self.pipeline is not None:
            self.pipeline.reset()
            self.time_offset.reset()
            self.get_logger().info("the clock jumped back: pairing restarts")

    def _trace(self, refusal: PairRefusedError) -> None:
        self.get_logger().debug("".join(traceback.format_exception(refusal)))
