# SPDX-License-Identifier: Apache-2.0
import pytest

from segmif_ros.data.absence import possible_classes
from segmif_ros.labels import CAMVID, FMB


@pytest.mark.parametrize(
    ("bits", "impossible"),
    [
        (0, set()),
        (1, {"person"}),
        (2, {"car", "truck", "bus"}),
        (5, {"person", "bicycle", "motorcycle"}),
        (7, {"person", "car", "truck", "bus", "bicycle", "motorcycle"}),
    ],
)
def test_bits_say_which_classes_a_pixel_cannot_be(bits, impossible):
    possible = possible_classes(FMB)[bits]
    assert {name for name, may in zip(FMB.names, possible, strict=True) if not may} == impossible


def test_classes_are_told_by_names_that_mean_the_same():
    possible = possible_classes(CAMVID)[1]
    assert [name for name, may in zip(CAMVID.names, possible, strict=True) if not may] == ["pedestrian"]
