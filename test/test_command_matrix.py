# SPDX-License-Identifier: Apache-2.0
"""Every command against what goes wrong first: weights, inputs and outputs that can't be used.

Each ends with status 2 and one line that begins with the command's name and names the thing, before minutes of work
and without touching what is there.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_bag import Recording, write

from segmif_ros import cli

RECIPE = """\
name: tiny
label_set: fmb
steps: 2
batch_size: 1
sources:
- {kind: pairs, path: pairs, weight: 1}
"""
# {x} are paths that the fixture below makes: x good unless the case takes it away
COMMANDS = {
    "demo": "--weights {weights} --pairs {pairs} --out {out}",
    "train": "{recipe} --data {data} --out {out}",
    "pseudo-label": "{pairs} --weights {weights} --out {out}",
    "predict": "{pairs} --weights {weights} --out {out}",
    "export": "{weights} {out} --size 64x64",
    "single-camera": "--weights {weights} --pairs {pairs}",
    "calibrate": "board {pairs} --board checkerboard:8x6:0.05 --out {out}",
    "gpu-check": "--device cpu --size 64x64 --frames 1 --weights {weights} --out {out}",
    "evaluate": "{pairs} --dataset pairs --weights {weights} --out {out}",
    "compare": "{report} {report}",
    "evaluate-grid": "--weights {weights} --drives 1 --frames 6 --size 64x48 --out {out}",
    "replay": "{bag} --weights {weights} --out {out}",
    "record-synthetic": "{out} --frames 1 --size 64x64",
    "export-dataset": "{bag} --out {out}",
    "bench": "--weights {weights} --pairs {pairs} --size 16x8 --frames 1 --warm-up 0 --backend torch --out {out}",
    "convert": "{weights} {out}/w.safetensors --to segmif",
    "models": "{weights}",
    "weights-report": "--weights {weights} --pairs {pairs} --only pairs --quick --out {out}",
    "parity": "{vectors}",
    "picture": "--weights {weights} --out {out}/picture.jpg",
}
INPUTS = {"pairs", "report", "bag", "recipe", "vectors"}
# what talks to a running node or prints tables reads and writes no files here; what record refuses is in its own tests
WITHOUT_FILES = {"run", "rig", "grid", "record", "status", "view", "parameters", "doctor"}
# foreign folders that these may write into: other names beside the user's
BESIDE = {"convert", "picture", "weights-report", "replay", "evaluate-grid"}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """Good inputs, and an output that isn't there."""
    image = np.zeros((64, 64), np.uint8)
    for folder in ("infrared", "visible"):
        (tmp_path / "data" / "pairs" / folder).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "data" / "pairs" / folder / "a.png"), image)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    found = {"data": tmp_path / "data", "pairs": tmp_path / "data" / "pairs", "recipe": tmp_path / "recipe.yaml"}
    found |= {"report": tmp_path / "no-report", "vectors": tmp_path / "no-vectors"}
    bag = write(tmp_path / "drive", Recording(infrared_ms=(0,), rgb_ms=(0,)))
    return {**found, "bag": bag, "weights": Path("segmif-rt"), "out": tmp_path / "out"}


def said(name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with status 2 and one line, and return the line."""
    words = [word.format(**places) for word in COMMANDS[name].split()]
    status = cli.main([name, *words])
    error = capsys.readouterr().err
    assert status == 2, error
    assert error.startswith(f"segmif {name}: ") and error.count("\n") == 1, error
    return error


def _needing(*keys: str) -> list[str]:
    return [name for name, words in COMMANDS.items() if any(f"{{{key}}}" in words for key in keys)]


def test_every_command_is_tried() -> None:
    assert set(COMMANDS) | WITHOUT_FILES == set(cli.COMMANDS)


@pytest.mark.parametrize("name", _needing("weights"))
@pytest.mark.parametrize("weights", ["nosuch", "no/such.safetensors"])
def test_weights_that_are_not_there(
    name: str, weights: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert weights in said(name, {**places, "weights": Path(weights)}, capsys)


@pytest.mark.parametrize("name", _needing(*INPUTS))
def test_an_input_that_is_not_there(name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    gone = {key: places["data"].parent / "nowhere" / key for key in INPUTS}
    assert "nowhere" in said(name, {**places, **gone}, capsys)
    assert [each.name for each in places["out"].rglob("*") if each.is_file() and each.name != ".segmif"] == []


@pytest.mark.parametrize("name", _needing("out"))
def test_an_output_that_cannot_be_written(
    name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = places["out"]
    file.write_text("a file")
    assert str(file) in said(name, {**places, "out": file / "below"}, capsys)
    assert file.read_text() == "a file"


@pytest.mark.parametrize("name", sorted(set(_needing("out")) - BESIDE))
def test_a_folder_that_something_else_made(
    name: str, places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    places["out"].mkdir()
    (places["out"] / "thesis.txt").write_text("precious")
    assert str(places["out"]) in said(name, places, capsys)
    assert [path.name for path in places["out"].iterdir()] == ["thesis.txt"]
