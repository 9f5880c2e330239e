# SPDX-License-Identifier: Apache-2.0
"""Command-line options that evaluation and replay share, and the engine that they ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from segmif_ros.evaluation.baseline import BaselineEngine
from segmif_ros.evaluation.contents import contents_hash
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.evaluation.fusion import BASELINES, TEXTBOOK_METRICS, TOOLBOX_METRICS
from segmif_ros.inference.engine import (
    BACKENDS,
    CHOICES,
    MODES,
    PRECISIONS,
    PRIOR_METHODS,
    Engine,
    EngineConfig,
    EngineProtocol,
)
from segmif_ros.inference.networks import default_backend
from segmif_ros.inference.resizing import FixedSizeEngine
from segmif_ros.inference.weights import DEFAULT_WEIGHTS
from segmif_ros.paths import user_path

EngineFactory = Callable[[], EngineProtocol]


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the engine."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--weights",
        default=DEFAULT_WEIGHTS,
        help="packaged name, checkpoint file, model folder, or the authors' two files separated by a comma "
        "(default: %(default)s)",
    )
    group.add_argument("--baseline", choices=sorted(BASELINES), help="fuse by this pixel rule instead of a network")
    add_runtime_arguments(group)
    group.add_argument("--prior", default="auto", choices=("auto", *PRIOR_METHODS))
    group.add_argument("--mode", default="robot", choices=MODES)
    group.add_argument("--label-set", default="auto", help="a name or a .yaml file (default: as trained)")
    for side, what in (("width", "columns"), ("height", "rows")):
        group.add_argument(
            f"--inference-{side}", type=int, default=0, metavar="PIXELS", help=f"{what} that the network sees; 0: all"
        )
    group.add_argument("--threads", type=int, default=0, help="of torch, in each process (default: all cores, shared)")


def add_runtime_arguments(group: argparse._ActionsContainer) -> None:
    """Add what chooses how the network is run, to a parser or a group of one; see `with_runtime`."""
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    group.add_argument(
        "--backend",
        default="auto",
        choices=("auto", *BACKENDS),
        help="what runs the network; auto is torch, or what runs a model folder's file (default: %(default)s)",
    )
    group.add_argument(
        "--precision", default="float32", choices=sorted(PRECISIONS), help="its arithmetic (default: %(default)s)"
    )
    group.add_argument(
        "--calibration-pairs", default="", metavar="FOLDER", help="calibrate int8 with these pairs; default: patterns"
    )


def add_run_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add where results go and how the work is spread."""
    group = parser.add_argument_group("run")
    group.add_argument("--out", type=Path, default=Path(out), help="folder of the results (default: %(default)s)")
    group.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    group.add_argument("--scheduler", default="", metavar="ADDRESS", help="of a Dask cluster, instead of processes")
    group.add_argument("--fresh", action="store_true", help="start anew instead of going on with what --out holds")
    group.add_argument(
        "--fusion-metrics",
        default="textbook",
        metavar="NAMES",
        help=f"textbook, all, none, or a list of {', '.join((*TEXTBOOK_METRICS, *TOOLBOX_METRICS))}",
    )


def engine_factory(arguments: argparse.Namespace) -> EngineFactory:
    """Return what makes the engine, in this process or in a worker."""
    if arguments.baseline:
        return partial(BaselineEngine, arguments.baseline)
    threads = arguments.threads
    if threads == 0 and arguments.workers > 1:
        threads = max(1, (os.cpu_count() or 1) // arguments.workers)
    config = EngineConfig(
        weights=_weights(arguments),
        prior=arguments.prior,
        mode=arguments.mode,
        label_set=arguments.label_set,
        num_threads=threads,
    )
    size = arguments.inference_height, arguments.inference_width
    if min(size) < 0:
        raise EvaluationError(f"--inference-width {size[1]}, --inference-height {size[0]}: 0 or more is needed")
    config = with_runtime(config, arguments)
    return partial(_sized, config, size) if any(size) else partial(Engine, config)


def engine_settings(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the engine's settings that figures depend on, as values for the report."""
    if arguments.baseline:
        return {"baseline": arguments.baseline}
    backend = default_backend(_weights(arguments)) if arguments.backend == "auto" else arguments.backend
    in_force = {"backend": backend}
    in_force |= {name: getattr(arguments, name) for name in ("precision", "prior", "mode")}
    if arguments.inference_width or arguments.inference_height:
        in_force["inference_size"] = f"{arguments.inference_width}x{arguments.inference_height}"
    if arguments.precision == "int8":
        in_force["calibration_pairs"] = _calibration(arguments.calibration_pairs)
    return in_force


def _calibration(folder: str) -> str:
    """Return what int8 is calibrated with: the folder and what its files hold."""
    if not folder:
        return "built-in patterns"
    files = sorted(path for path in user_path(folder).rglob("*") if path.is_file())
    return f"{folder} {contents_hash(files, None)}"


def _sized(config: EngineConfig, size: tuple[int, int]) -> EngineProtocol:
    return FixedSizeEngine(Engine(config), size)


def _weights(arguments: argparse.Namespace) -> tuple[str, ...]:
    return tuple(each.strip() for each in arguments.weights.split(",") if each.strip())


def with_runtime(config: EngineConfig, arguments: argparse.Namespace) -> EngineConfig:
    """Return ``config`` with device, backend, precision and calibration as `add_runtime_arguments` asked for them.

    Raises:
        EvaluationError: If the backend is to be chosen by trial, as a params file of a node may say.
    """
    if arguments.backend in CHOICES and arguments.backend != "auto":
        names = ", ".join(BACKENDS)
        raise EvaluationError(
            f"backend '{arguments.backend}' may be another one each time, and figures must say theirs: give one of "
            f"{names} (the node's /diagnostics say which one it took)"
        )
    return replace(
        config,
        device=arguments.device,
        backend=arguments.backend,
        precision=arguments.precision,
        calibration_pairs=arguments.calibration_pairs,
    )


def metric_names(text: str) -> tuple[str, ...]:
    """Return the fusion metrics that were asked for; EvaluationError lists the known ones."""
    known = (*TEXTBOOK_METRICS, *TOOLBOX_METRICS)
    groups = {"textbook": TEXTBOOK_METRICS, "all": known, "none": ()}
    if text in groups:
        return groups[text]
    names = tuple(each.strip() for each in text.split(",") if each.strip())
    unknown = [name for name in names if name not in known]
    if unknown:
        raise EvaluationError(f"unknown fusion metrics {', '.join(unknown)}: choose from {', '.join(known)}")
    return names
