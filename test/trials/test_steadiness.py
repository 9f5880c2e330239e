# SPDX-License-Identifier: Apache-2.0
"""How changes of labels are counted with the filter and without it."""

from types import SimpleNamespace

import cv2
import numpy as np

from segmif_ros.labels import FMB
from segmif_ros.stream.temporal import TemporalConfig
from segmif_ros.trials.steadiness import measured, row

HEIGHT, WIDTH = 96, 128
WORLD = cv2.resize(
    np.random.default_rng(0).integers(0, 255, (30, 80, 3)).astype(np.uint8),
    (2 * WIDTH, HEIGHT),
    interpolation=cv2.INTER_CUBIC,
)


class Flickering:
    """Calls everything class 1, but for one pixel in ten."""

    label_set = FMB

    def __init__(self) -> None:
        self._rng = np.random.default_rng(1)

    def infer(self, infrared, rgb):
        wrong = self._rng.random(infrared.shape) < 0.1
        return SimpleNamespace(
            fused=rgb,
            labels=np.where(wrong, 2, 1).astype(np.uint8),
            confidence=np.where(wrong, 110, 200).astype(np.uint8),
        )


def drive(count=8):
    for number in range(count):
        rgb = np.ascontiguousarray(WORLD[:, 2 * number :][:, :WIDTH])
        yield rgb[..., 0].copy(), rgb, np.ones((HEIGHT, WIDTH), np.uint8)


def test_flicker_is_counted_along_the_motion_and_the_filter_takes_it_away() -> None:
    [found] = measured(Flickering(), drive(), 30.0)
    figures = found.figures()
    before, after = figures["changes"]
    assert 0.15 < before < 0.21  # two in ten change, some of them back to themselves
    assert after < 0.5 * before
    assert figures["miou"][1] > figures["miou"][0]


def test_filters_are_compared_on_the_same_frames() -> None:
    slow, quick = measured(
        Flickering(), drive(), 30.0, (TemporalConfig(contrary=0.1), TemporalConfig(contrary=1.0, frames=1.0))
    )
    assert slow.changes[0] == quick.changes[0] and slow.matrices[0].counts.tolist() == quick.matrices[0].counts.tolist()
    assert sum(slow.changes[1]) < sum(quick.changes[1])


def test_a_line_of_the_table_names_both_and_their_ratio() -> None:
    figures = {"changes": [0.04, 0.01], "all_changes": [0.05, 0.02], "miou": [None, None], "filter_cpu_ms": 3.0}
    assert "4.00 -> 1.00 (0.25)" in row("forest", figures)
