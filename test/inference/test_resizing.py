# SPDX-License-Identifier: Apache-2.0
"""The network at a size of its own: what it sees, and results at the pair's size."""

from types import SimpleNamespace

import numpy as np
import pytest

from segmif_ros.inference.engine import EngineResult
from segmif_ros.inference.resizing import FixedSizeEngine, asked_size


class Seeing:
    """Notes the sizes that it sees; its fused image is the RGB image, 10 levels brighter."""

    label_set = SimpleNamespace(name="three")
    model_name, model_hash, device_name, backend_name, precision = "seeing", "0", "cpu", "abacus", "exact"

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def warm_up(self, height: int, width: int) -> None:
        self.sizes.append((height, width))

    def infer(self, infrared: np.ndarray, rgb: np.ndarray) -> EngineResult:
        self.sizes.append(infrared.shape)
        return EngineResult(
            fused=rgb + np.uint8(10), labels=infrared // 100, confidence=infrared, stage_ms={"network": 1.0}
        )


@pytest.mark.parametrize(
    ("asked", "pair", "size"),
    [((0, 0), (720, 1280), (720, 1280)), ((480, 640), (720, 1280), (480, 640)), ((360, 0), (720, 1280), (360, 640)),
     ((0, 640), (512, 640), (512, 640)), ((0, 1), (1, 4096), (1, 1))],
)  # fmt: skip
def test_a_side_of_0_follows_from_the_other(
    asked: tuple[int, int], pair: tuple[int, int], size: tuple[int, int]
) -> None:
    assert asked_size(asked, pair) == size


def test_the_network_sees_its_size_and_results_have_the_pairs() -> None:
    engine = Seeing()
    random = np.random.default_rng(0)
    rgb = random.integers(0, 200, (60, 100, 3), np.uint8)
    infrared = np.repeat(np.array([40, 240], np.uint8), 50)[None].repeat(60, axis=0)
    result = FixedSizeEngine(engine, (30, 50)).infer(infrared, rgb)
    assert engine.sizes == [(30, 50)]
    np.testing.assert_array_equal(result.fused, rgb + np.uint8(10))  # with all of its detail
    np.testing.assert_array_equal(result.labels, infrared // 100)
    assert result.confidence.shape == (60, 100)
    assert set(result.stage_ms) == {"network", "resize"}


def test_a_pair_of_the_networks_size_is_left_alone_and_warm_up_is_at_that_size() -> None:
    engine = Seeing()
    sized = FixedSizeEngine(engine, (0, 50))
    sized.warm_up(480, 640)
    result = sized.infer(np.zeros((30, 50), np.uint8), np.zeros((30, 50, 3), np.uint8))
    assert engine.sizes == [(38, 50), (30, 50)]
    assert set(result.stage_ms) == {"network"}
