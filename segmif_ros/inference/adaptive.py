# SPDX-License-Identifier: Apache-2.0
"""A frame budget: the network's image gets smaller in steps while the machine is too slow, and larger again after."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.inference.engine import MIN_SIDE, EngineProtocol, EngineResult
from segmif_ros.inference.errors import EngineError
from segmif_ros.labels import LabelSet

UInt8Image = npt.NDArray[np.uint8]

_MULTIPLE = 32  # of both sides of a smaller image: the encoder's stages then have whole sizes


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """When to change the size.

    Attributes:
        budget_ms: Time that a frame may take in the engine.
        shares: Sides of the network's image as shares of the pair's, largest first.
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
        if not self.shares or list(self.shares) != sorted(self.shares, reverse=True) or self.shares[-1] <= 0:
            raise ValueError(f"shares are {self.shares}: give them largest first, above 0")
        if self.window < 1 or self.calm_frames < 1:
            raise ValueError(f"window is {self.window}, calm_frames {self.calm_frames}: both must be at least 1")


class SizeController:
    """Decides on the share from the times of frames; knows no clock and no image.

    A step down follows a median above the budget. A step up follows `calm_frames` frames that promise to fit the
    larger size, as time goes with the number of pixels; when that promise was wrong, the next one must hold twice as
    long (up to 16 times), so that the size doesn't swing.

    Args:
        config: When to change.
    """

    def __init__(self, config: BudgetConfig) -> None:
        self._config = config
        self._times: deque[float] = deque(maxlen=config.window)
        self._step = 0
        self._calm = 0
        self._patience = 1
        self._on_trial = False

    @property
    def share(self) -> float:
        """The share to use for the next frame."""
        return self._config.shares[self._step]

    def observe(self, frame_ms: float) -> bool:
        """Take in the time of a frame at the current share; True if the share changed."""
        config = self._config
        self._times.append(frame_ms)
        if len(self._times) < config.window:
            return False
        median = statistics.median(self._times)
        if median > config.budget_ms:
            self._calm = 0
            if self._step + 1 == len(config.shares):
                return False
            if self._on_trial:
                self._patience = min(16, 2 * self._patience)
            self._change(+1)
            return True
        if self._step == 0:
            self._settle()
            return False
        growth = (config.shares[self._step - 1] / self.share) ** 2
        self._calm = self._calm + 1 if growth * median <= config.promise * config.budget_ms else 0
        if self._calm < config.calm_frames * self._patience:
            return False
        self._change(-1)
        self._on_trial = True
        return True

    def _change(self, by: int) -> None:
        self._step += by
        self._calm = 0
        self._on_trial = False
        self._times.clear()

    def _settle(self) -> None:
        """At the largest size for long enough: earlier failures no longer count."""
        self._calm += 1
        if self._calm >= 10 * self._config.calm_frames:
            self._patience, self._on_trial, self._calm = 1, False, 0


class AdaptiveEngine:
    """An engine within a frame budget; its results always have the pair's size.

    At a smaller size, labels are enlarged to the nearest pixel and confidences bilinearly; of the fused image the
    difference to the RGB image is enlarged and added to the full RGB image, so that its fine detail stays.

    Args:
        engine: Does the work.
        config: The budget.
        clock: Seconds.
    """

    def __init__(
        self, engine: EngineProtocol, config: BudgetConfig, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._engine = engine
        self._config = config
        self._controller = SizeController(config)
        self._clock = clock
        self.changes = 0

    @property
    def label_set(self) -> LabelSet:
        """See `EngineProtocol`."""
        return self._engine.label_set

    @property
    def model_name(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.model_name

    @property
    def model_hash(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.model_hash

    @property
    def device_name(self) -> str:
        """See `EngineProtocol`."""
        return self._engine.device_name

    @property
    def share(self) -> float:
        """Side of the network's image as a share of the pair's, now."""
        return self._controller.share

    def warm_up(self, height: int, width: int) -> None:
        """Run once at every size of the steps, so that a step costs no compilation later."""
        for share in self._config.shares:
            self._engine.warm_up(*network_size(height, width, share))

    def infer(self, infrared: UInt8Image, rgb: UInt8Image) -> EngineResult:
        """See `EngineProtocol`; the time spent here counts for the budget."""
        started = self._clock()
        result = self._infer(infrared, rgb)
        self.changes += self._controller.observe(1e3 * (self._clock() - started))
        return result

    def _infer(self, infrared: UInt8Image, rgb: UInt8Image) -> EngineResult:
        height, width = infrared.shape[:2]
        small = network_size(height, width, self.share)
        if small == (height, width) or rgb.shape[:2] != (height, width):  # a misfit pair is the engine's to refuse
            return self._engine.infer(infrared, rgb)
        began = self._clock()
        target = small[1], small[0]
        small_rgb = _uint8(cv2.resize(rgb, target, interpolation=cv2.INTER_AREA))
        small_infrared = _uint8(cv2.resize(infrared, target, interpolation=cv2.INTER_AREA))
        resized = self._clock()
        result = self._engine.infer(small_infrared, small_rgb)
        inferred = self._clock()
        change = cv2.resize(cv2.subtract(result.fused, small_rgb, dtype=cv2.CV_16S), (width, height))
        full = replace(
            result,
            fused=_uint8(cv2.add(rgb, change, dtype=cv2.CV_8U)),
            labels=_uint8(cv2.resize(result.labels, (width, height), interpolation=cv2.INTER_NEAREST)),
            confidence=_uint8(cv2.resize(result.confidence, (width, height))),
        )
        resize_ms = 1e3 * (resized - began + self._clock() - inferred)
        return replace(full, stage_ms={**result.stage_ms, "resize": resize_ms})


def network_size(height: int, width: int, share: float) -> tuple[int, int]:
    """Rows and columns of the network's image: multiples of 32, or the pair's own for a share of 1."""
    if share == 1:
        return height, width
    rows, columns = (min(side, max(_MULTIPLE, round(side * share / _MULTIPLE) * _MULTIPLE)) for side in (height, width))
    if min(rows, columns) < MIN_SIDE:
        raise EngineError(f"the pair is {width}x{height}: each side must be at least {MIN_SIDE}")
    return rows, columns


def _uint8(image: object) -> UInt8Image:
    """OpenCV's results are typed as any number."""
    return np.asarray(image, np.uint8)
