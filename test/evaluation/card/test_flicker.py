# SPDX-License-Identifier: Apache-2.0
"""Steadiness over time: known sequences have known figures."""

import numpy as np
import pytest

from segmif_ros.evaluation.card.flicker import Steadiness, driving_sequence, report_flicker, still_sequence


def frame(level):
    grey = np.full((8, 8), level, np.uint8)
    return grey, np.dstack([grey] * 3)


def test_the_largest_step_of_the_mean_is_found():
    steadiness = Steadiness(np.ones((8, 8), np.bool_))
    infrared, rgb = frame(100)
    for level in (50, 52, 47, 48):
        steadiness.add(infrared, rgb, frame(level)[1], infrared)
    assert steadiness.figures()["largest_step"] == {"infrared": 0, "RGB": 0, "fused": 5, "average": 0}


def test_change_is_relative_to_the_mean_change_of_both_sources():
    steadiness = Steadiness(np.ones((8, 8), np.bool_))
    for level in (0, 10):
        steadiness.add(frame(level)[0], frame(2 * level)[1], frame(3 * level)[1], frame(0)[0])
    figures = steadiness.figures()
    assert figures["change"]["fused"] == 30
    assert figures["relative_change"]["fused"] == pytest.approx(30 / 15)
    assert figures["relative_change"]["average"] == pytest.approx(1)


def test_sources_that_do_not_change_leave_nothing_to_compare_with():
    steadiness = Steadiness(np.ones((8, 8), np.bool_))
    for level in (0, 10):
        steadiness.add(*frame(5), frame(level)[1], frame(0)[0])
    assert steadiness.figures()["relative_change"]["fused"] is None


def test_only_the_background_counts():
    where = np.zeros((8, 8), np.bool_)
    where[:4] = True
    steadiness = Steadiness(where)
    for level in (0, 200):
        fused, labels = frame(50)[1].copy(), np.zeros((8, 8), np.uint8)
        fused[4:], labels[4:], labels[0] = level, level, level
        steadiness.add(*frame(5), fused, labels)
    figures = steadiness.figures()
    assert figures["largest_step"]["fused"] == 0
    assert figures["relabelled"] == pytest.approx(1 / 4)


def test_the_background_of_the_still_sequence_holds_nothing_but_noise():
    background, frames = still_sequence("night", 4, 96, 128)
    pairs = list(frames)
    assert len(pairs) == 4
    assert 0.3 < background.mean() < 0.9
    first, last = (infrared.astype(int) for infrared, _ in (pairs[0], pairs[2]))
    assert np.abs(last - first)[background].max() < 15
    assert np.abs(last - first)[~background].max() > 60


def test_the_figure_is_not_there_yet_in_the_first_frame():
    _, frames = still_sequence("night", 4, 96, 128)
    counts = [int(np.sum(infrared > 225)) for infrared, _ in frames]
    assert counts[1] > counts[0] + 100


def test_the_driving_sequence_moves():
    where, frames = driving_sequence("day", 2, 64, 96)
    (first, _), (second, _) = frames
    assert where.all()
    assert not np.array_equal(first, second)


def test_each_sequence_is_measured_by_day_and_night(engine, advance):
    report = report_flicker(engine, 2, advance)
    assert advance.done == 8
    for kind in ("still", "driving"):
        assert set(report[kind]) == {"day", "night"}
        # this engine fuses by the average
        relative = report[kind]["day"]["relative_change"]
        assert relative["fused"] == pytest.approx(relative["average"], abs=0.02)
