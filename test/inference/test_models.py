# SPDX-License-Identifier: Apache-2.0
"""`segmif models`: what is said about weights is what is in their files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segmif_ros import cli
from segmif_ros.inference import models
from segmif_ros.inference.weights import WeightsError, packaged_weights, weights_hash
from segmif_ros.labels import label_metadata, label_set_for_classes
from segmif_ros.model import CheckpointError, load_checkpoint, save_checkpoint


@pytest.fixture
def only_tiny(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose one packaged model is the tiny one."""
    (tmp_path / "tiny.safetensors").write_bytes(tiny_weights.read_bytes())
    monkeypatch.setattr("segmif_ros.inference.weights.PACKAGED_FOLDER", tmp_path)
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def authors_files(tiny_weights: Path, tmp_path: Path) -> tuple[str, str]:
    """The tiny model as the authors would publish it: two PyTorch files."""
    state = load_file(tiny_weights)
    files = []
    for part in ("fusion", "segmentation"):
        files.append(str(tmp_path / f"{part}.pth"))
        own = {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(part)}
        torch.save(own, files[-1])
    return files[0], files[1]


def test_size_parameters_and_hash_are_those_of_the_file(tiny_weights: Path) -> None:
    facts = models.describe([str(tiny_weights)])
    assert facts.file_bytes == tiny_weights.stat().st_size
    assert facts.parameters == sum(each.numel() for each in load_checkpoint(tiny_weights).parameters())
    assert facts.sha256 == weights_hash([tiny_weights])
    assert facts.gflop > 0


def test_metadata_is_told(tiny_weights: Path, tmp_path: Path) -> None:
    strings = {"label_set": "fmb", "prior": "visible", "licence_note": "mine alone", "description": "the small one"}
    model = load_checkpoint(packaged_weights()["segmif-s"])
    save_checkpoint(model, tmp_path / "x.safetensors", strings)
    facts = models.describe([str(tmp_path / "x.safetensors")])
    assert (facts.label_set, facts.prior, facts.licence, facts.description) == tuple(strings.values())
    assert facts.classes[1] == "road"


def test_a_file_that_says_nothing_is_described_by_its_sizes(tiny_weights: Path) -> None:
    facts = models.describe([str(tiny_weights)])
    assert facts.description.endswith("encoder MiT-B0, fusion network of 8 channels at half resolution, head of 16")
    assert (facts.label_set, facts.licence, facts.model_card) == ("classes-3", "", "")


def test_the_authors_two_files_are_described_as_one_model(authors_files: tuple[str, str], tiny_weights: Path) -> None:
    facts = models.describe(authors_files)
    assert facts.name == "fusion+segmentation"
    assert facts.prior == "vsm_wls"
    assert facts.parameters == models.describe([str(tiny_weights)]).parameters


def test_a_label_set_that_does_not_fit_is_named(tiny_weights: Path, tmp_path: Path) -> None:
    save_file(load_file(tiny_weights), tmp_path / "x.safetensors", {"label_set": "fmb"})
    said = r"x\.safetensors: the weights name label set 'fmb' of 15 classes, but have 3"
    with pytest.raises(WeightsError, match=said):
        models.describe([str(tmp_path / "x.safetensors")])


def test_classes_of_ones_own_are_named_by_the_file(tiny_weights: Path, tmp_path: Path) -> None:
    own = label_set_for_classes(3)
    save_file(load_file(tiny_weights), tmp_path / "x.safetensors", label_metadata(replace(own, name="farm")))
    facts = models.describe([str(tmp_path / "x.safetensors")])
    assert (facts.label_set, facts.classes) == ("farm", own.names)


def test_every_packaged_model_has_a_card() -> None:
    cards = Path(__file__).parents[2] / "docs" / "model_cards"  # an installed package leaves them behind
    missing = [name for name in packaged_weights() if not (cards / f"{name}.md").is_file()]
    assert not missing


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [("tiny",)]),
        (["tiny"], [("tiny",)]),
        (["a.pth", "b.pth"], [("a.pth", "b.pth")]),
        (["a.pth,b.pth"], [("a.pth", "b.pth")]),
        (["own.safetensors", "tiny"], [("tiny",), ("own.safetensors",)]),
    ],
)
def test_names_are_models_of_their_own_and_files_belong_together(
    only_tiny: Path, given: list[str], expected: list[tuple[str, ...]]
) -> None:
    assert models.asked_models(given) == expected


def test_the_list_holds_each_model_and_how_other_files_are_given(
    only_tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models"]) == 0
    text = capsys.readouterr().out
    assert f"{1e-6 * only_tiny.stat().st_size:.1f}" in text
    assert str(only_tiny) in text
    assert "fusion.pth,segmentation.pth" in text


def test_json_holds_the_same_facts(only_tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["name"] == "tiny"
    assert entry["packaged"] is True
    assert entry["file_bytes"] == only_tiny.stat().st_size


def test_an_installation_without_weights_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("segmif_ros.inference.weights.PACKAGED_FOLDER", tmp_path)
    assert cli.main(["models"]) == 0
    assert "No weights come with this installation" in capsys.readouterr().out


@pytest.mark.parametrize(("given", "said"), [("gone.pth", "no such file"), ("nonsense", "no such name")])
def test_what_is_not_there_is_one_line_and_status_2(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", given]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("hello")
    with pytest.raises(CheckpointError, match="neither a safetensors nor a PyTorch"):
        models.describe([str(tmp_path / "notes.pt")])
