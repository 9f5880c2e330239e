# SPDX-License-Identifier: Apache-2.0
"""One runner of the benchmark: a process of its own with one network, one backend and one image size.

A process each makes peak memory, the allocator's setting and thread pools one runner's alone; the parent asks the
runners for one frame in turn, so that all see the same machine.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from segmif_ros.arrays import Image

PLAIN = "plain"
PLAIN_UNTUNED = "plain, untuned allocator"


class RunnerError(RuntimeError):
    """A runner couldn't be made or failed; one line."""


@dataclass(frozen=True, kw_only=True)
class RunnerSpec:
    """What one runner runs.

    Attributes:
        weights: A name or paths, as the engine takes them.
        backend: A name of `BACKENDS`, `PLAIN` or `PLAIN_UNTUNED`.
        precision: As the engine takes it.
        height: Rows.
        width: Columns.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_threads: 0 leaves the runtime's choice.
        calibration_pairs: As the engine takes it.
    """

    weights: tuple[str, ...]
    backend: str
    precision: str
    height: int
    width: int
    device: str = "auto"
    num_threads: int = 0
    calibration_pairs: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """What a runner reports after its first frame.

    Attributes:
        model_name: Of the weights.
        model_hash: Of the weights' files.
        device: Where it runs.
        parameters: Of the network; None for a model folder, as are the next two.
        operations: Floating-point operations of one frame, see `Work`.
        bytes_moved: Bytes of one frame, see `Work`.
        load_ms: Time to load the weights and to make the backend.
        first_frame_ms: Time of the first frame, with all that is compiled for its size.
        fused: (frames, H, W, 3) uint8, results of all images.
        labels: (frames, H, W) uint8.
    """

    model_name: str
    model_hash: str
    device: str
    parameters: int | None
    operations: float | None
    bytes_moved: float | None
    load_ms: float
    first_frame_ms: float
    fused: Image
    labels: Image


class Runner:
    """The parent's handle of one runner.

    Args:
        spec: What it runs.
        images: Pairs of infrared (H, W) and RGB (H, W, 3), uint8; frame i takes pair i modulo their number.

    Raises:
        RunnerError: It can't be made.
    """

    def __init__(self, spec: RunnerSpec, images: list[tuple[Image, Image]]) -> None:
        self.spec = spec
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child, spec, images), daemon=True)
        self._process.start()
        child.close()
        try:
            self.ready: Ready = self._receive()
        except RunnerError:
            self.kill()
            raise

    def frame(self, index: int) -> dict[str, float]:
        """Run frame `index`; return milliseconds by stage, with "total"."""
        self._connection.send(index)
        return self._receive()

    def close(self) -> float:
        """End the process; return its peak memory in MiB."""
        self._connection.send(None)
        peak: float = self._receive()
        self._process.join(timeout=10)
        return peak

    def kill(self) -> None:
        """Make sure that the process is gone."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._connection.close()

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(timeout=10)
            raise RunnerError(f"its process ended with status {self._process.exitcode}") from None
        if isinstance(answer, RunnerError):
            raise answer
        return answer


def _serve(connection: Connection, spec: RunnerSpec, images: list[tuple[Image, Image]]) -> None:
    try:
        run, ready = _prepare(spec, images)
        connection.send(ready)
        while (index := connection.recv()) is not None:
            connection.send(run(*images[index % len(images)])[0])
        connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    except EOFError:  # the parent is gone
        return
    except Exception as error:  # noqa: BLE001 (whatever a backend raises is sent to the parent, with its cause)
        lines = str(error).strip().splitlines()
        connection.send(RunnerError(lines[0] if lines else type(error).__name__))


def _prepare(spec: RunnerSpec, images: list[tuple[Image, Image]]) -> tuple[Any, Ready]:
    from segmif_ros.inference.allocator import keep_large_blocks

    if spec.backend != PLAIN_UNTUNED:
        keep_large_blocks()  # before torch takes its first large block
    import torch

    from segmif_ros.imaging.prior import prior_image
    from segmif_ros.inference.backends.base import BackendOptions
    from segmif_ros.inference.backends.torch_eager import TorchBackend
    from segmif_ros.inference.engine import Engine, EngineConfig
    from segmif_ros.inference.frame import FrameNetwork
    from segmif_ros.inference.operations import count_parameters, count_work
    from segmif_ros.inference.weights import model_folder, resolve_weights
    from segmif_ros.model import Rewrites, load_checkpoint, use_rewrites

    plain = spec.backend in (PLAIN, PLAIN_UNTUNED)
    if spec.num_threads > 0:
        torch.set_num_threads(spec.num_threads)
    started = time.perf_counter()
    engine = Engine(
        EngineConfig(
            weights=spec.weights,
            backend="torch" if plain else spec.backend,
            precision=spec.precision,
            device=spec.device,
            num_threads=spec.num_threads,
            tune_allocator=spec.backend != PLAIN_UNTUNED,
            calibration_pairs=spec.calibration_pairs,
        )
    )
    paths = resolve_weights(spec.weights)
    model = None if model_folder(paths) is not None else load_checkpoint(paths).requires_grad_(False)
    if plain and model is None:
        raise RunnerError("a model folder has no plain forward: leave out --baseline plain")
    if plain and model is not None:
        use_rewrites(model, Rewrites.none())
    work = None if model is None else count_work(model, spec.height, spec.width)
    if plain and model is not None:
        options = BackendOptions(device=torch.device(engine.device_name), precision=spec.precision)
        backend = TorchBackend(FrameNetwork(model.to(options.device)), options)
    load_ms = 1e3 * (time.perf_counter() - started)

    def run(infrared: Image, rgb: Image) -> tuple[dict[str, float], Image, Image]:
        begin = time.perf_counter()
        if plain:
            assert engine.prior is not None  # SegMiF takes one
            prior = prior_image(infrared, rgb, method=engine.prior)
            network = time.perf_counter()
            fused, labels, _ = backend.run(infrared, rgb, prior)
            end = time.perf_counter()
            return _times(begin, network, end), fused, labels
        result = engine.infer(infrared, rgb)
        return result.stage_ms | {"total": 1e3 * (time.perf_counter() - begin)}, result.fused, result.labels

    results = [run(*pair) for pair in images]
    ready = Ready(
        model_name=engine.model_name,
        model_hash=engine.model_hash,
        device=engine.device_name,
        parameters=None if model is None else count_parameters(model),
        operations=None if work is None else work.operations,
        bytes_moved=None if work is None else work.bytes_moved,
        load_ms=load_ms,
        first_frame_ms=results[0][0]["total"],
        fused=np.stack([fused for _, fused, _ in results]),
        labels=np.stack([labels for _, _, labels in results]),
    )
    return run, ready


def _times(begin: float, network: float, end: float) -> dict[str, float]:
    return {"prior": 1e3 * (network - begin), "network": 1e3 * (end - network), "total": 1e3 * (end - begin)}
