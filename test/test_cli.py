# SPDX-License-Identifier: Apache-2.0
"""`segmif`: commands are wired, errors are one line, ROS arguments reach ROS."""

import errno
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from segmif_ros import cli
from segmif_ros.command_line import StoppedError
from segmif_ros.labels import LabelSetError
from segmif_ros.reporting.errors import WorkFailedError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with a command, wired as 'probe'; its run can be replaced."""
    module = ModuleType("segmif_ros.probe")
    module.add_arguments = lambda parser: parser.add_argument("--count", type=int, default=1)
    module.run = lambda options: 10 + options.count
    monkeypatch.setitem(sys.modules, "segmif_ros.probe", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", ("try things", cli._of("segmif_ros.probe")))
    return module


def _raises(error: BaseException) -> object:
    def run(_options: object) -> int:
        raise error

    return run


def test_a_command_gets_its_options_and_its_status_is_returned(command: ModuleType) -> None:
    assert cli.main(["probe", "--count", "5"]) == 15


def test_an_error_of_ours_is_one_line_and_status_2(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    command.run = _raises(LabelSetError("no label set 'x': choose from fmb"))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err == "segmif probe: no label set 'x': choose from fmb\n"


def test_a_missing_file_is_one_line_and_status_2(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    command.run = _raises(FileNotFoundError(2, "No such file or directory", "lost.yaml"))
    assert cli.main(["probe"]) == 2
    assert capsys.readouterr().err == "segmif probe: lost.yaml: No such file or directory\n"


def test_what_the_machine_lacks_is_a_failure_and_status_1(command: ModuleType) -> None:
    command.run = _raises(OSError(errno.ENOSPC, "No space left on device", "out"))
    assert cli.main(["probe"]) == 1


def test_work_that_failed_is_status_1(command: ModuleType) -> None:
    command.run = _raises(WorkFailedError("a worker process ended"))
    assert cli.main(["probe"]) == 1


def test_an_interrupted_run_says_how_to_go_on(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    command.run = _raises(StoppedError("stopped; the same command goes on", 143))
    assert cli.main(["probe"]) == 143
    assert capsys.readouterr().err == "segmif probe: stopped; the same command goes on\n"


@pytest.mark.parametrize("printer", ["print", "rich.print"])
def test_a_reader_that_ends_early_is_no_error(printer: str) -> None:
    code = f"""
import sys, types, rich
from segmif_ros import cli
module = types.ModuleType("segmif_ros.probe")
module.add_arguments = lambda parser: None
module.run = lambda options: [{printer}("x" * 99) for _ in range(9999)] and 0
sys.modules["segmif_ros.probe"] = module
cli.COMMANDS["probe"] = ("try things", cli._of("segmif_ros.probe"))
sys.exit(cli.main(["probe"]))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_a_near_miss_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["evalute"])
    assert capsys.readouterr().err.endswith("did you mean evaluate?\n")


def test_a_wrong_option_looks_like_an_error(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["probe", "--count", "many"])
    assert capsys.readouterr().err.splitlines()[-1].startswith("segmif probe: argument --count")


def test_a_defect_keeps_its_traceback(command: ModuleType) -> None:
    command.run = _raises(ValueError("not one of ours"))
    with pytest.raises(ValueError, match="not one of ours"):
        cli.main(["probe"])


def test_ctrl_c_is_status_130_without_a_traceback(command: ModuleType) -> None:
    command.run = _raises(KeyboardInterrupt())
    assert cli.main(["probe"]) == 130


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["probe", "--count", "many"], ["probe", "--colour"]])
def test_a_wrong_command_line_is_status_2(command: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: segmif {name}")


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("segmif_ros")


def test_asking_for_help_imports_neither_torch_nor_ros() -> None:
    code = (
        "import sys\nfrom segmif_ros import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'rclpy', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_help_of_no_command_waits_for_torch_ros_or_a_plotting_library() -> None:
    code = (
        "import sys\nfrom segmif_ros import cli\nfrom segmif_ros.command_line import Parser\n"
        "for name, (_, wire) in cli.COMMANDS.items():\n"
        "    wire(Parser(prog=name))\n"
        "    slow = {'torch', 'rclpy', 'matplotlib', 'openvino', 'onnxruntime'} & set(sys.modules)\n"
        "    if slow:\n        sys.exit(f'{name} imports {slow}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_options_of_the_node_become_ros_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("segmif_ros.ros.entry.segmif_node", lambda: seen.append(sys.argv[1:]) or 0)
    monkeypatch.setattr(sys, "argv", ["segmif", "run"])
    assert cli.main(["run", "--weights", "segmif-s", "--params-file", "a.yaml", "--ros-args", "-r", "__ns:=/car"]) == 0
    ours = ["--ros-args", "--params-file", "a.yaml", "-p", "weights:=segmif-s", "--"]
    assert seen == [[*ours, "--ros-args", "-r", "__ns:=/car"]]


def test_options_of_the_rig_become_ros_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("segmif_ros.ros.entry.simulated_rig", lambda: seen.append(sys.argv[1:]) or 3)
    monkeypatch.setattr(sys, "argv", ["segmif", "rig"])
    assert cli.main(["rig", "--pairs", "/data", "--rate", "5"]) == 3
    assert seen == [["--ros-args", "-p", "pairs_folder:=/data", "-p", "rate_hz:=5", "--"]]


def test_without_options_the_node_gets_what_follows_ros_args(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("segmif_ros.ros.entry.segmif_node", lambda: seen.append(sys.argv[1:]) or 0)
    monkeypatch.setattr(sys, "argv", ["segmif", "run"])
    assert cli.main(["run", "--ros-args", "-p", "device:=cpu"]) == 0
    assert seen == [["--ros-args", "-p", "device:=cpu"]]


def test_make_and_the_commands_agree() -> None:
    used = {
        line.split("segmif_ros.cli ")[1].split()[0]
        for line in (Path(__file__).parent.parent / "Makefile").read_text().splitlines()
        if "segmif_ros.cli " in line
    }
    assert used <= set(cli.COMMANDS)


def test_a_camera_height_on_the_command_line_takes_the_grids_camera_pose_from_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("segmif_ros.ros.entry.grid_node", lambda: seen.append(sys.argv[1:]) or 0)
    monkeypatch.setattr(sys, "argv", ["segmif"])
    assert cli.main(["grid", "--camera-height", "0.6", "--odometry", "topic"]) == 0
    assert "camera_pose_from:=parameters" in seen[0]
    assert "camera_height_m:=0.6" in seen[0]
    assert "odometry_from:=topic" in seen[0]
    assert cli.main(["grid"]) == 0
    assert not [word for word in seen[1] if "camera_pose_from" in word]
