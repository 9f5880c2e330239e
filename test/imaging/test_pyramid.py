# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from segmif_ros.imaging.pyramid import compose, decompose


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (29, 31), (64, 48)])
def test_what_is_split_comes_together_again(size):
    plane = np.random.default_rng(0).uniform(0, 255, size).astype(np.float32)
    assert np.allclose(compose(*decompose(plane)), plane, atol=1e-3)


def test_every_level_halves_the_sides_until_they_are_small():
    details, rest = decompose(np.zeros((13, 40), np.float32))
    assert [each.shape for each in details] == [(13, 40), (7, 20), (4, 10)]
    assert rest.shape == (2, 5)


def test_an_even_plane_has_no_details():
    details, rest = decompose(np.full((32, 32), 90, np.float32), levels=2)
    assert len(details) == 2
    assert all(np.allclose(each, 0, atol=1e-4) for each in details)
    assert np.allclose(rest, 90)
