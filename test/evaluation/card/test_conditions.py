# SPDX-License-Identifier: Apache-2.0
"""The fixed rules for what is done to a pair."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.evaluation.card.conditions import (
    FIRST_SEED,
    INPUTS,
    Purpose,
    generator,
    night,
    shift_infrared,
)
from segmif_ros.training.recipe_file import read_recipe

RECIPES = sorted((Path(__file__).parents[3] / "config" / "training").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_seeds_of_the_report_are_no_training_seeds(path: Path) -> None:
    config = read_recipe(path)
    ranges = [range(each.first_seed, each.first_seed + each.count) for each in (*config.sources, *config.validation)]
    assert not any(FIRST_SEED + i in seeds for seeds in ranges for i in range(3000))


def test_rgb_alone_has_a_constant_infrared_and_infrared_alone_a_black_rgb() -> None:
    infrared, rgb = np.full((4, 5), 7, np.uint8), np.full((4, 5, 3), 9, np.uint8)
    constant, same_rgb = INPUTS["RGB alone"](infrared, rgb)
    same_infrared, black = INPUTS["infrared alone"](infrared, rgb)
    assert np.all(constant == 128)
    assert same_rgb is rgb
    assert same_infrared is infrared
    assert not black.any()


def test_night_keeps_the_order_of_levels_and_little_light() -> None:
    rgb = np.repeat(np.repeat(np.array([[30, 120, 240]], np.uint8), 400, axis=0)[..., None], 3, axis=2)
    means = night(rgb, 0).mean(axis=(0, 2))
    assert means[0] < means[1] < means[2] < 100


def test_the_night_of_an_image_is_always_the_same_and_not_that_of_another() -> None:
    rgb = np.full((20, 20, 3), 120, np.uint8)
    assert np.array_equal(night(rgb, 3), night(rgb, 3))
    assert not np.array_equal(night(rgb, 3), night(rgb, 4))


@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 1000))
def test_infrared_is_moved_by_exactly_that_many_pixels(pixels: int, seed: int) -> None:
    image = np.zeros((41, 41), np.uint8)
    image[20, 20] = 255
    (y,), (x,) = np.nonzero(shift_infrared(image, pixels, seed))
    assert {abs(y - 20), abs(x - 20)} == {0, pixels}


def test_one_seed_has_one_direction_and_all_four_occur() -> None:
    image = np.zeros((41, 41), np.uint8)
    image[20, 20] = 255

    def direction(pixels: int, seed: int) -> tuple[int, int]:
        (y,), (x,) = np.nonzero(shift_infrared(image, pixels, seed))
        return int(np.sign(y - 20)), int(np.sign(x - 20))

    assert all(direction(2, seed) == direction(8, seed) for seed in range(40))
    assert len({direction(2, seed) for seed in range(40)}) == 4


def test_night_shift_and_invented_infrared_draw_different_numbers() -> None:
    drawn = {generator(purpose, 7).integers(2**62) for purpose in Purpose}
    assert len(drawn) == len(Purpose)
    assert generator(Purpose.NIGHT, 7).integers(2**62) in drawn
