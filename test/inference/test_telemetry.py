# SPDX-License-Identifier: Apache-2.0
"""Nothing is sent from the machine that the network runs on."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from segmif_ros.inference.backends.telemetry import BLOCKED
from segmif_ros.inference.engine import Engine, EngineConfig


@pytest.mark.parametrize("name", BLOCKED)
def test_what_sends_usage_data_can_not_be_imported_once_backends_are(name: str) -> None:
    with pytest.raises(ImportError):
        importlib.import_module(name)


def test_an_engine_on_openvino_neither_loads_what_sends_usage_data_nor_forks(tiny_weights: Path) -> None:
    pytest.importorskip("openvino")
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(1))
    engine = Engine(EngineConfig(weights=(str(tiny_weights),), backend="openvino", num_threads=1))
    engine.warm_up(32, 32)
    assert engine.backend_name == "openvino"
    assert "openvino.tools.ovc.telemetry_utils" in sys.modules  # where OpenVINO would have used it
    assert not [each for each in sys.modules if each.startswith(tuple(f"{name}." for name in BLOCKED))]
    assert not forks
