# SPDX-License-Identifier: Apache-2.0
"""One spelling for one thing over all commands; the spellings of before still work and say so."""

import argparse
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

from segmif_ros import cli
from segmif_ros.command_line import OLD_SPELLINGS, Parser
from segmif_ros.settings import setting
from segmif_ros.settings.options import add_options, from_options


@dataclass(frozen=True, kw_only=True)
class Images:
    width: int = setting(640, "Columns and rows.", minimum=1)
    height: int = setting(480, "Rows.", minimum=1)


# what people call these things: no two of one line may be in use
SYNONYMS = (
    {"out", "output", "outdir", "output-dir", "out-dir", "destination", "to-folder"},
    {"weights", "model", "models", "checkpoint", "checkpoints"},
    {"device", "gpu", "cuda"},
    {"infrared-topic", "infrared", "thermal-topic", "ir-topic"},
    {"rgb-topic", "rgb", "visible-topic", "image-topic"},
    {"labels-topic", "truth-topic", "label-topic"},
    {"size", "sizes", "resolution", "image-size", "shape"},
    {"threads", "num-threads", "jobs-threads"},
    {"workers", "jobs", "processes"},
    {"seconds", "duration", "length"},
    {"rate", "hz", "fps", "rate-hz"},
    {"label-set", "class-set", "labelset"},
    {"params-file", "params", "parameters-file", "config"},
    {"calibration-file", "calibration", "camera-info"},
    {"overwrite", "force", "replace"},
    {"fresh", "restart", "no-resume"},
    {"domain-id", "domain", "ros-domain-id"},
    {"seed", "random-seed"},
    {"json", "as-json"},
    {"every", "step", "stride"},
    {"frames", "count", "pairs-count"},
    {"lighting", "light"},
)
# `record-synthetic --drive` drives along a street, `evaluate-grid --drives 6` says how many
DIFFERENT = {"drive", "drives"}


@pytest.fixture(scope="module")
def options() -> dict[str, list[tuple[str, argparse.Action]]]:
    """The actions of every long option, with the commands that have it."""
    found = defaultdict(list)
    for name, (_, wire) in cli.COMMANDS.items():
        parser = Parser(prog=name)
        wire(parser)
        for action in parser._actions:
            for spelling in action.option_strings:
                if spelling.startswith("--") and spelling != "--help":
                    found[spelling.removeprefix("--")].append((name, action))
    return found


def test_no_two_commands_spell_one_thing_differently(options):
    for synonyms in SYNONYMS:
        used = {name: [command for command, _ in options[name]] for name in sorted(synonyms & options.keys())}
        assert len(used) < 2, used


def test_no_two_options_differ_by_an_ending_alone(options):
    def root(name: str) -> str:
        return re.sub(r"(-(file|folder|dir|path|hz|s|m|deg|name))?s?$", "", name)

    alike = defaultdict(set)
    for name in options:
        alike[root(name)].add(name)
    assert [names for names in alike.values() if len(names) > 1 and names != DIFFERENT] == []


def test_an_option_takes_a_value_in_every_command_or_in_none(options):
    for name, uses in options.items():
        flags = {command: action.nargs == 0 for command, action in uses}
        assert len(set(flags.values())) == 1, (name, flags)


def test_a_spelling_of_before_is_no_option_beside_the_new_one(options):
    for old, new in OLD_SPELLINGS.items():
        have = [{command for command, _ in options.get(name.removeprefix("--"), ())} for name in (old, new)]
        assert have[1], f"no command has {new}"
        assert not have[0] & have[1], (old, new)


@pytest.mark.parametrize(
    ("command", "given", "key", "value"),
    [
        ("train", ["r.yaml", "--output", "runs/x"], "out", Path("runs/x")),
        ("train", ["r.yaml", "--output=runs/x"], "out", Path("runs/x")),
        ("replay", ["b", "--infrared", "/ir", "--infrared", "/ir2"], "infrared_topic", "/ir2"),
        ("replay", ["b", "--odom", "/o"], "odom_topic", "/o"),
        ("export-dataset", ["b", "--labels", "/truth"], "labels_topic", "/truth"),
        ("bench", ["--backends", "torch", "openvino"], "backend", ["torch", "openvino"]),
        ("gpu-check", ["--models", "segmif-rt"], "weights", ["segmif-rt"]),
        ("convert", ["w", "o", "--to", "authors", "--form", "safetensors"], "format", "safetensors"),
    ],
)
def test_a_spelling_of_before_works_and_is_said_once(command, given, key, value, capsys):
    parser = Parser(prog=f"segmif {command}")
    cli.COMMANDS[command][1](parser)
    assert getattr(parser.parse_args(given), key) == value
    old = next(word.partition("=")[0] for word in given if word.startswith("--") and word != "--to")
    said = f"segmif {command}: {old} is now called {OLD_SPELLINGS[old]}; the old name works, too\n"
    assert capsys.readouterr().err == said


def test_an_option_that_another_command_called_so_before_stays_what_it_is(capsys):
    parser = Parser(prog="segmif evaluate")
    cli.COMMANDS["evaluate"][1](parser)
    assert parser.parse_args(["d", "--dataset", "pairs", "--labels", "mine"]).labels == Path("mine")
    assert capsys.readouterr().err == ""


def test_the_new_spelling_says_nothing_and_what_follows_two_dashes_is_left_alone(capsys):
    parser = Parser(prog="probe")
    parser.add_argument("--out")
    parser.add_argument("rest", nargs="*")
    assert parser.parse_args(["--out", "x", "--", "--output"]).rest == ["--output"]
    assert capsys.readouterr().err == ""


def test_the_old_way_to_write_a_size_works_and_is_said(capsys):
    parser = Parser(prog="segmif demo")
    add_options(parser, Images)
    assert from_options(parser.parse_args(["--size", "320x240"]), Images()) == Images(width=320, height=240)
    assert from_options(parser.parse_args([]), Images()) == Images()
    assert capsys.readouterr().err == ""
    assert from_options(parser.parse_args(["--size", "320", "240"]), Images()) == Images(width=320, height=240)
    assert "--size 320 240 is now written --size 320x240" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["640"], ["0x480"], ["axb"], ["1", "2", "3"]])
def test_a_size_that_is_none_is_refused_with_an_example(words, capsys):
    parser = Parser(prog="probe")
    add_options(parser, Images)
    with pytest.raises(SystemExit):
        parser.parse_args(["--size", *words])
    assert "write it as WIDTHxHEIGHT, such as 640x480" in capsys.readouterr().err
