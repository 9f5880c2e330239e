# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segmif_ros.evaluation import ConfusionMatrix, LabelRangeError

# truth 0 0 1 1, prediction 0 1 1 1; class 2 never occurs
TRUTH = np.array([[0, 0, 1, 1, 255]], np.uint8)
PREDICTION = np.array([[0, 1, 1, 1, 2]], np.uint8)

label_maps = hnp.arrays(np.uint8, (3, 4), elements=st.sampled_from([0, 1, 2, 255]))
predictions = hnp.arrays(np.uint8, (3, 4), elements=st.integers(0, 2))


def matrix_of(truth, prediction):
    matrix = ConfusionMatrix(3)
    matrix.update(truth, prediction)
    return matrix


def test_rows_are_the_truth_and_columns_the_prediction():
    assert matrix_of(TRUTH, PREDICTION).counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_255_is_no_truth_besides_a_class_that_is_none():
    matrix = ConfusionMatrix(3, ignore_id=1)
    matrix.update(TRUTH, PREDICTION)
    assert matrix.counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_iou_and_recall_are_those_of_the_hand_count():
    matrix = matrix_of(TRUTH, PREDICTION)
    np.testing.assert_allclose(matrix.iou(), [1 / 2, 2 / 3, np.nan])
    np.testing.assert_allclose(matrix.recall(), [1 / 2, 1, np.nan])
    assert matrix.pixel_accuracy() == 3 / 4


def test_the_present_mean_skips_a_class_that_never_occurs_and_says_so():
    mean = matrix_of(TRUTH, PREDICTION).mean_iou("present")
    assert mean.value == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert mean.classes == (0, 1)


def test_the_fixed_mean_counts_a_class_that_never_occurs_as_zero():
    mean = matrix_of(TRUTH, PREDICTION).mean_iou("fixed")
    assert mean.value == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert mean.classes == (0, 1, 2)


def test_the_mean_can_leave_out_the_unlabelled_class():
    assert matrix_of(TRUTH, PREDICTION).mean_iou("fixed", classes=[1, 2]).value == pytest.approx(1 / 3)


def test_a_predicted_class_without_truth_counts_zero_in_both_means():
    matrix = matrix_of(np.array([[0, 0]], np.uint8), np.array([[0, 2]], np.uint8))
    assert matrix.mean_iou("present").classes == (0, 2)
    assert matrix.mean_iou("present").value == pytest.approx(1 / 4)


def test_an_empty_matrix_has_no_mean():
    assert np.isnan(ConfusionMatrix(3).mean_iou().value)


def test_a_label_outside_the_classes_is_refused_with_the_file_named():
    with pytest.raises(LabelRangeError, match=r"0001\.png.*\[7\]"):
        ConfusionMatrix(3).update(np.array([[7]], np.uint8), np.array([[0]], np.uint8), source="0001.png")


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match="truth is"):
        ConfusionMatrix(3).update(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


@given(label_maps, predictions)
def test_iou_equals_the_pixel_set_definition(truth, prediction):
    iou = matrix_of(truth, prediction).iou()
    for label in range(3):
        counted = truth != 255
        a, b = (truth == label) & counted, (prediction == label) & counted
        union = np.sum(a | b)
        expected = np.sum(a & b) / union if union else np.nan
        np.testing.assert_equal(iou[label], expected)


@given(label_maps, predictions, label_maps, predictions)
def test_counts_of_parts_add_up_to_those_of_the_whole(truth1, prediction1, truth2, prediction2):
    parts = matrix_of(truth1, prediction1).counts + matrix_of(truth2, prediction2).counts
    whole = matrix_of(np.vstack([truth1, truth2]), np.vstack([prediction1, prediction2]))
    assert np.array_equal(parts, whole.counts)


def test_a_falsely_predicted_class_that_the_truth_lacks_is_left_out_of_the_mean_over_the_truth() -> None:
    truth = np.array([[0, 0, 1, 1]])
    prediction = np.array([[0, 2, 1, 1]])  # class 2 has no truth, as bicycle in FMB's test split
    matrix = ConfusionMatrix(3)
    matrix.update(truth, prediction)
    assert matrix.mean_iou("truth").value == pytest.approx((0.5 + 1.0) / 2)
    assert matrix.mean_iou("truth").classes == (0, 1)
    assert matrix.mean_iou("present").value == pytest.approx((0.5 + 1.0 + 0.0) / 3)


def test_the_mean_accuracy_goes_by_the_same_conventions() -> None:
    matrix = ConfusionMatrix(4)
    matrix.update(np.array([[0, 0, 1, 1]]), np.array([[0, 2, 1, 1]]))
    assert matrix.mean_accuracy("truth").value == pytest.approx(0.75)
    assert matrix.mean_accuracy("present").value == pytest.approx((0.5 + 1.0 + 0.0) / 3)  # as torchmetrics' macro
    assert matrix.mean_accuracy("fixed").value == pytest.approx(1.5 / 4)


@pytest.mark.parametrize("convention", ["present", "truth", "fixed"])
def test_where_nothing_was_counted_there_is_no_mean(convention: str) -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(np.full((2, 2), 255), np.zeros((2, 2), int))
    assert np.isnan(matrix.mean_iou(convention).value)  # type: ignore[arg-type]
    matrix.update(np.zeros((2, 2), int), np.zeros((2, 2), int))
    assert np.isnan(matrix.mean_iou(convention, [1, 2]).value)  # type: ignore[arg-type]
