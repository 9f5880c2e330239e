# SPDX-License-Identifier: Apache-2.0
"""Fusion of real pairs beside the baselines, and ranks."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.data.mixture import PairSource
from segmif_ros.evaluation.card.fusion_ranks import MODEL, rank_table, ranks, report_pairs
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.evaluation.fusion_metrics import BASELINES, entropy, luma
from segmif_ros.labels import FMB


def test_the_highest_value_has_rank_one():
    assert ranks({"a": 0.1, "b": 0.3, "c": 0.2}) == {"a": 3, "b": 1, "c": 2}


def test_equal_values_share_the_mean_of_their_places():
    assert ranks({"a": 5, "b": 7, "c": 5, "d": 1}) == {"a": 2.5, "b": 1, "c": 2.5, "d": 4}
    assert ranks({"a": 1, "b": 1, "c": 1}) == {"a": 2, "b": 2, "c": 2}


def test_a_missing_value_is_last():
    assert ranks({"a": math.nan, "b": -9.0, "c": math.nan}) == {"a": 2.5, "b": 1, "c": 2.5}


@given(st.dictionaries(st.text(max_size=3), st.floats(width=32), min_size=1))
def test_ranks_always_add_up_to_the_sum_of_places(values):
    assert sum(ranks(values).values()) == pytest.approx(len(values) * (len(values) + 1) / 2)


def test_the_mean_rank_is_over_the_metrics_that_were_asked_for():
    means = {
        "model": {"MI": 2.0, "VIF": 0.5, "EN": 0.0},
        "average": {"MI": 3.0, "VIF": 0.5, "EN": 9.0},
        "maximum": {"MI": 1.0, "EN": 9.0},
    }
    table = rank_table(means, ("MI", "VIF"))
    assert table["model"] == {"MI": 2, "VIF": 1.5, "mean": 1.75}
    assert table["average"] == {"MI": 1, "VIF": 1.5, "mean": 1.25}
    assert table["maximum"] == {"MI": 3, "VIF": 3, "mean": 3}


@pytest.fixture
def report(roadscene, engine, advance):
    source = PairSource(roadscene, hold_out_every=4, held_out=True)
    return report_pairs(engine, source, None, "roadscene", Gallery(FMB), advance)


def test_pairs_are_measured_on_the_held_out_part(roadscene, engine, report):
    assert report["pairs"] == 2
    fourth = cv2.cvtColor(cv2.imread(str(roadscene / "infrared/3.png")), cv2.COLOR_BGR2GRAY)
    assert np.array_equal(engine.pairs[0][0], fourth)


def test_a_figure_is_the_mean_over_the_pairs(engine, report):
    expected = [entropy(BASELINES["average"](infrared, luma(rgb))) for infrared, rgb in engine.pairs]
    assert report["fusion"][MODEL]["EN"] == pytest.approx(np.mean(expected))


def test_a_model_that_averages_has_the_figures_and_the_rank_of_the_average(report):
    fusion = report["fusion"]
    assert list(fusion) == [MODEL, "average", "maximum", "laplacian"]
    assert fusion[MODEL] == pytest.approx(fusion["average"])
    assert report["ranks"][MODEL] == report["ranks"]["average"]
    assert report["ahead_of_every_baseline"] is False
    assert fusion["maximum"]["EN"] != fusion["average"]["EN"]


def test_ssim_is_the_mean_of_that_with_each_source(report):
    fusion = report["fusion"][MODEL]
    assert fusion["SSIM"] == pytest.approx((fusion["SSIM infrared"] + fusion["SSIM RGB"]) / 2)
