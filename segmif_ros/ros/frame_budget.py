# SPDX-License-Identifier: Apache-2.0
"""The frame budget in the node: what counts as a frame's time, and what is reported of it.

What counts is how long the node works on a pair: decoding, gain, registration, prior, network, resizing and publishing.
That is what sets the rate (1 / time) and how old a result gets in the node: a pair waits for the one before it at most,
so no longer than the same time once more. The age by stamp isn't taken, although it is what a robot cares for in the
end: it holds the camera's own delay and the difference of two clocks as well, which no smaller image can make less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from segmif_ros.stream.processing import Clock, Output

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.adaptive_size import BudgetState
    from segmif_ros.inference.engine import EngineProtocol


@runtime_checkable
class Budgeted(Protocol):
    """What `segmif_ros.inference.adaptive_size.AdaptiveEngine` has that other engines don't."""

    @property
    def state(self) -> BudgetState | None:
        """How it stands; None before it was warmed up."""

    def observe(self, frame_ms: float) -> None:
        """Take in how long the last frame took."""


def within_budget(engine: EngineProtocol, budget_ms: float, size: tuple[int, int] = (0, 0)) -> EngineProtocol:
    """Return an engine as the parameters `frame_budget_ms` and `inference_width`, `inference_height` ask for.

    Args:
        engine: Does the work.
        budget_ms: Longest that a pair may take; 0 for no budget.
        size: Rows and columns that the network sees (at most, with a budget); 0 follows from the other side.
    """
    if budget_ms:
        from segmif_ros.inference.adaptive_size import AdaptiveEngine, BudgetConfig

        return AdaptiveEngine(engine, BudgetConfig(budget_ms=budget_ms), full_size=size)
    if not any(size):
        return engine
    from segmif_ros.inference.resizing import FixedSizeEngine

    return FixedSizeEngine(engine, size)


def observed(deliver: Callable[[Output], None], now_ns: Clock) -> Callable[[Output], None]:
    """Return ``deliver`` with the time of the whole pair reported to an engine that adapts to it.

    Args:
        deliver: Takes an output.
        now_ns: Steady time.
    """

    def deliver_and_tell(output: Output) -> None:
        started_ns = now_ns()
        deliver(output)
        if isinstance(output.engine, Budgeted):
            output.engine.observe(sum(output.stage_ms.values()) + 1e-6 * (now_ns() - started_ns))

    return deliver_and_tell


def budget_state(engine: EngineProtocol | None) -> BudgetState | None:
    """Return how the engine stands with its budget; None without one."""
    return engine.state if isinstance(engine, Budgeted) else None


def budget_values(state: BudgetState | None) -> dict[str, str]:
    """Return the keys and values of /diagnostics; none without a budget."""
    if state is None:
        return {}
    return {
        "frame_budget_ms": f"{state.budget_ms:g}",
        "frame_ms_median": f"{state.median_ms:.2f}",
        "inference_width": str(state.size[1]),
        "inference_height": str(state.size[0]),
        "inference_share": f"{state.share:g}",
        "inference_size_changes": str(state.changes),
        "inference_size_reason": state.reason,
    }
