# SPDX-License-Identifier: Apache-2.0
import dataclasses
import io
import sys
from types import SimpleNamespace

import pytest

from segmif_ros.training.config import RecipeError
from segmif_ros.training.display import Display, SilentDisplay, tensorboard_writer, write_scalars


class Terminal(io.StringIO):
    def isatty(self):
        return True


@dataclasses.dataclass
class Writer:
    folder: str
    purge_step: int
    points: list = dataclasses.field(default_factory=list)

    def add_scalar(self, tag, value, step):
        self.points.append((tag, value, step))


def test_without_a_terminal_there_are_lines_and_nothing_else():
    file = io.StringIO()
    display = Display(first=0, total=10, file=file)
    display.step(3, "joint", "loss 1")
    display.line("step 3/10 [sic]")
    display.close()
    assert file.getvalue() == "step 3/10 [sic]\n"


def test_a_terminal_gets_a_bar_below_its_lines():
    file = Terminal()
    display = Display(first=2, total=10, file=file)
    display.step(3, "round 1 of 2, fusion", "loss 1.5")
    display.line("step 3/10 [sic]")
    display.close()
    shown = file.getvalue()
    assert "step 3/10 [sic]" in shown
    assert "round 1 of 2, fusion" in shown
    assert "3/10" in shown.replace("step 3/10", "")
    assert shown.endswith("\x1b[?25h") or "\x1b[?25h" in shown  # the cursor is back


def test_the_other_processes_show_nothing(capsys):
    display = SilentDisplay()
    display.step(1, "joint", "")
    display.line("nothing")
    display.close()
    assert capsys.readouterr().out == ""


def test_tensorboard_that_is_not_installed_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RecipeError, match="pip install tensorboard"):
        tensorboard_writer(tmp_path, 0)


def test_tensorboard_forgets_the_points_of_steps_that_are_taken_again(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    writer = tensorboard_writer(tmp_path / "curves", 7)
    assert (writer.folder, writer.purge_step) == (str(tmp_path / "curves"), 8)


def test_every_number_of_a_record_becomes_a_point():
    writer = Writer("", 0)
    write_scalars(writer, {"step": 5, "phase": "joint", "loss": 2.0, "validation": {"scenes": {"miou": 0.5}}})
    assert writer.points == [("loss", 2.0, 5), ("validation/scenes/miou", 0.5, 5)]
