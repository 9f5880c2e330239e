# SPDX-License-Identifier: Apache-2.0
"""Steady labels: noise goes, what moves stays sharp, and the past is forgotten where it says nothing."""

import itertools

import cv2
import numpy as np
import pytest

from segmif_ros.stream.temporal import TemporalConfig, TemporalFilter

HEIGHT, WIDTH = 120, 160
FRAME_NS = 33_000_000
GROUND, PERSON = 1, 2


def texture(seed: int, height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


WORLD = texture(0, HEIGHT, 2 * WIDTH)
FIGURE = texture(1, 60, 24)


def frame(number: int, *, pan=2, walk=None) -> tuple[np.ndarray, np.ndarray]:
    """Return fused image and true labels: the camera pans over the ground, and a person may walk across."""
    image = WORLD[:, number * pan : number * pan + WIDTH].copy()
    labels = np.full((HEIGHT, WIDTH), GROUND, np.uint8)
    if walk is not None:
        left = 4 + walk * number
        image[40:100, left : left + 24] = FIGURE
        labels[40:100, left : left + 24] = PERSON
    return image, labels


def noisy(labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels with one in ten wrong, and the confidence that goes with them."""
    rng = np.random.default_rng(number)
    wrong = rng.random(labels.shape) < 0.1
    confidence = np.where(wrong, 110, 200).astype(np.uint8)
    return np.where(wrong, rng.integers(0, 5, labels.shape), labels).astype(np.uint8), confidence


def changes(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.mean(before != after))


def test_noise_in_the_labels_is_halved_at_least_while_the_camera_pans() -> None:
    steady = TemporalFilter()
    raw, filtered = [], []
    for number in range(15):
        image, truth = frame(number)
        labels, confidence = noisy(truth, number)
        out, _ = steady.apply(labels, confidence, image, (number + 1) * FRAME_NS)
        raw.append(labels)
        filtered.append(out)
    before = np.mean([changes(a, b) for a, b in itertools.pairwise(raw[3:])])
    after = np.mean([changes(a, b) for a, b in itertools.pairwise(filtered[3:])])
    assert after < 0.5 * before


@pytest.mark.parametrize("pan", [0, 2])
def test_a_crossing_person_leaves_no_ghost_and_stays_whole(pan: int) -> None:
    steady = TemporalFilter()
    confidence = np.full((HEIGHT, WIDTH), 220, np.uint8)
    worst = 1.0
    for number in range(20):
        image, truth = frame(number, pan=pan, walk=5)
        labels, _ = steady.apply(truth, confidence, image, (number + 1) * FRAME_NS)
        found, true = labels == PERSON, truth == PERSON
        worst = min(worst, float((found & true).sum() / (found | true).sum()))
    assert worst > 0.9


def test_a_new_class_is_believed_within_twice_the_frames_that_are_remembered() -> None:
    steady = TemporalFilter(TemporalConfig(frames=3))
    confidence = np.full((HEIGHT, WIDTH), 255, np.uint8)
    image, truth = frame(0, pan=0)
    for number in range(10):
        steady.apply(truth, confidence, image, (number + 1) * FRAME_NS)
    seen = [
        bool((steady.apply(truth + 1, confidence, image, (number + 11) * FRAME_NS)[0] == GROUND + 1).all())
        for number in range(7)
    ]
    assert seen == [False] * 5 + [True] * 2


def test_a_class_that_was_seen_once_stays_against_a_single_frame() -> None:
    steady = TemporalFilter()
    confidence = np.full((HEIGHT, WIDTH), 200, np.uint8)
    image, truth = frame(0, pan=0)
    called = [steady.apply(truth + k % 2, confidence, image, (k + 1) * FRAME_NS)[0][0, 0] for k in range(6)]
    assert called == [GROUND] * 6


def test_a_class_of_which_there_is_little_is_believed_sooner_than_it_is_given_up() -> None:
    steady = TemporalFilter(TemporalConfig(frames=3))
    confidence = np.full((HEIGHT, WIDTH), 255, np.uint8)
    image, truth = frame(0, pan=0)
    small = truth.copy()
    small[50:60, 50:60] = PERSON
    inside = (slice(52, 58), slice(52, 58))
    stamps = iter(range(FRAME_NS, 99 * FRAME_NS, FRAME_NS))
    for _ in range(10):
        steady.apply(truth, confidence, image, next(stamps))
    came = [bool((steady.apply(small, confidence, image, next(stamps))[0][inside] == PERSON).all()) for _ in range(6)]
    went = [bool((steady.apply(truth, confidence, image, next(stamps))[0][inside] == GROUND).all()) for _ in range(9)]
    assert came.index(True) < 2
    assert went.index(True) > 3


def test_confidence_falls_where_frames_contradict_each_other() -> None:
    steady = TemporalFilter()
    image, truth = frame(0, pan=0)
    sure = np.full((HEIGHT, WIDTH), 240, np.uint8)
    for number in range(6):
        steady.apply(truth, sure, image, (number + 1) * FRAME_NS)
    labels, confidence = steady.apply(truth + 1, sure, image, 7 * FRAME_NS)
    assert (labels == GROUND).all()
    assert confidence.max() < 140


@pytest.mark.parametrize(
    "how",
    [
        {"stamp_ns": 5 * FRAME_NS},  # back in time
        {"stamp_ns": 100 * FRAME_NS},  # after a gap
        {"stamp_ns": 11 * FRAME_NS, "about": "another camera"},
    ],
)
def test_the_past_is_forgotten_after_a_jump_and_when_labels_mean_something_else(how) -> None:
    steady = TemporalFilter()
    image, truth = frame(0, pan=0)
    confidence = np.full((HEIGHT, WIDTH), 200, np.uint8)
    for number in range(10):
        steady.apply(truth, confidence, image, (number + 1) * FRAME_NS)
    labels, _ = steady.apply(truth + 1, confidence, image, **how)
    assert (labels == GROUND + 1).all()


def test_another_scene_and_another_size_start_anew() -> None:
    steady = TemporalFilter()
    image, truth = frame(0)
    confidence = np.full((HEIGHT, WIDTH), 200, np.uint8)
    steady.apply(truth, confidence, image, FRAME_NS)
    labels, _ = steady.apply(truth + 1, confidence, texture(9, HEIGHT, WIDTH), 2 * FRAME_NS)
    assert np.mean(labels == GROUND + 1) > 0.9
    small = truth[::2, ::2] + 3
    labels, _ = steady.apply(small, confidence[::2, ::2], image[::2, ::2], 3 * FRAME_NS)
    assert (labels == small).all()


def test_two_runs_give_the_same_bytes_whatever_the_number_of_threads() -> None:
    def run(threads: int) -> bytes:
        cv2.setNumThreads(threads)
        steady = TemporalFilter()
        parts = []
        for number in range(6):
            image, truth = frame(number, walk=3)
            parts += steady.apply(*noisy(truth, number), image, (number + 1) * FRAME_NS)
        return b"".join(part.tobytes() for part in parts)

    before = cv2.getNumThreads()
    try:
        assert run(1) == run(1) == run(2) == run(4)
    finally:
        cv2.setNumThreads(before)


def test_a_tiny_image_passes() -> None:
    steady = TemporalFilter()
    for number in range(3):
        labels = np.full((5, 7), number, np.uint8)
        out, _ = steady.apply(labels, labels, np.zeros((5, 7, 3), np.uint8), (number + 1) * FRAME_NS)
        assert out.shape == (5, 7)


def turning(turn, step=60) -> float:
    """Return the share of pixels that keep their class against one unsure frame, while the camera swings round."""
    steady = TemporalFilter(turn=turn)
    world = np.hstack([WORLD, WORLD[:, ::-1]])
    truth = np.full((HEIGHT, WIDTH), GROUND, np.uint8)
    sure, unsure = (np.full((HEIGHT, WIDTH), value, np.uint8) for value in (230, 100))
    for number in range(4):
        image = np.ascontiguousarray(world[:, number * step :][:, :WIDTH])
        wrong = number == 3
        out, _ = steady.apply(truth + wrong, unsure if wrong else sure, image, (number + 1) * FRAME_NS)
    return float(np.mean(out == GROUND))


def test_a_turn_that_odometry_tells_is_followed_where_it_is_too_fast_for_the_flow() -> None:
    def turn(_before_ns, _now_ns, _shape):
        return np.array([[1.0, 0, 60], [0, 1, 0], [0, 0, 1]])

    seen_before = 1 - 60 / WIDTH
    assert turning(turn) > 0.9 * seen_before
    assert turning(None) < 0.5 * seen_before


def test_where_odometry_tells_nothing_the_flow_alone_is_followed() -> None:
    assert turning(lambda *_: None, step=2) == turning(None, step=2) > 0.9


def test_a_turn_is_asked_for_between_the_two_frames_that_are_compared() -> None:
    asked = []
    steady = TemporalFilter(turn=lambda before_ns, now_ns, shape: asked.append((before_ns, now_ns, shape)))
    image, truth = frame(0)
    for number in (1, 2):
        steady.apply(truth, truth, image, number * FRAME_NS)
    assert asked == [(FRAME_NS, 2 * FRAME_NS, (HEIGHT, WIDTH))]
