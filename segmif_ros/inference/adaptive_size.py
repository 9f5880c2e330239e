# SPDX-License-Identifier: Apache-2.0
"""A frame budget: the network's image gets smaller in steps while the machine is too slow, and larger again after."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.inference.engine import EngineProtocol, EngineResult
from segmif_ros.inference.resizing import RESIZE, EngineAround, Size, asked_size, infer_at

_MULTIPLE = 32  # of both sides of a smaller image: the encoder's stages then have whole sizes
_MAX_PATIENCE = 16
_SETTLED = 10  # times calm_frames that a larger size must hold before earlier failures are forgotten


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """When to change the size.

    Attributes:
        budget_ms: Time that a frame may take.
        shares: Sides of the network's image as shares of the pair's, largest first, at most 1. A backend that
            compiles for each size must keep as many (`segmif_ros.inference.backends.BackendOptions.sizes_kept`).
        window: Frames over which the median is taken.
        calm_frames: Frames that must promise to fit the next larger size before it is tried.
        promise: Share of the budget that the promised time must keep.

    Raises:
        ValueError: A value is outside its range.
    """

    budget_ms: float
    shares: tuple[float, ...] = (1.0, 0.75, 0.5)
    window: int = 9
    calm_frames: int = 60
    promise: float = 0.85

    def __post_init__(self) -> None:
        if self.budget_ms <= 0:
            raise ValueError(f"budget_ms is {self.budget_ms}: it must be above 0")
        in_order = bool(self.shares) and list(self.shares) == sorted(self.shares, reverse=True)
        if not in_order or self.shares[-1] <= 0 or self.shares[0] > 1:
            raise ValueError(f"shares are {self.shares}: give them largest first, above 0 and at most 1")
        if self.window < 1 or self.calm_frames < 1:
            raise ValueError(f"window is {self.window}, calm_frames {self.calm_frames}: both must be at least 1")
        if not 0 < self.promise <= 1:
            raise ValueError(f"promise is {self.promise}: it must be above 0 and at most 1")


class SizeController:
    """Decides on the size from the times of frames; knows no clock and no image.

    A step down follows a median above the budget, as soon as it is certain. A step up follows `calm_frames` frames
    that promise to fit the larger size, as the network's part of the time goes with the number of pixels. Where it
    doesn't (a GPU that waits for its launches), no promise may ever be given: so 16 times as many frames within the
    budget are enough as well. A larger size that exceeds the budget soon after makes the next try wait twice as long
    (up to 16 times), so that the size doesn't swing.

    Args:
        config: When to change.
        pixels: Of the image at each step, most first.
    """

    def __init__(self, config: BudgetConfig, pixels: Sequence[int]) -> None:
        self._config = config
        self._pixels = tuple(pixels)
        self._times: deque[tuple[float, float]] = deque(maxlen=config.window)
        self._calm = 0
        self._within = 0
        self._patience = 1
        self._risen = False
        self.step = 0
        self.exceeded = False

    @property
    def on_trial(self) -> bool:
        """Whether this step was just tried from a smaller size, and may be given up again."""
        return self._risen and self._within < self._config.calm_frames

    @property
    def median_ms(self) -> float:
        """Median time of the latest frames at this step; 0 before the first."""
        return statistics.median(frame_ms for frame_ms, _ in self._times) if self._times else 0.0

    def observe(self, frame_ms: float, network_ms: float) -> bool:
        """Take in the time of a frame at the current step; True if the step changed.

        Args:
            frame_ms: The time that the budget is for.
            network_ms: The part of it that goes with the number of pixels.
        """
        config = self._config
        self._times.append((frame_ms, network_ms))
        # more than half of a full window: the median is above the budget, whatever the frames still missing take
        self.exceeded = sum(each > config.budget_ms for each, _ in self._times) > config.window // 2
        if self.exceeded:
            return self._shrink()
        self._within += 1
        if self._risen and self._within >= _SETTLED * config.calm_frames:
            self._patience, self._risen = 1, False
        if self.step == 0 or len(self._times) < config.window:
            return False
        self._calm = self._calm + 1 if self._promises() else 0
        enough = config.calm_frames * self._patience
        if self._calm < enough and self._within < _MAX_PATIENCE * enough:
            return False
        self._change(-1)
        self._risen = True
        return True

    def _shrink(self) -> bool:
        self._calm = self._within = 0
        if self.step + 1 == len(self._pixels):
            return False
        if self._risen:
            self._patience = min(_MAX_PATIENCE, 2 * self._patience)
        self._change(+1)
        return True

    def _promises(self) -> bool:
        """Whether the next larger size would fit, if the network's time goes with the pixels."""
        network_ms = statistics.median(each for _, each in self._times)
        growth = self._pixels[self.step - 1] / self._pixels[self.step]
        return self.median_ms + (growth - 1) * network_ms <= self._config.promise * self._config.budget_ms

    def _change(self, by: int) -> None:
        self.step += by
        self.exceeded = self._risen = False
        self._calm = self._within = 0
        self._times.clear()


@dataclass(frozen=True, kw_only=True)
class BudgetState:
    """How an `AdaptiveEngine` stands.

    Attributes:
        budget_ms: Time that a frame may take.
        full_size: Rows and columns of the network's image at its largest.
        size: Rows and columns of the network's image now.
        share: Its sides as a share of the pair's.
        changes: How often it changed.
        reason: Why it changed last, in words; empty before the first change.
        on_trial: Whether this size was just tried again after a smaller one.
        exceeded: Whether the median frame is above the budget, at the smallest size.
        median_ms: Median time of the latest frames at this size; 0 before the first.
    """

    budget_ms: float
    full_size: Size
    size: Size
    share: float
    changes: int = 0
    reason: str = ""
    on_trial: bool = False
    exceeded: bool = False
    median_ms: float = 0.0


class AdaptiveEngine(EngineAround):
    """An engine within a frame budget; its results always have the pair's size.

    `segmif_ros.inference.resizing` describes how results of a smaller size are enlarged.

    Its user must report by `observe` how long each frame took. One thread runs and observes; `state` may be read
    by any.

    Args:
        engine: Does the work; the sum of its results' `stage_ms` is what goes with the number of pixels.
        config: The budget.
        full_size: Rows and columns of the network's image at its largest, see `asked_size`; by default the pair's own.
        clock: Seconds, for the stage "resize".
    """

    def __init__(
        self,
        engine: EngineProtocol,
        config: BudgetConfig,
        *,
        full_size: Size = (0, 0),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(engine)
        self._config = config
        self._full_size = full_size
        self._clock = clock
        self._pair_size: Size | None = None
        self._steps: tuple[tuple[float, Size], ...] = ()
        self._controller = SizeController(config, ())
        self._network_ms = 0.0
        self.state: BudgetState | None = None

    def warm_up(self, height: int, width: int) -> None:
        """Run once at every size of the steps, so that a step costs no compilation later.

        Args:
            height: Rows of the pairs to come.
            width: Their columns.
        """
        # a backend that is chosen by trial is chosen for the full size
        self._engine.warm_up(*asked_size(self._full_size, (height, width)))
        self._use((height, width))

    def infer(self, infrared: Image, rgb: Image) -> EngineResult:
        """See `EngineProtocol`; the first pair of another size than the last takes a run at every size of the steps."""
        height, width = infrared.shape[:2]
        if infrared.ndim != 2 or rgb.shape[:2] != (height, width):  # a misfit pair is the engine's to refuse
            return self._engine.infer(infrared, rgb)
        if (height, width) != self._pair_size:
            self._use((height, width))
        _, small = self._steps[self._controller.step]
        if small == (height, width):
            result = self._engine.infer(infrared, rgb)
            self._network_ms = sum(result.stage_ms.values())
            return result
        result = infer_at(self._engine, small, infrared, rgb, clock=self._clock)
        self._network_ms = sum(ms for stage, ms in result.stage_ms.items() if stage != RESIZE)
        return result

    def observe(self, frame_ms: float) -> None:
        """Take in how long the frame took whose pair was the last of `infer`, and change the size if need be."""
        if self.state is None:
            return
        controller, config = self._controller, self._config
        before = controller.step
        times_ms = f"{config.budget_ms:g}"
        changed = controller.observe(frame_ms, self._network_ms)
        share, size = self._steps[controller.step]
        changes, reason = self.state.changes, self.state.reason
        if changed:
            changes += 1
            was = sized(self._steps[before][1])
            if controller.step > before:
                reason = f"most frames at {was} took more than the budget of {times_ms} ms, the last {frame_ms:.0f} ms"
            else:
                reason = f"frames at {was} kept the budget of {times_ms} ms for long, the last took {frame_ms:.0f} ms"
        self.state = BudgetState(
            budget_ms=config.budget_ms,
            full_size=self.state.full_size,
            size=size,
            share=share,
            changes=changes,
            reason=reason,
            on_trial=controller.on_trial,
            exceeded=controller.exceeded,
            median_ms=controller.median_ms,
        )

    def _use(self, pair_size: Size) -> None:
        """Start at the largest size for pairs of this size, all sizes warm."""
        self._pair_size = pair_size
        largest = asked_size(self._full_size, pair_size)
        self._steps = network_sizes(*largest, self._config.shares)
        self._controller = SizeController(self._config, [rows * columns for _, (rows, columns) in self._steps])
        share, size = self._steps[0]
        changes = self.state.changes if self.state else 0
        self.state = BudgetState(
            budget_ms=self._config.budget_ms, full_size=size, size=size, share=share, changes=changes
        )
        for _, each in self._steps:
            if each != largest:
                grey = np.full(each, 128, np.uint8)
                self._engine.infer(grey, np.repeat(grey[..., None], 3, axis=2))


def network_sizes(height: int, width: int, shares: Sequence[float]) -> tuple[tuple[float, Size], ...]:
    """Return share and (rows, columns) of each step, largest first: multiples of 32, for a share of 1 the pair's own.

    Shares that come to the same size are one step; a pair with a side below 32 has its own size only.

    Args:
        height: Rows of the pair.
        width: Its columns.
        shares: Of the full sides, largest first.
    """
    if min(height, width) < _MULTIPLE:
        return ((1.0, (height, width)),)
    steps: dict[Size, float] = {}
    for share in shares:
        size = (height, width) if share == 1 else (_smaller_side(height, share), _smaller_side(width, share))
        steps.setdefault(size, share)
    return tuple((share, size) for size, share in steps.items())


def sized(size: Size) -> str:
    """Return rows and columns as people write a size: "640x480"."""
    return f"{size[1]}x{size[0]}"


def _smaller_side(side: int, share: float) -> int:
    return min(side, max(_MULTIPLE, round(side * share / _MULTIPLE) * _MULTIPLE))
