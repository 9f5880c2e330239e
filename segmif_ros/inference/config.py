# SPDX-License-Identifier: Apache-2.0
"""What to run and where: the engine's settings. Without torch, so that launch files and tables start at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from segmif_ros.imaging.prior import PriorMethod
from segmif_ros.imaging.size import ImageSize
from segmif_ros.inference.backend_table import BACKENDS, backends_in_words
from segmif_ros.inference.weights import DEFAULT_WEIGHTS
from segmif_ros.labels import LABEL_SETS, PALETTES
from segmif_ros.settings import Changes, part, setting

CHOICES: tuple[str, ...] = ("auto", "fastest")
PRECISIONS: tuple[str, ...] = ("float32", "bfloat16", "float16", "int8")
PRIOR_METHODS: tuple[str, ...] = get_args(PriorMethod)
MODES: tuple[str, ...] = ("robot", "authors")  # of `segmif_ros.model.Mode`, which needs torch; a test compares them


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """What to run and where.

    "fastest" is what a short trial in `warm_up` finds fastest of all backends that are installed and start within
    seconds; it is remembered in the user's cache folder, and tries int8 only if ``precision`` asks for it. int8 runs
    the fusion network's large convolutions in int8 and the rest in bfloat16.

    Attributes:
        tune_allocator: On the CPU, let glibc keep freed blocks; see `keep_large_blocks`. Off only to measure it.
    """

    weights: tuple[str, ...] = setting(
        (DEFAULT_WEIGHTS,),
        "Model to run: a name that comes with the package, a checkpoint file, the two files of the SegMiF authors "
        "separated by a comma, or a model folder with a network of one's own (docs/own_network.md).",
        changes=Changes.RELOAD,
        group="Model",
    )
    device: str = setting(
        "auto",
        "Where to run: auto (CUDA where there is one), cpu, cuda, or cuda:N or N, a number from 0.",
        takes_number=True,
    )
    backend: str = setting(
        "auto",
        f"What runs the network: {backends_in_words()}; auto is torch, or what runs a model folder's file; fastest "
        "tries what is installed when it configures, and remembers.",
        choices=(*CHOICES, *BACKENDS),
    )
    precision: str = setting(
        "float32",
        "Arithmetic of the network; float16 needs CUDA, int8 (where it is safe; bfloat16 elsewhere) the backend "
        "openvino.",
        choices=PRECISIONS,
    )
    calibration_pairs: str = setting(
        "",
        "Folder with infrared/ and visible/ pairs, as these cameras see, that int8 is calibrated with when it is first "
        "configured; without one it takes built-in patterns.",
    )
    prior: str = setting(
        "auto",
        "Prior image that the semantic features are taken from; auto is what the weights were trained with.",
        choices=("auto", *PRIOR_METHODS),
    )
    mode: str = setting(
        "robot",
        "robot: luma in and no frame-dependent stretch, so video doesn't flicker; authors: their test script.",
        choices=MODES,
    )
    label_set: str = setting(
        "auto",
        f"Names and colours of the classes: auto (the checkpoint's, or by class count), {', '.join(LABEL_SETS)} "
        "or a .yaml file of one's own.",
    )
    palette: str = setting(
        "dataset",
        "Colours of the classes for people: dataset (the label set's own), or robot: persons orange-red, two-wheelers "
        "pink, vehicles blue, poles, signs and lamps yellow, all else dull. Ids and names stay.",
        choices=PALETTES,
        changes=Changes.RELOAD,
    )
    expected_classes: int = setting(
        0,
        "Refuse weights with another number of classes; 0 takes any.",
        minimum=0,
        maximum=256,
        name="classes",
    )
    num_threads: int = setting(
        0,
        "Threads of torch on the CPU; 0 leaves torch's choice (all cores).",
        minimum=0,
        maximum=1024,
    )
    tune_allocator: bool = True


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """An engine, and the size of the image that its network sees."""

    engine: EngineConfig = part(EngineConfig)
    size: ImageSize = part(
        ImageSize,
        prefix="inference_",
        what="the image that the network sees: a frame's time goes with its pixels, and outputs keep the cameras' size",
        changes=Changes.RELOAD,
    )
