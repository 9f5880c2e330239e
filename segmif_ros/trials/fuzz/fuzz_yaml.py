# SPDX-License-Identifier: Apache-2.0
"""YAML files with wrong values, wrong types, wrong syntax and bombs."""

from __future__ import annotations

import copy
import random
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from segmif_ros.bag.node_options import parameters_of, pipeline_config
from segmif_ros.bag.reading import BagError
from segmif_ros.labels import LabelSetError, read_label_set
from segmif_ros.rig.calibration_file import load_calibration, load_camera
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.settings import SettingError, from_values
from segmif_ros.training.config import RecipeError
from segmif_ros.training.recipe_file import read_recipe
from segmif_ros.trials.fuzz.tally import Tally
from segmif_ros.yaml_file import YamlError, read_yaml

_CAMERA = {
    "image_width": 640,
    "image_height": 480,
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500.0, 0, 320, 0, 500.0, 240, 0, 0, 1]},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.1, 0, 0, 0]},
    "rectification_matrix": {"rows": 3, "cols": 3, "data": [1.0, 0, 0, 0, 1, 0, 0, 0, 1]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": [500.0, 0, 320, 0, 0, 500, 240, 0, 0, 0, 1, 0]},
}
_KALIBR = {
    "camera_model": "pinhole",
    "distortion_coeffs": [0.1, -0.1, 0.001, 0.001],
    "distortion_model": "radtan",
    "intrinsics": [500.0, 500.0, 320.0, 240.0],
    "resolution": [640, 480],
    "rostopic": "/thermal/image",
}
_CONTENTS: dict[str, Any] = {
    "calibration": {
        "infrared": _CAMERA,
        "rgb": _CAMERA,
        "extrinsics": {"rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "translation_m": [0.1, 0, 0]},
        "homography": {
            "matrix": [[1, 0, 2], [0, 1, 3], [0, 0, 1]],
            "infrared_size": [640, 480],
            "rgb_size": [640, 480],
        },
        "plane": {"normal": [0, 1, 0], "distance_m": 1.5},
    },
    "camchain": {
        "cam0": _KALIBR,
        "cam1": {
            **_KALIBR,
            "T_cn_cnm1": [[1.0, 0, 0, 0.1], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]],
            "rostopic": "/rgb/image",
        },
    },
    "camera": _CAMERA,
    "label set": {
        "name": "own",
        "ignore_id": 3,
        "classes": [{"name": "a", "colour": [1, 2, 3]}, {"name": "b", "aliases": ["c", "d"]}, {"name": "e"}],
    },
    "params": {
        "/**": {
            "ros__parameters": {
                "slop_s": 0.02,
                "queue_size": 10,
                "gain_policy": "plateau",
                "weights": "segmif-rt",
                "classes": 0,
                "infrared_crop": "0, 2, 0, 0",
                "registration": "none",
                "estimate_time_offset": False,
            }
        }
    },
    "recipe": {
        "name": "tiny",
        "steps": 3,
        "model": {"encoder": "mit_b0"},
        "optimiser": {"encoder_lr": 8.0e-5},
        "class_weights": {"person": 2.0},
        "sources": [{"kind": "scenes", "count": 2, "height": 64, "width": 64, "augment": {"crop_height": 64}}],
    },
}
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63 - 1, 1e300, -1e-300, float("nan"), float("inf"), "", "x", "yes", "1e-5"),
    *([], {}, [[]], [1, [2]], {"a": {}}, [None], "~nobody/x", "\0", "\x85", "a\nb", [0] * 99, {1: 2}, "9" * 400),
)
_TOKENS = (
    *("!!timestamp abc", "!!int abc", "!!bool x", "!!python/object/apply:os.system [ls]", "!!binary x", "!!set {a}"),
    *(
        "&a [*a]",
        "*b",
        "<<: 3",
        "9" * 5000,
        "0x" + "f" * 4000,
        "2024-13-45",
        "[" * 300,
        "{" * 300,
        "- - - -",
        "? ",
        ": ",
    ),
    *(
        "\t",
        "\x00",
        "\x07",
        "'",
        '"',
        "#",
        "%YAML:1.0\n---\n",
        "---",
        "...",
        "|",
        ">",
        "1e",
        ".inf",
        "!!opencv-matrix",
        "\ufeff",
    ),
)


def run(tally: Tally, count: int, seed: int) -> None:
    """Throw ``count`` files, of each kind in turn."""
    rng = random.Random(seed)
    kinds = list(_CONTENTS)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "file.yaml"
        for number in range(count):
            kind = kinds[number % len(kinds)]
            path.write_bytes(_text(_CONTENTS[kind], rng).encode("utf-8", "surrogatepass"))
            read, refusals = _READERS[kind]
            which = f"number {number}"
            tally.attempt(kind, partial(read, path), refusals, which, path.read_bytes)
            if kind == "params":
                tally.attempt("node", partial(_node, path), (YamlError, SettingError), which, path.read_bytes)


def _text(content: Any, rng: random.Random) -> str:
    changed = copy.deepcopy(content)
    for _ in range(rng.randrange(4)):
        _change(changed, rng)
    text = yaml.safe_dump(changed, default_flow_style=rng.choice((True, False, None)), sort_keys=False)
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randrange(len(text))
        kind = rng.randrange(5)
        if kind == 0:
            text = text[:at] + rng.choice(_TOKENS) + text[at:]
        elif kind == 1:
            text = text[:at] + rng.choice(_TOKENS) + text[at + rng.randrange(9) :]
        elif kind == 2:
            text = text[:at] + text[at + rng.randrange(9) :]
        elif kind == 3:
            text = text[:at] + _bomb(rng.randrange(2, 9)) + text[at:]
        else:
            there = rng.randrange(len(text))
            text = text[:at] + text[there : there + 30] + text[at:]
        text = text or " "
    return text


def _change(content: Any, rng: random.Random) -> None:
    """Replace, drop, rename or add one value somewhere in nested mappings and lists."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        kind = rng.randrange(4)
        if kind == 0 and isinstance(place, dict):
            place[rng.choice(("x", "camera_matrx", "name", 3, "ros__parameters"))] = place.pop(key)
        elif kind == 1:
            del place[key]
        else:
            place[key] = copy.deepcopy(rng.choice(_VALUES))
        return


def _bomb(depth: int) -> str:
    text = f"&x0 [{','.join('1' * 10)}]"
    for i in range(1, depth):
        text = f"&x{i} [{text},{','.join([f'*x{i - 1}'] * 9)}]"
    return text


def _params(path: Path) -> None:
    pipeline_config(parameters_of(path))


def _node(path: Path) -> None:
    """As the node checks its parameters, whatever has read the file."""
    content = read_yaml(path)
    section = content.get("/**") if isinstance(content, dict) else None
    values = section.get("ros__parameters") if isinstance(section, dict) else None
    if isinstance(values, dict) and all(isinstance(name, str) for name in values):
        from_values(NodeConfig, values)


_READERS: dict[str, tuple[Callable[[Path], Any], type[Exception] | tuple[type[Exception], ...]]] = {
    "calibration": (load_calibration, CalibrationError),
    "camchain": (load_calibration, CalibrationError),
    "camera": (load_camera, CalibrationError),
    "label set": (read_label_set, LabelSetError),
    "params": (_params, BagError),
    "recipe": (read_recipe, RecipeError),
}
