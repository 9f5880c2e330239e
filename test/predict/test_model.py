# SPDX-License-Identifier: Apache-2.0
"""`segmif_ros.load(...)`: ten lines that a stranger writes, and what is wrong with them said in one."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import segmif_ros
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.inference.weights import WeightsError
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.predict.input_images import ImageError, looks_like_bgr
from segmif_ros.predict.model import OUTPUTS, Model
from segmif_ros.stream.pipeline_config import PipelineConfig

DOCS = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Model:
    return segmif_ros.load(tiny_weights, device="cpu", num_threads=1)


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    ((infrared, rgb),) = pattern_pairs(40, 64, count=1)
    return infrared, rgb


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, segmif_ros; segmif_ros.__version__; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_version_is_a_version() -> None:
    assert re.match(r"\d+[.+]", segmif_ros.__version__)
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        segmif_ros.laod  # noqa: B018


def test_arrays_and_paths_give_the_same_prediction(
    model: Model, pair: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    infrared, rgb = pair
    cv2.imwrite(str(tmp_path / "ir.png"), infrared)
    cv2.imwrite(str(tmp_path / "rgb.png"), rgb[..., ::-1])
    of_arrays, of_paths = model(infrared, rgb), model.predict(tmp_path / "ir.png", str(tmp_path / "rgb.png"))
    np.testing.assert_array_equal(of_arrays.labels, of_paths.labels)
    np.testing.assert_array_equal(of_arrays.fused, of_paths.fused)
    assert (of_arrays.fused.shape, of_arrays.labels.shape) == ((40, 64, 3), (40, 64))
    assert sum(of_arrays.shares().values()) == pytest.approx(1)


def test_an_array_in_opencvs_order_gives_the_same_prediction(model: Model, pair: tuple[np.ndarray, np.ndarray]) -> None:
    infrared, rgb = pair
    expected, found = model(infrared, rgb), model(infrared, rgb[..., ::-1], bgr=True)
    np.testing.assert_array_equal(expected.fused, found.fused)


def test_raw_infrared_goes_through_the_gain_and_no_picture_depends_on_the_one_before(
    model: Model, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    infrared, rgb = pair
    raw = 7000 + 10 * infrared.astype(np.uint16)
    first = model(raw, rgb).infrared
    model(raw // 3, rgb)
    assert first.std() > 10
    np.testing.assert_array_equal(model(raw, rgb).infrared, first)


def test_sizes_that_differ_are_registered_as_the_configuration_says(
    tiny_weights: Path, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    infrared, rgb = pair
    made = segmif_ros.load(tiny_weights, device="cpu", config=PipelineConfig(registration="resize"))
    assert made(cv2.resize(infrared, (32, 20)), rgb).labels.shape == (40, 64)


def test_save_writes_each_output_and_labels_keep_their_ids(
    model: Model, pair: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    made = model(*pair)
    files = made.save(tmp_path, "a")
    assert [str(path.relative_to(tmp_path)) for path in files] == [f"{each}/a.png" for each in OUTPUTS]
    labels = cv2.imread(str(tmp_path / "labels" / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(labels, made.labels)
    np.testing.assert_array_equal(cv2.imread(str(files[0]))[..., ::-1], made.fused)


def test_the_network_is_there_as_a_torch_module(model: Model) -> None:
    assert isinstance(model.module(), torch.nn.Module)


def test_two_files_may_be_a_tuple_or_one_string(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        segmif_ros.load((tmp_path / "a.pth", tmp_path / "b.pth"))
    with pytest.raises(WeightsError, match="no such file"):
        segmif_ros.load(f"{tmp_path}/a.pth,{tmp_path}/b.pth")


GREY, COLOUR = np.zeros((40, 64), np.uint8), np.zeros((40, 64, 3), np.uint8)
RAINBOW = np.arange(40 * 64 * 3).reshape(40, 64, 3).astype(np.uint8) * 7


@pytest.mark.parametrize(
    ("infrared", "rgb", "reason"),
    [
        (None, COLOUR, "infrared is None: cv2.imread gives None where there is no such file"),
        (GREY, None, "rgb is None"),
        ([1, 2], COLOUR, "infrared is list"),
        (RAINBOW, GREY, "infrared is a colour image: are infrared and rgb swapped"),
        (GREY, GREY, r"rgb has the shape \(40, 64\).*Swapped with infrared"),
        (GREY, COLOUR.transpose(2, 0, 1), "channels last"),
        (GREY, np.zeros((40, 64, 4), np.uint8), "four channels"),
        (GREY, COLOUR.astype(np.float32), "rgb is float32: .*multiply values of 0 to 1 by 255"),
        (GREY.astype(np.int64), COLOUR, "infrared is int64"),
        (np.zeros((0, 64), np.uint8), COLOUR, "infrared has no pixel"),
        (GREY[:30], COLOUR, "infrared is 64x30 and RGB 64x40.*registration"),
        (GREY[:8], COLOUR[:8], "each side must be at least 29"),
    ],
)
def test_an_image_that_can_not_be_used_is_refused_in_one_line(
    model: Model, infrared: object, rgb: object, reason: str
) -> None:
    with pytest.raises(ImageError, match=reason) as refused:
        model(infrared, rgb)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_a_blue_sky_that_is_orange_is_pointed_out_and_a_blue_one_is_not(model: Model) -> None:
    rgb = np.full((48, 64, 3), 60, np.uint8)
    rgb[:16] = (120, 170, 235)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(np.zeros((48, 64), np.uint8), rgb)
    with pytest.warns(UserWarning, match="bgr=True"):
        model(np.zeros((48, 64), np.uint8), rgb[..., ::-1])
    assert not looks_like_bgr(rgb // 4)  # night


def test_the_lines_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    ((infrared, rgb),) = pattern_pairs(48, 64, count=1)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("infrared.png", infrared)
    cv2.imwrite("rgb.png", rgb[..., ::-1])
    save_checkpoint(SegMiF(SegMiFConfig(encoder="mit_b0", fusion_scale=4)), Path("mine.safetensors"), {"prior": "mean"})
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(DOCS), "exec"), {})
    assert (tmp_path / "out" / "labels" / "first.png").is_file()
