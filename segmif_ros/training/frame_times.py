# SPDX-License-Identifier: Apache-2.0
"""What a frame costs by each of several networks: all live at once and take turns, so that a disturbance hits all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypedDict

import torch
from torch import nn

from segmif_ros.arrays import Image
from segmif_ros.imaging.prior import PriorMethod, prior_image
from segmif_ros.inference.backends import BackendOptions, create_backend
from segmif_ros.inference.backends.base import Backend
from segmif_ros.inference.frame import FrameNetwork
from segmif_ros.inference.sample_pairs import pattern_pairs

WARM_UPS = 3


class FrameTime(TypedDict):
    """What a frame takes by one network, medians.

    Attributes:
        p50: Milliseconds.
        cpu_p50: Milliseconds of CPU time, which other programs on the machine hardly move.
        share: Its time by the first network's, round by round.
    """

    p50: float
    cpu_p50: float
    share: float


def frame_times(
    networks: Mapping[str, tuple[nn.Module, PriorMethod | None]],
    size: tuple[int, int],
    *,
    frames: int,
    backend: str,
    options: BackendOptions,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> dict[str, FrameTime]:
    """Time frames of each network in turn, bytes in and bytes out, with the prior image where it takes one.

    Args:
        networks: By name: `SegMiF` or something with its ``forward``, and how its prior image is made (None: it takes
            none).
        size: Rows and columns.
        frames: Timed frames of each, after `WARM_UPS` of each.
        backend: One of `BACKENDS`.
        options: How it runs; the prior is each network's own.
        clock: Seconds.
        cpu_clock: Seconds of this process on all cores.

    Returns:
        By name.

    Raises:
        EngineError: The backend isn't installed, or doesn't do what the options say.
    """
    runners: dict[str, tuple[Backend, PriorMethod | None]] = {}
    for name, (network, prior) in networks.items():
        frame = FrameNetwork(network.eval().requires_grad_(False)).to(options.device)
        runners[name] = create_backend(backend, frame, replace(options, prior=prior)), prior
    pairs = pattern_pairs(*size)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    with torch.no_grad():
        for number in range(WARM_UPS + frames):
            infrared, rgb = pairs[number % len(pairs)]
            for name, (runner, prior) in runners.items():
                began = clock(), cpu_clock()
                _frame(runner, prior, infrared, rgb)
                taken[name].append((1e3 * (clock() - began[0]), 1e3 * (cpu_clock() - began[1])))
    taken = {name: own[WARM_UPS:] for name, own in taken.items()}
    first = next(iter(taken.values()))
    return {
        name: {
            "p50": statistics.median(wall for wall, _ in own),
            "cpu_p50": statistics.median(cpu for _, cpu in own),
            "share": statistics.median(mine / theirs for (mine, _), (theirs, _) in zip(own, first, strict=True)),
        }
        for name, own in taken.items()
    }


def _frame(runner: Backend, prior: PriorMethod | None, infrared: Image, rgb: Image) -> None:
    runner.run(infrared, rgb, infrared if prior is None else prior_image(infrared, rgb, method=prior))
