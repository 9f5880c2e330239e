# SPDX-License-Identifier: Apache-2.0
"""`segmif replay` and `segmif record-synthetic` as commands: many bags, workers, bad input."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bag import FakeEngine
from rosbags.rosbag2 import Reader

from segmif_ros import cli
from segmif_ros.bag.node_options import offline_pipeline_config, parameters_of, pipeline_config
from segmif_ros.bag.reading import BagError, Topics, open_bag
from segmif_ros.bag.record_synthetic import LABELS_TOPIC
from segmif_ros.bag.replay import ReplayConfig
from segmif_ros.evaluation.baseline import BaselineEngine
from segmif_ros.evaluation.report_page import PAGE_FILE
from segmif_ros.trials import replay_command as command
from segmif_ros.trials.online import OnlineConfig
from segmif_ros.trials.replay_command import BagResult, replay_bags

MakeBag = Callable[..., Path]
QUICK = ReplayConfig(metrics=("EN",), topics=Topics(labels=LABELS_TOPIC))
QUICK_WITHOUT_TRUTH = ReplayConfig(metrics=("EN",))


def run(name: str, *arguments: object) -> int:
    return cli.main([name, *map(str, arguments)])


def test_many_bags_give_one_report_over_all(make_bag: MakeBag, tmp_path: Path) -> None:
    bags = [make_bag("a", labels_ms=(0, 100)), make_bag("b", labels_ms=(0, 300))]
    report: Any = replay_bags(bags, tmp_path / "out", FakeEngine, QUICK)
    parts = [json.loads((tmp_path / "out" / name / "report.json").read_text()) for name in ("a", "b")]
    assert report["pairs"]["processed"] == 10
    for name in ("confusion", "truth_pixels"):
        whole = np.array(report["segmentation"][name])
        assert whole.sum() > 0
        assert np.array_equal(whole, sum(np.array(part["segmentation"][name]) for part in parts))
    assert 'class="swipe"' in (tmp_path / "out" / PAGE_FILE).read_text()


def test_a_broken_bag_costs_only_itself(make_bag: MakeBag, tmp_path: Path) -> None:
    bags = [make_bag("a"), tmp_path / "bags" / "gone", make_bag("c")]
    told: list[BagResult] = []
    report: Any = replay_bags(bags, tmp_path / "out", FakeEngine, QUICK_WITHOUT_TRUTH, tell=told.append)
    assert report["pairs"]["processed"] == 10
    assert [bool(each.error) for each in told] == [False, True, False]
    assert any("gone" in note for note in report["notes"])


def test_several_workers_give_the_same_bytes(make_bag: MakeBag, tmp_path: Path) -> None:
    bags = [make_bag("a"), make_bag("b", infrared_ms=(0, 100), rgb_ms=(0, 100))]
    engine = partial(BaselineEngine, "maximum")
    for out, workers in (("one", 1), ("two", 2)):
        replay_bags(bags, tmp_path / out, engine, QUICK_WITHOUT_TRUTH, workers)
    for name in ("report.json", "a/report.json", "a/outputs/outputs.mcap", "b/outputs/outputs.mcap"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_cluster_gives_the_same_bytes(make_bag: MakeBag, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="pip install distributed")
    bags = [make_bag("a"), make_bag("b", infrared_ms=(0, 100), rgb_ms=(0, 100))]
    engine = partial(BaselineEngine, "maximum")
    replay_bags(bags, tmp_path / "one", engine, QUICK_WITHOUT_TRUTH)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        replay_bags(bags, tmp_path / "two", engine, QUICK_WITHOUT_TRUTH, scheduler=cluster.scheduler_address)
    for name in ("report.json", "a/outputs/outputs.mcap", "b/outputs/outputs.mcap"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_two_bags_of_one_name_are_refused(make_bag: MakeBag, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="two bags are called a"):
        replay_bags([make_bag("a"), tmp_path / "other" / "a"], tmp_path / "out", FakeEngine, QUICK)


def test_the_command_replays_what_record_synthetic_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bag, out = tmp_path / "street", tmp_path / "out"
    assert run("record-synthetic", bag, "--frames", 3, "--size", "64x64") == 0
    with open_bag(bag, Topics(labels=LABELS_TOPIC)) as opened:
        assert opened.counts == {"infrared": 3, "rgb": 3, "labels": 3}
    assert run("replay", bag, "--baseline", "average", "--out", out) == 0
    assert "3 of 3 pairs with average" in capsys.readouterr().out
    assert (out / "street" / "outputs" / "metadata.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--frames", 0), "allowed is 1 or more"),
        (("--size", "64by64"), "write it as WIDTHxHEIGHT"),
        (("--size", "8x8"), "allowed is 16 to 8192"),
    ],
)
def test_a_bag_that_cannot_be_made_is_one_line(
    tmp_path: Path, arguments: tuple[object, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = run("record-synthetic", tmp_path / "bag", *arguments)
    except SystemExit as ended:  # the parser's, after its usage
        status = ended.code
    assert status == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_folder_that_is_no_bag_is_not_written_over(tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "notes.txt").write_text("mine")
    assert run("record-synthetic", tmp_path / "precious", "--frames", 1, "--size", "64x64", *more) == 2
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["notes.txt"]


def test_a_bag_that_is_there_is_replaced_only_if_asked_and_what_lies_in_it_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = tmp_path / "drive"
    assert run("record-synthetic", drive, "--frames", 1, "--size", "64x64") == 0
    (drive / "my_notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in drive.iterdir()}
    assert run("record-synthetic", drive, "--frames", 2, "--size", "64x64") == 2
    assert "a bag is there already: give another name, or --overwrite" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in drive.iterdir()} == before
    assert run("record-synthetic", drive, "--frames", 2, "--size", "64x64", "--overwrite") == 0
    assert (drive / "my_notes.txt").read_text() == "mine"
    with Reader(drive) as reader:
        assert {connection.msgcount for connection in reader.connections} == {2}
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


def test_bad_input_is_one_line_and_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("replay", tmp_path / "gone", "--baseline", "average", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "no such bag" in error and error.count("\n") == 1


def test_a_params_file_of_the_node_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("/**:\n  ros__parameters:\n    slop_s: 0.05\n    gain_policy: fixed\n    gain_fixed_high: 9000\n")
    config = pipeline_config(parameters_of(path))
    assert (config.slop_s, config.gain.policy, config.gain.fixed_high) == (0.05, "fixed", 9000)


def test_the_engine_of_a_params_file_is_followed_unless_the_command_line_says_another(
    make_bag: MakeBag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str, str]] = []
    asked: list[dict[str, str]] = []

    def refuse(_bags: Any, _out: Any, engine: Any, config: ReplayConfig, *_more: Any, **_named: Any) -> None:
        [settings] = engine.args
        made.append((settings.backend, settings.precision, settings.calibration_pairs))
        asked.append(config.settings)

    monkeypatch.setattr(command, "replay_bags", refuse)
    path = tmp_path / "robot.yaml"
    said = "    backend: openvino\n    precision: bfloat16\n    calibration_pairs: mine\n"
    path.write_text(f"/**:\n  ros__parameters:\n{said}")
    bag = make_bag()
    for more in ((), ("--backend", "onnxruntime")):
        run("replay", bag, "--params-file", path, "--out", tmp_path / "out", *more)
    assert made == [("openvino", "bfloat16", "mine"), ("onnxruntime", "bfloat16", "mine")]
    assert [each["backend"] for each in asked] == ["openvino", "onnxruntime"]


def test_a_params_file_whose_backend_is_chosen_by_trial_needs_one_by_name(
    make_bag: MakeBag, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("/**:\n  ros__parameters:\n    backend: fastest\n")
    assert run("replay", make_bag(), "--params-file", path, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "give one of torch" in error and error.count("\n") == 1


def test_the_report_of_a_replay_states_backend_and_precision(make_bag: MakeBag, tmp_path: Path) -> None:
    config = replace(QUICK_WITHOUT_TRUTH, settings={"backend": "openvino", "precision": "bfloat16"})
    report: Any = replay_bags([make_bag("a")], tmp_path / "out", FakeEngine, config)
    stated = report["header"]["configuration"]
    assert (stated["backend"], stated["precision"]) == ("openvino", "bfloat16")
    assert "configuration: backend" in (tmp_path / "out" / "a" / PAGE_FILE).read_text()


def test_the_nodes_own_params_file_is_understood() -> None:
    defaults = Path(__file__).parents[2] / "config" / "segmif.yaml"
    config = pipeline_config(parameters_of(defaults))
    # a robot continues with one camera, a replay measures pairs unless it is told otherwise
    assert config == replace(pipeline_config({}), single_camera="continue")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("slop_s: soon", r"robot\.yaml: line 3: parameter 'slop_s' is 'soon': a number is needed"),
        ("slop_s: .nan", "parameter 'slop_s' is nan: allowed is 0 to 10"),
        ("queue_size: 2.5", "parameter 'queue_size' is 2.5: a whole number is needed"),
        ("gain_clahe_tiles: [1]", r"parameter 'gain_clahe_tiles' is \[1\]: a whole number"),
        ("weights: 3", "parameter 'weights' is 3: a text is needed"),
        ("overlay_alpha: much", "parameter 'overlay_alpha' is 'much': a number is needed"),
        ("slop_s: 1e300", r"line 3: parameter 'slop_s' is 1e\+300: allowed is 0 to 10"),
    ],
)
def test_a_parameter_of_the_wrong_type_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str, line: str
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    {said}\n")
    assert run("replay", tmp_path / "no.bag", "--params-file", path, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(line, error) and error.count("\n") == 1


def test_a_number_with_an_exponent_is_one(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("/**:\n  ros__parameters:\n    slop_s: 2e-2\n    time_offset_s: 1\n")
    config = pipeline_config(parameters_of(path))
    assert (config.slop_s, config.time_offset_s) == (0.02, 1.0)


@pytest.mark.parametrize("text", ["", "a: 1", "- 1", "{"])
def test_a_file_without_parameters_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(BagError, match=r"ros__parameters|YAML"):
        parameters_of(path)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"registration": "homography"}, "needs a calibration_file with a 'homography'"),
        ({"registration": "stereo"}, "lacks infrared and rgb and extrinsics"),
        ({"calibration_file": "/nowhere/rig.yaml"}, "/nowhere/rig.yaml: No such file"),
    ],
)
def test_a_registration_that_only_a_running_node_could_have_is_refused_offline(
    given: dict[str, Any], line: str
) -> None:
    assert pipeline_config(given).registration == given.get("registration", "none")
    with pytest.raises(BagError, match=line):
        offline_pipeline_config(given)


@pytest.mark.parametrize(
    "given",
    [{"gain_policy": "magic"}, {"master": "left"}, {"registration": "magic"}, {"slop_s": -1.0}, {"slop_s": "a"}],
)
def test_a_bad_parameter_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BagError):
        pipeline_config(given)


@pytest.mark.parametrize("given", [{"domain_id": 5, "own_node": False}, {"domain_id": 233}, {"domain_id": -1}])
def test_a_domain_is_for_a_node_that_is_started(given: dict[str, Any]) -> None:
    with pytest.raises(BagError, match=f"^domain {given['domain_id']}: 0 to 232 for a node that is started"):
        OnlineConfig(**given)


def test_a_running_node_is_played_to_online(
    make_bag: MakeBag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[OnlineConfig] = []

    def refuse(_bag: Path, _out: Path, config: OnlineConfig) -> Any:
        asked.append(config)
        raise BagError("enough")

    monkeypatch.setattr(command, "replay_online", refuse)
    assert run("replay", make_bag(), "--running-node", "--rate", 2, "--out", tmp_path / "out") == 2
    assert (asked[0].own_node, asked[0].rate) == (False, 2.0)
    assert capsys.readouterr().err == "segmif replay: enough\n"
