# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest
import torch

from segmif_ros.inference.backends import BackendOptions
from segmif_ros.inference.errors import EngineError
from segmif_ros.model.designs import build
from segmif_ros.model.network import SegMiFConfig
from segmif_ros.training.frame_times import WARM_UPS, frame_times

OPTIONS = BackendOptions(device=torch.device("cpu"))


@pytest.fixture(scope="module")
def networks():
    sizes = {"num_classes": 3, "fusion_channels": 8, "growth": 4, "fusion_scale": 4, "decoder_channels": 8}
    designs = {"cascade": "mean", "early": None}
    return {name: (build(SegMiFConfig(encoder="mit_b0", design=name, **sizes)), designs[name]) for name in designs}


def test_networks_take_turns_and_shares_are_of_the_same_round(networks):
    # the second round is slow for both, which moves no share
    lasting = [9.0] * 2 * WARM_UPS + [0.1, 0.05, 0.9, 0.45, 0.1, 0.05]
    now = itertools.accumulate(step for seconds in lasting for step in (0.0, seconds))
    busy = itertools.count(step=0.01)
    clocks = {"clock": lambda: next(now), "cpu_clock": lambda: next(busy)}
    times = frame_times(networks, (64, 64), frames=3, backend="torch", options=OPTIONS, **clocks)
    assert times["cascade"] == {"p50": pytest.approx(100), "share": 1.0, "cpu_p50": pytest.approx(10)}
    assert times["early"] == {"p50": pytest.approx(50), "share": pytest.approx(0.5), "cpu_p50": pytest.approx(10)}


def test_a_backend_that_is_not_there_or_of_another_device_is_refused_in_one_line(networks):
    with pytest.raises(EngineError, match="backend 'cuda_graph' runs on cuda only"):
        frame_times(networks, (64, 64), frames=1, backend="cuda_graph", options=OPTIONS)
