# SPDX-License-Identifier: Apache-2.0
"""README and docs: what they point to exists."""

import json
import re
import runpy
from dataclasses import MISSING, Field, fields
from pathlib import Path

import pytest
import yaml
from documentation import PAGES, ROOT, commands, mentioned

from segmif_ros import cli
from segmif_ros.data.transforms import AugmentConfig
from segmif_ros.inference.backend_table import BACKENDS
from segmif_ros.model import SegMiFConfig
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.settings import from_values
from segmif_ros.training.config import OptimiserConfig, RoundsConfig, SourceConfig, TrainingConfig


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_site_has_every_page_and_no_other() -> None:
    listed = re.findall(r"- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    made = {"contributing.md", "changelog.md"}  # docs/site/hooks.py takes them from the root
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert (set(listed), len(listed)) == (there | made, len(there | made))


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert not [name for name in cli.COMMANDS if not re.search(rf"`(segmif )?{name}`", text)]


def test_every_topic_of_the_launch_file_that_a_node_has_is_documented() -> None:
    text = "".join((ROOT / "docs" / page).read_text() for page in ("topics.md", "grid.md"))
    topics = [topic for _, topic, _ in runpy.run_path(str(ROOT / "launch" / "segmif.launch.py"))["TOPICS"]]
    assert not [each for each in topics if f"`{each}`" not in text and "camera_info" not in each and "rig/" not in each]


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "overview.jpg").stat().st_size < 300_000


def _documented_commands() -> list[tuple[str, str, str]]:
    """Return page, command and options of every documented `segmif ...` line."""
    found = []
    for page in PAGES:
        for each in (*commands(page), *mentioned(page)):
            words = each.text.split()
            if words[0] == "segmif":
                found.append((page.name, words[1], " ".join(words[2:])))
    return found


@pytest.mark.parametrize(("page", "name", "given"), _documented_commands())
def test_every_documented_command_line_has_options_that_exist(
    page: str, name: str, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert name in cli.COMMANDS, f"{page}: segmif {name}"
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    known = set(re.findall(r"--[a-z][a-z0-9-]*", capsys.readouterr().out)) | {"--ros-args", "--params-file"}
    used = re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", given.partition("--ros-args")[0])
    assert not [each for each in used if each not in known], f"{page}: segmif {name} {given}"


_LINES = {each.text for page in PAGES for each in (*commands(page), *mentioned(page))}
_MODULES = sorted(tuple(each.split()[2:]) for each in _LINES if each.startswith("python -m "))


@pytest.mark.parametrize("words", [each for each in _MODULES if each[0].startswith("segmif_ros.")])
def test_every_documented_module_is_a_program_with_these_options(words: tuple[str, ...]) -> None:
    place = ROOT.joinpath(*words[0].split("."))
    text = (place / "__main__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
    assert "__main__" in text or place.is_dir()
    options = {each.lstrip("-").replace("-", "_") for each in words[1:] if each.startswith("--")}
    declared = "".join(path.read_text() for path in place.parent.rglob("*.py")).replace("-", "_")
    assert not [each for each in options if each not in declared]


def test_the_foxglove_layout_shows_topics_that_exist_in_panels_that_are_configured() -> None:
    layout = json.loads((ROOT / "config" / "foxglove.json").read_text())
    topics = {topic for _, topic, _ in runpy.run_path(str(ROOT / "launch" / "segmif.launch.py"))["TOPICS"]}
    panels = layout["configById"]
    shown = {each["imageMode"]["imageTopic"].lstrip("/") for each in panels.values() if "imageMode" in each}
    assert shown <= topics
    assert set(re.findall(r'"(\w+!\w+)"', json.dumps(layout["layout"]))) == set(panels)


def test_the_params_file_of_the_readme_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    config = from_values(NodeConfig, yaml.safe_load(text)["/**"]["ros__parameters"])
    assert config.pipeline.registration == "homography"


def test_what_the_params_file_of_the_readme_needs_is_installed_by_lines_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    backend = re.search(r"backend: (\w+)", text)
    assert backend
    named = {word for line in re.findall(r"pip install ([^\n#`]+)", text) for word in line.split()}
    assert set(BACKENDS[backend[1]].packages) <= named


_SOURCES = (*PAGES, *(ROOT / "segmif_ros").rglob("*.py"))


def test_no_line_tells_to_install_an_extra_which_pip_does_not_know_where_colcon_installed_the_package() -> None:
    assert [path.name for path in _SOURCES if re.search(r"pip install ['\"]?segmif_ros\[", path.read_text())] == []


_RECIPES = ROOT / "docs" / "training_recipes.md"
_PARTS = (TrainingConfig, SourceConfig, OptimiserConfig, RoundsConfig, AugmentConfig, SegMiFConfig)


def _documented_keys() -> set[tuple[str, str]]:
    """Return the keys of recipes and their defaults, as the tables of the page have them."""
    found = set()
    for names, defaults in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|([^|]*)\|", _RECIPES.read_text(), re.MULTILINE):
        keys = re.findall(r"`(\w+)`", names)
        values = [each.strip() for each in defaults.split(",")]
        found |= set(zip(keys, values if len(values) == len(keys) else [""] * len(keys), strict=True))
    return found


def _default(key: Field) -> str:
    if key.default is MISSING:
        return "needed" if key.default_factory is MISSING else ""
    return str(key.default).lower() if isinstance(key.default, bool) else "" if key.default == () else str(key.default)


@pytest.mark.parametrize("part", _PARTS)
def test_every_key_of_a_recipe_is_documented_with_its_default(part: type) -> None:
    documented = _documented_keys()
    assert [each.name for each in fields(part) if (each.name, _default(each)) not in documented] == []


_CARDS = ROOT / "docs" / "model_cards"


@pytest.mark.parametrize("name", [path.stem for path in sorted(_CARDS.glob("*.md"))])
def test_the_weights_table_of_the_readme_has_the_figures_of_the_card(name: str) -> None:
    row = re.search(
        rf"^\| \[`{name}`\].*?\| ([\d.]+) \| ([\d.]+), ([\d.]+) \|", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert row
    card = (_CARDS / f"{name}.md").read_text()
    assert float(row[1]) == pytest.approx(float(re.search(r"([\d.]+) GFLOP at 640x480", card)[1]) / 2, abs=0.06)
    means = [
        re.search(rf"^\| {light}, fused \|.*\| ([\d.]+) \| \d+ of", card, re.MULTILINE)[1] for light in ("day", "night")
    ]
    assert [row[2], row[3]] == means
