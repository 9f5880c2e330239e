# SPDX-License-Identifier: Apache-2.0
"""The budget: smaller under load, larger again after, no swinging, results at the pair's size."""

import numpy as np
import pytest

from segmif_ros.inference.adaptive import AdaptiveEngine, BudgetConfig, SizeController, network_size
from segmif_ros.inference.engine import EngineResult
from segmif_ros.inference.errors import EngineError
from segmif_ros.labels import FMB

CONFIG = BudgetConfig(budget_ms=100, window=3, calm_frames=5)


def _feed(controller: SizeController, full_ms: float, frames: int) -> list[float]:
    """Frames that take `full_ms` at full size and less with fewer pixels; the shares that they ran at."""
    shares = []
    for _ in range(frames):
        shares.append(controller.share)
        controller.observe(full_ms * controller.share**2)
    return shares


def test_within_the_budget_nothing_changes() -> None:
    assert set(_feed(SizeController(CONFIG), 99, 50)) == {1.0}


def test_one_slow_frame_changes_nothing() -> None:
    controller = SizeController(CONFIG)
    _feed(controller, 50, 5)
    assert not controller.observe(1000)
    assert set(_feed(controller, 50, 20)) == {1.0}


def test_under_load_the_size_falls_step_by_step_until_it_fits() -> None:
    shares = _feed(SizeController(CONFIG), 150, 20)
    assert shares[:4] == [1.0, 1.0, 1.0, 0.75]
    assert set(shares[3:]) == {0.75}
    assert _feed(SizeController(CONFIG), 300, 20)[-1] == 0.5


def test_the_smallest_size_is_kept_when_nothing_fits() -> None:
    assert _feed(SizeController(CONFIG), 5000, 40)[-1] == 0.5


def test_after_the_load_the_size_comes_back() -> None:
    controller = SizeController(CONFIG)
    _feed(controller, 300, 20)
    shares = _feed(controller, 50, 60)
    assert (shares[0], shares[-1]) == (0.5, 1.0)
    assert sorted(shares) == shares


def test_a_promise_that_fails_must_hold_longer_next_time() -> None:
    """Full size takes too long although the smaller one promises that it fits."""
    controller, shares = SizeController(CONFIG), []
    for _ in range(400):
        shares.append(controller.share)
        controller.observe(150 if controller.share == 1 else 40)
    tries = [i for i in range(1, 400) if shares[i] == 1 and shares[i - 1] < 1]
    waits = np.diff(tries)
    assert len(tries) >= 4
    assert (np.diff(waits)[:3] > 0).all()


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [
        ((480, 640), 1.0, (480, 640)),
        ((480, 640), 0.75, (352, 480)),
        ((33, 47), 0.5, (32, 32)),
        ((45, 51), 1.0, (45, 51)),
    ],
)
def test_smaller_sizes_are_multiples_of_32(size: tuple[int, int], share: float, expected: tuple[int, int]) -> None:
    assert network_size(*size, share) == expected


def test_a_pair_below_the_smallest_side_is_refused() -> None:
    with pytest.raises(EngineError, match="at least 29"):
        network_size(20, 64, 0.5)


class FakeEngine:
    """Takes a time by pixels on a clock of its own, and returns a known change of the RGB image."""

    label_set, model_name, model_hash, device_name = FMB, "fake", "0123", "cpu"

    def __init__(self, ms_at_full: float) -> None:
        self.now_s, self.ms_at_full = 0.0, ms_at_full
        self.sizes: list[tuple[int, int]] = []
        self.warmed: list[tuple[int, int]] = []

    def warm_up(self, height: int, width: int) -> None:
        self.warmed.append((height, width))

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        self.sizes.append(infrared.shape)
        self.now_s += 1e-3 * self.ms_at_full * infrared.size / (96 * 128)
        labels = np.zeros(infrared.shape, np.uint8)
        labels[:, infrared.shape[1] // 2 :] = 7
        brighter = np.minimum(rgb.astype(int) + 10, 255).astype(np.uint8)
        return EngineResult(fused=brighter, labels=labels, confidence=labels * 30, stage_ms={"network": 1.0})


def test_results_keep_the_size_of_the_pair_its_classes_and_its_detail() -> None:
    fake = FakeEngine(ms_at_full=300)
    engine = AdaptiveEngine(fake, CONFIG, clock=lambda: fake.now_s)
    engine.warm_up(96, 128)
    assert fake.warmed == [(96, 128), (64, 96), (64, 64)]
    rgb = np.zeros((96, 128, 3), np.uint8)
    rgb[::2] = 200  # detail that a smaller image can't hold
    for _ in range(12):
        result = engine.infer(np.zeros((96, 128), np.uint8), rgb)
    assert fake.sizes[0] == (96, 128)
    assert fake.sizes[-1] == (64, 64)
    assert (engine.share, engine.changes) == (0.5, 2)
    assert (result.fused.shape, result.labels.shape, result.confidence.shape) == (rgb.shape, (96, 128), (96, 128))
    assert set(np.unique(result.labels)) == {0, 7}
    np.testing.assert_array_equal(result.fused, rgb + 10)
    assert set(result.stage_ms) == {"network", "resize"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"budget_ms": 0}, "budget_ms is 0"),
        ({"budget_ms": 10, "shares": (0.5, 1.0)}, "largest first"),
        ({"budget_ms": 10, "shares": ()}, "largest first"),
        ({"budget_ms": 10, "window": 0}, "at least 1"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        BudgetConfig(**options)
