# SPDX-License-Identifier: Apache-2.0
"""Percentiles, and how numbers are written."""

import pytest

from segmif_ros.reporting.numbers import milliseconds, number, percent, percentiles, significant


def test_percentiles_of_a_hundred_values() -> None:
    found = percentiles(range(101))
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0, "mean": 50.0}


def test_nothing_measured_has_no_percentiles() -> None:
    assert set(percentiles([]).values()) == {None}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (percent(0.431), "43.1"),
        (percent(None), "-"),
        (percent(float("nan")), "-"),
        (number(1.23456), "1.235"),
        (number(123.456), "123.46"),
        (number(None), "-"),
        (significant(1234.5), "1234"),
        (significant(None), "none"),
        (milliseconds(99.96), "100"),
        (milliseconds(7.04), "7.0"),
        (milliseconds(None), "-"),
    ],
)
def test_numbers_are_written_for_people(text: str, wanted: str) -> None:
    assert text == wanted
