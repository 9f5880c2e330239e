# SPDX-License-Identifier: Apache-2.0
"""The parameter depth_pose; it is read where ROS isn't."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmif_ros.arrays import Float64Array

ALIGNED, BY_TF = "rgb", "tf"


def parse_depth_pose(text: str) -> Float64Array | None:
    """Return (4, 4) rgb_from_depth of "x y z qx qy qz qw"; None for "rgb" and "tf".

    Raises:
        ValueError: If it is none of these.
    """
    if text in (ALIGNED, BY_TF):
        return None
    from segmif_ros.grid.errors import GridError
    from segmif_ros.grid.poses import transform

    try:
        numbers = [float(each) for each in text.replace(",", " ").split()]
        if len(numbers) != 7:
            raise ValueError
        return transform(numbers[:3], numbers[3:])
    except GridError as error:
        raise ValueError(f"parameter 'depth_pose' is '{text}': {error}") from None
    except ValueError:
        raise ValueError(
            f"parameter 'depth_pose' is '{text}': use rgb, tf, or seven numbers x y z qx qy qz qw as tf2_echo prints "
            "them from the RGB camera's optical frame to the depth frame"
        ) from None
