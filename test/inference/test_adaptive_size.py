# SPDX-License-Identifier: Apache-2.0
"""The budget: smaller under load, larger again after, no swinging, results at the pair's size."""

from collections.abc import Callable

import numpy as np
import pytest

from segmif_ros.inference.adaptive_size import AdaptiveEngine, BudgetConfig, SizeController, network_sizes
from segmif_ros.inference.backends import BackendOptions
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import FMB

CONFIG = BudgetConfig(budget_ms=100, window=3, calm_frames=5)
PIXELS = (10_000, 5_625, 2_500)
TOP, MIDDLE, BOTTOM = range(3)


def _controller() -> SizeController:
    return SizeController(CONFIG, PIXELS)


def _feed(controller: SizeController, full_ms: float, frames: int, *, fixed_ms: float = 0.0) -> list[int]:
    """Frames whose network takes `full_ms` at full size and less with fewer pixels; the steps that they ran at."""
    return _run(controller, lambda step: (fixed_ms, full_ms * PIXELS[step] / PIXELS[0]), frames)


def _run(controller: SizeController, cost_ms: Callable[[int], tuple[float, float]], frames: int) -> list[int]:
    """Frames of which each step's rest and network take what `cost_ms` says."""
    steps = []
    for _ in range(frames):
        steps.append(controller.step)
        rest_ms, network_ms = cost_ms(controller.step)
        controller.observe(rest_ms + network_ms, network_ms)
    return steps


def test_within_the_budget_nothing_changes() -> None:
    assert set(_feed(_controller(), 99, 50)) == {TOP}


def test_one_slow_frame_changes_nothing() -> None:
    controller = _controller()
    _feed(controller, 50, 5)
    assert not controller.observe(1000, 1000)
    assert set(_feed(controller, 50, 20)) == {TOP}


def test_under_load_the_size_falls_as_soon_as_the_median_is_certain_and_stays_where_it_fits() -> None:
    steps = _feed(_controller(), 150, 20)
    assert steps[:3] == [TOP, TOP, MIDDLE]
    assert set(steps[2:]) == {MIDDLE}
    assert _feed(_controller(), 300, 20)[:5] == [TOP, TOP, MIDDLE, MIDDLE, BOTTOM]


def test_the_smallest_size_is_kept_and_said_to_be_too_slow_when_nothing_fits() -> None:
    controller = _controller()
    assert _feed(controller, 5000, 1000)[-1] == BOTTOM
    assert controller.exceeded
    _feed(controller, 100, 3)
    assert not controller.exceeded


def test_after_the_load_the_size_comes_back_step_by_step() -> None:
    controller = _controller()
    _feed(controller, 300, 20)
    steps = _feed(controller, 50, 60)
    assert (steps[0], steps[-1]) == (BOTTOM, TOP)
    assert sorted(steps, reverse=True) == steps
    assert MIDDLE in steps


def test_time_that_does_not_go_with_the_pixels_is_no_reason_to_stay_small() -> None:
    """At full size it would be 60 + 24 ms; by pixels alone, the smaller sizes would promise far more than that."""
    controller = _controller()
    _feed(controller, 300, 20, fixed_ms=60)
    assert controller.step == BOTTOM
    assert _feed(controller, 24, 30, fixed_ms=60)[-1] == TOP


def test_a_network_whose_time_hardly_falls_with_the_pixels_comes_back_in_the_end() -> None:
    controller = _controller()
    _run(controller, lambda _step: (0, 120), 20)
    steps = _run(controller, lambda _step: (0, 80), 400)
    assert (steps[0], steps[-1]) == (BOTTOM, TOP)


def test_a_larger_size_is_on_trial_until_it_has_held() -> None:
    controller = _controller()
    _feed(controller, 150, 5)
    assert not controller.on_trial
    while controller.step == MIDDLE:
        _feed(controller, 50, 1)
    assert controller.on_trial
    _feed(controller, 50, CONFIG.calm_frames)
    assert not controller.on_trial


def test_a_promise_that_fails_must_hold_longer_next_time() -> None:
    """Full size takes too long although the smaller one promises that it fits."""
    steps = _run(_controller(), lambda step: (0, 150 if step == TOP else 40), 1000)
    tries = [i for i in range(1, 1000) if steps[i] == TOP and steps[i - 1] > TOP]
    waits = np.diff(tries)
    assert len(tries) >= 5
    assert (np.diff(waits)[:3] > 0).all()
    late = steps[500:]
    assert late.count(TOP) / len(late) < 0.05, "steady load hardly ever costs a slow frame"


def test_a_size_that_has_held_for_long_makes_up_for_earlier_failures() -> None:
    controller = _controller()
    _run(controller, lambda step: (0, 150 if step == TOP else 40), 500)
    _feed(controller, 40, 500)  # back, and settled
    assert controller.step == TOP
    _feed(controller, 150, 4)
    steps = _feed(controller, 40, 20)
    assert steps.index(TOP) <= CONFIG.window + CONFIG.calm_frames


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), [(480, 640), (352, 480), (256, 320)]),
        ((45, 51), [(45, 51), (32, 32)]),
        ((32, 32), [(32, 32)]),
        ((30, 640), [(30, 640)]),
    ],
)
def test_smaller_sizes_are_multiples_of_32_and_each_comes_once(
    size: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    assert [size for _, size in network_sizes(*size, (1.0, 0.75, 0.5))] == expected


def test_a_backend_that_compiles_for_each_size_keeps_all_of_them() -> None:
    assert len(BudgetConfig(budget_ms=1).shares) <= BackendOptions.sizes_kept


class FakeEngine:
    """Takes a time by pixels, and returns a known change of the RGB image."""

    label_set, model_name, model_hash, device_name = FMB, "fake", "0123", "cpu"
    backend_name, precision = "abacus", "exact"

    def __init__(self, ms_at_full: float) -> None:
        self.ms_at_full = ms_at_full
        self.sizes: list[tuple[int, int]] = []
        self.warmed: list[tuple[int, int]] = []

    def warm_up(self, height: int, width: int) -> None:
        self.warmed.append((height, width))

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        self.sizes.append(infrared.shape)
        labels = np.zeros(infrared.shape, np.uint8)
        labels[:, infrared.shape[1] // 2 :] = 7
        brighter = np.minimum(rgb.astype(int) + 10, 255).astype(np.uint8)
        network_ms = self.ms_at_full * infrared.size / (96 * 128)
        return EngineResult(fused=brighter, labels=labels, confidence=labels * 30, stage_ms={"network": network_ms})


def _pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[::2] = 200  # detail that a smaller image can't hold
    return np.zeros((height, width), np.uint8), rgb


def _frames(engine: AdaptiveEngine, count: int, height: int = 96, width: int = 128) -> EngineResult:
    for _ in range(count):
        result = engine.infer(*_pair(height, width))
        engine.observe(result.stage_ms["network"] + 1)
    return result


def test_results_keep_the_size_of_the_pair_its_classes_and_its_detail() -> None:
    fake = FakeEngine(ms_at_full=300)
    engine = AdaptiveEngine(fake, CONFIG, clock=lambda: 0.0)
    result = _frames(engine, 12)
    assert fake.sizes[-1] == (64, 64)
    assert (result.fused.shape, result.labels.shape, result.confidence.shape) == ((96, 128, 3), (96, 128), (96, 128))
    assert set(np.unique(result.labels)) == {0, 7}
    np.testing.assert_array_equal(result.fused, _pair(96, 128)[1] + 10)
    assert result.stage_ms == {"network": pytest.approx(100), "resize": 0.0}


def test_the_state_says_size_number_of_changes_and_reason() -> None:
    fake = FakeEngine(ms_at_full=150)
    engine = AdaptiveEngine(fake, CONFIG)
    assert engine.state is None
    engine.warm_up(96, 128)
    assert (engine.state.size, engine.state.share, engine.state.changes, engine.state.reason) == ((96, 128), 1.0, 0, "")
    _frames(engine, 2)
    assert (engine.state.size, engine.state.share, engine.state.changes) == ((64, 96), 0.75, 1)
    assert engine.state.reason == "most frames at 128x96 took more than the budget of 100 ms, the last 151 ms"
    fake.ms_at_full = 40
    _frames(engine, 20)
    assert (engine.state.size, engine.state.changes) == (engine.state.full_size, 2)
    assert engine.state.reason == "frames at 96x64 kept the budget of 100 ms for long, the last took 21 ms"


def test_every_size_is_warm_before_the_first_pair_and_a_trial_of_backends_is_for_the_full_one() -> None:
    fake = FakeEngine(ms_at_full=10)
    engine = AdaptiveEngine(fake, CONFIG)
    engine.warm_up(96, 128)
    assert (fake.warmed, fake.sizes) == ([(96, 128)], [(64, 96), (64, 64)])
    _frames(engine, 1)
    assert fake.sizes[2:] == [(96, 128)]


def test_pairs_of_another_size_start_at_their_full_size_with_all_of_theirs_warm() -> None:
    fake = FakeEngine(ms_at_full=300)
    engine = AdaptiveEngine(fake, CONFIG)
    _frames(engine, 4)
    fake.sizes.clear()
    _frames(engine, 1, 192, 256)
    assert fake.sizes == [(128, 192), (96, 128), (192, 256)]
    assert (engine.state.size, engine.state.changes) == ((192, 256), 2)


def test_a_pair_that_does_not_fit_together_is_the_engines_to_refuse() -> None:
    class Refusing(FakeEngine):
        def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
            raise ValueError(f"{infrared.shape} and {rgb.shape}")

    engine = AdaptiveEngine(Refusing(0), CONFIG)
    with pytest.raises(ValueError, match=r"\(96, 128\) and \(64, 64, 3\)"):
        engine.infer(_pair(96, 128)[0], _pair(64, 64)[1])
    engine.observe(5.0)  # nothing ran: nothing to count
    assert engine.state is None


def test_what_runs_the_network_is_told_on() -> None:
    engine = AdaptiveEngine(FakeEngine(0), CONFIG)
    assert (engine.model_name, engine.backend_name, engine.precision) == ("fake", "abacus", "exact")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"budget_ms": 0}, "budget_ms is 0"),
        ({"budget_ms": 10, "shares": (0.5, 1.0)}, "largest first"),
        ({"budget_ms": 10, "shares": (2.0, 1.0)}, "at most 1"),
        ({"budget_ms": 10, "shares": ()}, "largest first"),
        ({"budget_ms": 10, "window": 0}, "at least 1"),
        ({"budget_ms": 10, "promise": 1.5}, "promise is 1.5"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        BudgetConfig(**options)
