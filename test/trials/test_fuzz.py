# SPDX-License-Identifier: Apache-2.0
"""Short runs of the fuzz commands; the long ones are `python -m segmif_ros.trials.fuzz KIND`."""

import os
import subprocess
import sys

import pytest
from module_command import command_of

from segmif_ros.trials.fuzz import __main__ as fuzz
from segmif_ros.trials.fuzz.__main__ import KINDS, run_kind
from segmif_ros.trials.fuzz.tally import Tally

main = command_of(fuzz)


SHORT = {"images": 400, "yaml": 120, "camera_info": 60, "weights": 60, "bags": 12}


@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_raises_what_it_should_not(kind) -> None:
    tally = run_kind(kind, SHORT[kind], seed=7)
    assert not tally.unexpected, tally.text()
    assert {outcome for _, outcome in tally.counts} == {"taken", "refused"}, "both must occur, or nothing is tried"


def test_the_same_seed_makes_the_same_inputs() -> None:
    one, two, other = (run_kind("yaml", 40, seed).counts for seed in (1, 1, 2))
    assert one == two != other


def test_an_unexpected_exception_is_told_with_its_first_input_and_kept(tmp_path) -> None:
    tally = Tally(tmp_path / "kept")
    for text in ("a", "b"):
        tally.attempt("reader", [].pop, ValueError, f"input {text}", lambda text=text: text.encode())
    assert tally.attempt("reader", lambda: int("x"), ValueError, "input c") is None
    assert tally.counts == {("reader", "IndexError"): 2, ("reader", "refused"): 1}
    assert list(tally.unexpected.values()) == ["input a"]
    assert [each.read_bytes() for each in (tmp_path / "kept").iterdir()] == [b"a"]


def test_a_refusal_of_two_lines_is_unexpected() -> None:
    tally = Tally()
    tally.attempt("reader", lambda: int("x\n\ny"), ValueError, "input")

    def refuse() -> None:
        raise ValueError("two\nlines")

    tally.attempt("reader", refuse, ValueError, "input")
    assert [each for each in tally.unexpected if "in 2 lines" in each]


def test_the_command_prints_the_counts_and_ends_with_a_status(capsys) -> None:
    assert main(["camera_info", "--count", "5", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("camera_info: 5 inputs from seed 3\n")


def test_the_module_is_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "segmif_ros.trials.fuzz", "--help"], capture_output=True, text=True, check=True
    )
    assert all(kind in done.stdout for kind in KINDS)


def test_what_a_c_library_writes_to_standard_error_is_counted() -> None:
    tally = Tally()
    with tally.listening():
        os.write(2, b"one\ntwo\n")
    assert tally.written == 2
    assert "2 lines written to standard error by decoders" in tally.text()
