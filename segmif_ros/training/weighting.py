# SPDX-License-Identifier: Apache-2.0
"""How the fusion and the segmentation loss are balanced.

A weighting is asked for its ``weights()`` before each step and shown the loss values after it. Its state is plain
numbers, so that a resumed run balances exactly as the uninterrupted one. One kind is learned: it has parameters for
the optimiser, and `combined` lets the gradient reach them. One kind is shown gradients, not only losses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from segmif_ros.training.config import TrainingConfig

State = Mapping[str, Any]  # what a run's state file holds of a weighting


class Weighting(Protocol):
    """Balances K losses."""

    def weights(self) -> tuple[float, ...]:
        """Return the factor of each loss in the next step."""

    def update(self, losses: Sequence[float]) -> None:
        """Show the unweighted loss values of the step just taken."""

    def state(self) -> State:
        """Return what ``restore`` needs."""

    def restore(self, state: State) -> None:
        """Continue from a ``state``."""


def combined(weighting: Weighting, losses: Sequence[Tensor], *, known: Sequence[bool], share: float) -> Tensor:
    """Weighted sum of scalar losses of a part of the batch.

    known: Which losses have any truth in the whole batch (a mixture has batches without labels).
    share: Which share of the whole batch the part is; what does not depend on the samples counts that much.
    """
    if isinstance(weighting, UncertaintyWeights):
        return weighting.combined(losses, known, share)
    total = losses[0] * weighting.weights()[0]
    for loss, weight in zip(losses[1:], weighting.weights()[1:], strict=True):
        total = total + weight * loss
    return total


class FixedWeights:
    """The base weights, always."""

    def __init__(self, base: Sequence[float]) -> None:
        self._base = tuple(base)

    def weights(self) -> tuple[float, ...]:
        """Return the base weights."""
        return self._base

    def update(self, losses: Sequence[float]) -> None:
        """Do nothing."""

    def state(self) -> State:
        """Return nothing: there is no state."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing."""


class AuthorsDynamicWeight:
    """The authors' dynamic weight factor: base_k * K softmax(q / 1000), q_k = L_k(n-1) / L_k(n-2).

    For their two losses base is (0.4 / round, 0.8) and the first 11 iterations use the base alone. With the temperature
    of 1000 the factor is 1 +- 0.0005, constant in practice; DynamicWeightAverage is the one that reacts.
    """

    TEMPERATURE = 1000.0
    PLAIN_ITERATIONS = 11

    def __init__(self, base: Sequence[float]) -> None:
        self._base = tuple(base)
        self._iteration = 0
        self._history: list[tuple[float, ...]] = []

    def weights(self) -> tuple[float, ...]:
        """Return the factors of the next iteration."""
        if self._iteration < self.PLAIN_ITERATIONS or len(self._history) < 2:
            return self._base
        return _balanced(self._base, self._history[-1], self._history[-2], self.TEMPERATURE)

    def update(self, losses: Sequence[float]) -> None:
        """Remember the last two iterations' losses."""
        self._iteration += 1
        self._history = [*self._history[-1:], tuple(losses)]

    def state(self) -> State:
        """Return iteration and history."""
        return {"iteration": self._iteration, "history": [list(each) for each in self._history]}

    def restore(self, state: State) -> None:
        """Continue from a ``state``."""
        self._iteration = int(state["iteration"])
        self._history = [tuple(each) for each in state["history"]]


class DynamicWeightAverage:
    """Dynamic weight averaging (Liu et al., CVPR 2019): base_k * K softmax(r / T), r_k = mean_k(w-1) / mean_k(w-2).

    The ratio is taken between windows of ``window`` steps, so that it shows the trend of a loss rather than the
    difference of two batches; a loss that falls more slowly than the other gets more weight. Losses of exactly 0 (a
    batch without labels) are left out of their window's mean; a window without any other keeps the mean before it.
    """

    def __init__(self, base: Sequence[float], temperature: float = 2.0, window: int = 50) -> None:
        if temperature <= 0 or window < 1:
            raise ValueError(f"temperature {temperature} and window {window} must be positive")
        self._base = tuple(base)
        self._temperature = temperature
        self._window = window
        self._steps = 0
        self._sums = [0.0] * len(self._base)
        self._counts = [0] * len(self._base)
        self._means: list[tuple[float, ...]] = []

    def weights(self) -> tuple[float, ...]:
        """Return the factors of the next step; the base until two windows are full."""
        if len(self._means) < 2:
            return self._base
        return _balanced(self._base, self._means[-1], self._means[-2], self._temperature)

    def update(self, losses: Sequence[float]) -> None:
        """Add the losses of a step to the window."""
        for k, loss in enumerate(losses):
            if loss != 0.0:
                self._sums[k] += loss
                self._counts[k] += 1
        self._steps += 1
        if self._steps == self._window:
            before = self._means[-1] if self._means else (0.0,) * len(self._base)
            means = tuple(s / c if c else b for s, c, b in zip(self._sums, self._counts, before, strict=True))
            self._means = [*self._means[-1:], means]
            self._steps, self._sums, self._counts = 0, [0.0] * len(self._base), [0] * len(self._base)

    def state(self) -> State:
        """Return the running window and the two means."""
        return {
            "steps": self._steps,
            "sums": list(self._sums),
            "counts": list(self._counts),
            "means": [list(each) for each in self._means],
        }

    def restore(self, state: State) -> None:
        """Continue from a ``state``."""
        self._steps = int(state["steps"])
        self._sums, self._counts = list(state["sums"]), list(state["counts"])
        self._means = [tuple(each) for each in state["means"]]


class UncertaintyWeights:
    """Learned weights (Kendall et al., CVPR 2018): the sum of base_k exp(-s_k) L_k + s_k / 2, s_k learned.

    s_k is the logarithm of the variance that the k-th task is thought to have; it starts at 0, so that the base weights
    are the first ones. Where s_k comes to rest, base_k exp(-s_k) L_k is one half: all losses then count alike, and the
    base no longer matters. A loss without truth in a batch leaves its s_k alone.

    Attributes:
        log_variances: The s_k, float32 (K,), for the optimiser.
    """

    def __init__(self, base: Sequence[float], device: torch.device | None = None) -> None:
        self._base = tuple(base)
        self.log_variances = nn.Parameter(torch.zeros(len(self._base), device=device))

    def weights(self) -> tuple[float, ...]:
        """Return base_k exp(-s_k)."""
        return tuple(b * math.exp(-s) for b, s in zip(self._base, self.log_variances.tolist(), strict=True))

    def combined(self, losses: Sequence[Tensor], known: Sequence[bool], share: float) -> Tensor:
        """See the function `combined`."""
        total = losses[0].new_zeros(())
        for loss, base, s, counts in zip(losses, self._base, self.log_variances, known, strict=True):
            # without truth the loss is 0 and stays in for the networks' sake: they get their zero gradients
            total = total + (base * torch.exp(-s) * loss + share * s / 2 if counts else loss)
        return total

    def update(self, losses: Sequence[float]) -> None:
        """Do nothing: the optimiser moves the weights."""

    def state(self) -> State:
        """Return the s_k."""
        return {"log_variances": self.log_variances.tolist()}

    def restore(self, state: State) -> None:
        """Continue from a ``state``."""
        with torch.no_grad():
            self.log_variances.copy_(torch.tensor(state["log_variances"]))


class GradientNorm:
    """GradNorm (Chen et al., ICML 2018): factors w_k whose weighted gradients are of the sizes that they should be.

    G_k = w_k base_k |grad L_k| is taken at one layer that all losses reach. It should be the mean of all G_k times
    r_k ** asymmetry, where r_k is what is left of a loss, L_k / L_k(0), divided by the mean of that over the losses:
    the loss that lags gets the larger gradient. The w_k go down the gradient of sum_k |G_k - target_k|, the targets
    held constant, with the rate ``rate``, and are then divided by their mean, which stays 1. A loss of 0 (a batch
    without labels) is no evidence: the w_k stay.
    """

    # a factor of 0 could never come back, as its own gradient is what moves it
    SMALLEST = 0.01

    def __init__(self, base: Sequence[float], rate: float = 0.025, asymmetry: float = 1.0) -> None:
        self._base = tuple(base)
        self._rate = rate
        self._asymmetry = asymmetry
        self._factors = [1.0] * len(self._base)
        self._first: list[float] = []
        self._norms: tuple[float, ...] = ()

    def weights(self) -> tuple[float, ...]:
        """Return base_k w_k."""
        return tuple(b * w for b, w in zip(self._base, self._factors, strict=True))

    def observe(self, norms: Sequence[float]) -> None:
        """Show |grad (weight_k L_k)| of the step being taken, at the layer that all losses reach."""
        self._norms = tuple(norms)

    def update(self, losses: Sequence[float]) -> None:
        """Move the factors by what was observed of the step just taken."""
        norms, self._norms = self._norms, ()
        if not norms or any(loss <= 0 for loss in losses):
            return
        self._first = self._first or list(losses)
        left = [loss / first for loss, first in zip(losses, self._first, strict=True)]
        mean_left, mean_norm = sum(left) / len(left), sum(norms) / len(norms)
        for k, norm in enumerate(norms):
            target = mean_norm * (left[k] / mean_left) ** self._asymmetry
            slope = math.copysign(norm / self._factors[k], norm - target) if norm != target else 0.0
            self._factors[k] = max(self._factors[k] - self._rate * slope, self.SMALLEST)
        mean = sum(self._factors) / len(self._factors)
        self._factors = [factor / mean for factor in self._factors]

    def state(self) -> State:
        """Return factors and first losses."""
        return {"factors": list(self._factors), "first": list(self._first)}

    def restore(self, state: State) -> None:
        """Continue from a ``state``."""
        self._factors, self._first = list(state["factors"]), list(state["first"])


def make_weighting(config: TrainingConfig, base: Sequence[float], device: torch.device) -> Weighting:
    """Return the weighting that a recipe names, from these base weights."""
    if config.weighting == "fixed":
        return FixedWeights(base)
    if config.weighting == "authors":
        return AuthorsDynamicWeight(base)
    if config.weighting == "uncertainty":
        return UncertaintyWeights(base, device)
    if config.weighting == "gradient_norm":
        return GradientNorm(base, config.weighting_lr, config.weighting_asymmetry)
    return DynamicWeightAverage(base, config.weighting_temperature, config.weighting_window)


def _balanced(
    base: Sequence[float], last: Sequence[float], before: Sequence[float], temperature: float
) -> tuple[float, ...]:
    """base_k * K softmax(last / before / temperature); a ratio to zero counts as 1 (no trend known)."""
    ratios = [now / then if then != 0 else 1.0 for now, then in zip(last, before, strict=True)]
    top = max(ratios)
    powers = [math.exp((ratio - top) / temperature) for ratio in ratios]
    return tuple(b * len(base) * p / sum(powers) for b, p in zip(base, powers, strict=True))
