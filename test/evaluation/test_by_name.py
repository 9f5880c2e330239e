# SPDX-License-Identifier: Apache-2.0
"""A model judged by truth of other classes."""

import numpy as np
import pytest

from segmif_ros.evaluation.by_name import ByName
from segmif_ros.evaluation.errors import EvaluationError
from segmif_ros.labels import CAMVID, FMB, MFNET, PST900


def test_fmb_classes_are_judged_by_mfnet_truth() -> None:
    by_name = ByName(FMB, MFNET)
    meant = {name: MFNET.names[by_name.predictions[i]] for i, name in enumerate(FMB.names)}
    assert {name for name, target in meant.items() if target == "car"} == {"car", "truck", "bus"}
    assert {name for name, target in meant.items() if target == "bike"} == {"bicycle", "motorcycle"}
    assert meant["person"] == "person" and meant["road"] == meant["sky"] == "unlabelled"
    assert [MFNET.names[i] for i in by_name.judged] == ["unlabelled", "car", "person", "bike"]


def test_it_is_said_what_counts_as_what_and_what_is_in_no_mean() -> None:
    (said,) = ByName(FMB, MFNET).notes()
    assert "the model has fmb's classes, the truth mfnet's" in said
    assert "truck and bus count as car; motorcycle counts as bike" in said
    assert "The model has no class for curve, car_stop, guardrail, color_cone, bump: they are in no mean." in said


def test_truth_that_tells_more_apart_than_the_model_is_merged() -> None:
    by_name = ByName(MFNET, FMB)
    meant = {name: FMB.names[by_name.truth[i]] for i, name in enumerate(FMB.names)}
    assert meant["truck"] == meant["bus"] == "car" and meant["motorcycle"] == "bicycle" and meant["road"] == "road"
    assert [FMB.names[i] for i in by_name.judged] == ["unlabelled", "person", "car", "bicycle"]


def test_pixels_without_truth_stay_without() -> None:
    assert ByName(FMB, MFNET).truth[255] == 255
    assert ByName(FMB, PST900).truth[np.array([255, 4])].tolist() == [255, 4]


def test_truth_without_a_class_for_the_rest_is_refused() -> None:
    with pytest.raises(EvaluationError, match="has no class for all that it doesn't name"):
        ByName(FMB, CAMVID)
