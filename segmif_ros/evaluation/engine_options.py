# SPDX-License-Identifier: Apache-2.0
"""Command-line options that evaluation and replay share, and the engine that they ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from segmif_ros.evaluation.contents import contents_hash
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.feature_information import require_library
from segmif_ros.evaluation.fusion_metrics import BASELINES, FUSION_METRICS, METRIC_GROUPS
from segmif_ros.inference.backend_table import BACKENDS
from segmif_ros.inference.config import CHOICES, EngineConfig, NetworkConfig
from segmif_ros.paths import user_path
from segmif_ros.settings import from_values
from segmif_ros.settings.options import add_options, given

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol

EngineFactory = Callable[[], "EngineProtocol"]

_RUNTIME = ("device", "backend", "precision", "calibration_pairs", "num_threads")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the engine: the node's parameters; see `network_config`."""
    group = parser.add_argument_group("engine, as the node's parameters")
    group.add_argument("--baseline", choices=sorted(BASELINES), help="fuse by this pixel rule instead of a network")
    _add(group, ())


def add_runtime_arguments(group: argparse._ActionsContainer) -> None:
    """Add what chooses how the network is run, to a parser or a group of one; see `runtime_config`."""
    _add(group, _RUNTIME)


def _add(group: argparse._ActionsContainer, names: tuple[str, ...]) -> None:
    add_options(
        group,
        NetworkConfig,
        names,
        options={"num_threads": "--threads"},
        # figures state their backend, so none is chosen by trial
        choices={"backend": ("auto", *BACKENDS)},
    )


def add_run_arguments(parser: argparse.ArgumentParser, out: str, below: str = "") -> None:
    """Add where results go and how the work is spread; ``below`` says which folder of ``out`` the command chooses."""
    group = parser.add_argument_group("run")
    default = f"{out}/ and {below}" if below else out
    group.add_argument("--out", type=Path, default=None if below else Path(out), help=f"folder (default: {default})")
    group.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    group.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a Dask cluster, instead of processes")
    group.add_argument("--fresh", action="store_true", help="start again instead of resuming what --out holds")
    group.add_argument(
        "--fusion-metrics",
        default="textbook",
        metavar="NAMES",
        help=f"a list of {', '.join((*METRIC_GROUPS, *FUSION_METRICS))} (default: %(default)s)",
    )


def network_config(arguments: argparse.Namespace, names: tuple[str, ...] = ()) -> NetworkConfig:
    """Return what the options of an engine, or a params file that was followed, ask for.

    Raises:
        EvaluationError: If the backend is to be chosen by trial, as a params file of a node may say.
        SettingError: If a value isn't acceptable.
    """
    config = from_values(NetworkConfig, given(arguments, NetworkConfig, names))
    if config.engine.backend in CHOICES and config.engine.backend != "auto":
        raise EvaluationError(
            f"backend '{config.engine.backend}' may be another one each time, and figures must say theirs: give one of "
            f"{', '.join(BACKENDS)} (the node's /diagnostics say which one it took)"
        )
    return config


def runtime_config(arguments: argparse.Namespace) -> EngineConfig:
    """Return the engine of the default weights, run as `add_runtime_arguments` asks for. Raises as `network_config`."""
    return network_config(arguments, _RUNTIME).engine


def engine_factory(arguments: argparse.Namespace) -> EngineFactory:
    """Return what makes the engine, in this process or in a worker."""
    from segmif_ros.evaluation.baseline import BaselineEngine
    from segmif_ros.inference.engine import Engine

    if arguments.baseline:
        return partial(BaselineEngine, arguments.baseline)
    config = network_config(arguments)
    if config.engine.num_threads == 0 and arguments.workers > 1:
        threads = max(1, (os.cpu_count() or 1) // arguments.workers)
        config = replace(config, engine=replace(config.engine, num_threads=threads))
    size = config.size.height, config.size.width
    return partial(_sized, config.engine, size) if config.size else partial(Engine, config.engine)


def engine_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the engine's settings that figures depend on, as values for the report."""
    if arguments.baseline:
        return {"baseline": arguments.baseline}
    from segmif_ros.inference.networks import default_backend

    config = network_config(arguments)
    engine = config.engine
    backend = default_backend(engine.weights) if engine.backend == "auto" else engine.backend
    in_force = {"backend": backend, "precision": engine.precision, "prior": engine.prior, "mode": engine.mode}
    if config.size:
        in_force["inference_size"] = f"{config.size.width}x{config.size.height}"
    if engine.precision == "int8":
        in_force["calibration_pairs"] = _calibration(engine.calibration_pairs)
    return in_force | palette_settings(arguments)


def palette_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the palette where it isn't the default: no figure depends on it, but pictures that are kept do."""
    palette = network_config(arguments).engine.palette
    return {} if palette == EngineConfig.palette else {"palette": palette}


def _calibration(folder: str) -> str:
    """Return what int8 is calibrated with: the folder and what its files hold."""
    if not folder:
        return "built-in patterns"
    files = sorted(path for path in user_path(folder).rglob("*") if path.is_file())
    return f"{user_path(folder).name} {contents_hash(files, None)}"


def _sized(config: EngineConfig, size: tuple[int, int]) -> EngineProtocol:
    from segmif_ros.inference.engine import Engine
    from segmif_ros.inference.resizing import FixedSizeEngine

    return FixedSizeEngine(Engine(config), size)


def metric_names(text: str) -> tuple[str, ...]:
    """Return the fusion metrics of a list of names and groups; EvaluationError lists the known ones."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    names = tuple(dict.fromkeys(name for word in words for name in METRIC_GROUPS.get(word, (word,))))
    if unknown := [name for name in names if name not in FUSION_METRICS]:
        known = ", ".join((*METRIC_GROUPS, *FUSION_METRICS))
        raise EvaluationError(f"unknown fusion metrics {', '.join(unknown)}: choose from {known}")
    if "FMI_w" in names:
        require_library("wavelet")
    return names
