# SPDX-License-Identifier: Apache-2.0
"""The picture of a grid: free, lethal and unknown cells are told apart, and north is up."""

import numpy as np

from segmif_ros.grid.drawing import draw_cost
from segmif_ros.grid.evidence import Square


def test_cells_of_a_message_are_drawn_with_y_upwards_and_unknown_dark() -> None:
    cost = np.full((4, 4), -1, np.int8)
    cost[0, 0], cost[3, 0] = 0, 100  # row 0 is the lowest y
    picture = draw_cost(cost, Square(x_m=0.0, y_m=0.0, cell_m=0.5, cells=4), 0).astype(int)
    assert picture.shape == (480, 480, 3)
    lethal, free, unknown = picture[60, 60], picture[420, 60], picture[420, 420]
    assert lethal[0] - lethal[1] > 100
    assert free.min() > 200
    assert unknown.max() < 90
