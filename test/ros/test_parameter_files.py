# SPDX-License-Identifier: Apache-2.0
"""What is written from the parameter table stays in step with it."""

from pathlib import Path

import pytest

from segmif_ros import cli
from segmif_ros.ros.parameter_files import BEGIN, END, POLICY, MarkerError, params_file, with_table, write

ROOT = Path(__file__).parents[2]


def test_the_page_of_parameters_has_the_table_of_now() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text()
    assert text == with_table(text), "run: make params"


def test_the_page_of_the_grid_and_its_params_file_are_those_of_now() -> None:
    text = (ROOT / "docs" / "grid.md").read_text()
    assert text == with_table(text, "grid_node"), "run: make params"
    assert (ROOT / "config" / "grid.yaml").read_text() == params_file("grid_node"), "run: make params"


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = with_table(f"above\n{BEGIN}\nstale line\n{END}\nbelow\n")
    assert text.startswith(f"above\n{BEGIN}\n### Model\n\n| parameter |")
    assert text.endswith(f"|\n{END}\nbelow\n")
    assert "stale line" not in text
    assert with_table(text) == text


@pytest.mark.parametrize("text", ["", BEGIN, END])
def test_missing_marks_are_said(text: str) -> None:
    with pytest.raises(MarkerError, match="no lines"):
        with_table(text)


def test_all_files_are_written(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "docs").mkdir()
    for page in ("docs/parameters.md", "docs/grid.md"):
        (tmp_path / page).write_text(f"{BEGIN}\n{END}\n")
    (tmp_path / POLICY).write_text((ROOT / POLICY).read_text().replace("<topic>fused/image</topic>", ""))
    write(tmp_path)
    assert (tmp_path / POLICY).read_text() == (ROOT / POLICY).read_text()
    assert (tmp_path / "config" / "segmif.yaml").read_text() == params_file()
    assert "`slop_s`" in (tmp_path / "docs" / "parameters.md").read_text()
    assert (tmp_path / "config" / "grid.yaml").read_text() == params_file("grid_node")
    assert "`camera_height_m`" in (tmp_path / "docs" / "grid.md").read_text()


def test_the_command_prints_either_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["parameters", "--yaml"]) == 0
    assert capsys.readouterr().out == params_file()
    assert cli.main(["parameters", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("### Model\n\n| parameter |")
