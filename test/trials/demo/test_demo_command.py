# SPDX-License-Identifier: Apache-2.0
"""The demo as a whole: three processes over real DDS, from start to report, and how it says what went wrong."""

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from patience import WAIT_S
from rich.console import Console

from segmif_ros import cli
from segmif_ros.bag.reading import Topics, open_bag
from segmif_ros.inference.weights import WeightsError
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.trials.demo.command import DemoConfig, _advice, demo
from segmif_ros.trials.demo.demo_report import Figures


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network small enough for any machine; what it says about a picture is nonsense."""
    torch.manual_seed(0)
    config = SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=16)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(SegMiF(config), path, {"label_set": "fmb", "name": "tiny", "prior": "mean"})
    return str(path)


def test_from_two_cameras_to_a_report(weights: str, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=120)
    engine = {"weights": weights}
    config = DemoConfig(out=tmp_path, seconds=3.0, rate_hz=5.0, width=160, height=120, pictures=2, engine=engine)
    found = demo(config, console)
    assert 0 < found.processed <= found.pairs
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["processed"] == found.processed
    assert report["model"].startswith("tiny")
    assert report["topics"]["fused/image"]["matched"] > 0
    assert report["age_ms"]["p50"] <= report["age_ms"]["p95"] <= report["age_ms"]["p99"] <= report["age_ms"]["max"]
    assert {"network", "publish", "total"} <= set(report["stage_ms"])
    assert len(report["pictures"]) == len(list((tmp_path / "pictures").glob("*.png"))) > 0
    assert report["pictures"][0]["classes"]  # a legend, so the semantic map came too
    assert (tmp_path / "index.html").stat().st_size > 10_000
    printed = console.file.getvalue()
    for each in ("processed", "dropped: superseded", "network", "segmentation/semantic_map"):
        assert each in printed


def test_a_demo_with_faults_records_a_bag_that_replay_reads(weights: str, tmp_path: Path) -> None:
    console, bag = Console(file=io.StringIO(), width=200), tmp_path / "bag"
    config = DemoConfig(
        out=tmp_path / "out",
        seconds=5.0,
        rate_hz=5.0,
        width=160,
        height=120,
        pictures=1,
        engine={"weights": weights},
        faults="infrared:silent@2.5s",
        record_bag=bag,
    )
    demo(config, console)
    assert f"segmif replay {bag} --labels-topic /rig/labels --single-camera continue" in console.file.getvalue()
    topics = Topics(infrared="/infrared/image_raw", rgb="/rgb/image_raw", labels="/rig/labels")
    with open_bag(bag, topics) as recorded:
        roles = [each.role for each in recorded.frames()]
        assert recorded.index_truth() > 0
    assert 0 < roles.count("infrared") < roles.count("rgb")  # the fault is in the bag


def test_a_bag_that_is_there_is_not_recorded_over(weights: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "metadata.yaml").write_text("")
    given = ["--weights", weights, "--record-bag", str(tmp_path), "--out", str(tmp_path / "out")]
    assert cli.main(["demo", *given]) == 2
    assert "is there already: give --record-bag another name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _found(rate_hz: float) -> Figures:
    return Figures(pairs=100, processed=10, dropped={}, rate_hz=rate_hz, age_ms={}, stage_ms={}, topics={})


def test_a_machine_that_is_too_slow_is_told_what_helps() -> None:
    facts = {"model": "segmif-s 45f12c4d0d4d", "device": "cpu", "backend": "torch"}
    assert "try --weights segmif-rt and --backend openvino" in _advice(_found(2.0), 10.0, facts)
    assert "docs/tuning.md" in _advice(_found(2.0), 10.0, {**facts, "model": "segmif-rt 1", "backend": "openvino"})
    assert _advice(_found(9.0), 10.0, facts) == ""


def test_every_pair_of_a_folder_becomes_a_picture_with_its_name(weights: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(64, 96), (72, 80), (64, 96)]):
        for folder, channels in (("infrared", 1), ("visible", 3)):
            path = tmp_path / "pairs" / folder / f"street{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 255, (height, width, channels), np.uint8))
    folders = {"out": tmp_path / "out", "pairs": tmp_path / "pairs"}
    config = DemoConfig(**folders, seconds=90.0, rate_hz=4.0, engine={"weights": weights})
    demo(config, Console(file=io.StringIO()))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [each["title"] for each in report["pictures"]] == ["street0", "street1", "street2"]
    assert report["streaming_s"] < 60  # over as soon as every pair was seen


def test_a_node_that_does_not_start_is_said_with_its_own_reason(tmp_path: Path) -> None:
    config = DemoConfig(out=tmp_path, engine={"weights": str(tmp_path / "lost.safetensors")})
    with pytest.raises(WeightsError, match=r"lost\.safetensors': no such file"):
        demo(config, Console(file=io.StringIO()))


def _processes_with(text: str) -> list[str]:
    """Return the command lines of the processes that have ``text`` in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append((path.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:  # noqa: PERF203  ended meanwhile, or another user's
            continue
    return found


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_behind(number: int, status: int, weights: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "segmif_ros.cli", "demo", "--weights", weights, "--out", str(tmp_path)]
    demo_process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    recorder_log = tmp_path / "logs" / "recorder.log"
    deadline = time.monotonic() + WAIT_S
    while not (recorder_log.exists() and "ready" in recorder_log.read_text()):
        assert demo_process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(_processes_with(f"ROS_LOG_DIR={tmp_path}")) == 2
    demo_process.send_signal(number)
    _, said = demo_process.communicate(timeout=WAIT_S)
    assert (demo_process.returncode, said) == (status, "segmif demo: stopped\n" if number == signal.SIGINT else "")
    assert _processes_with(f"ROS_LOG_DIR={tmp_path}") == []


def test_a_folder_without_pairs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--pairs", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"segmif demo: {tmp_path}: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("option", ["--seconds", "--rate"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan"])
def test_times_that_make_no_sense_are_refused(option: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", option, value])
    assert ended.value.code == 2
