# SPDX-License-Identifier: Apache-2.0
"""What stands in for what the other camera can't see: content of the same distance and look, and nothing made up."""

import numpy as np

from segmif_ros.rig.guided_fill import fill_alike


def two_things() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return infrared, guide and nearness: a near, dark, hot thing on the left of a far, bright, cold one."""
    left = np.broadcast_to(np.arange(120) < 60, (90, 120))
    return (
        np.where(left, 200, 50).astype(np.uint8),
        np.where(left, 30, 220).astype(np.uint8),
        np.where(left, 0.4, 0.02).astype(np.float32),
    )


def test_a_gap_gets_what_lies_at_its_distance_and_looks_like_it() -> None:
    infrared, guide, nearness = two_things()
    unseen = np.zeros(infrared.shape, bool)
    unseen[20:70, 56:80] = True  # of both things
    warped = np.where(unseen, 0, infrared).astype(np.uint8)
    fill_alike(warped, unseen, guide, nearness)
    off = np.abs(warped.astype(int) - infrared)
    assert off[unseen].mean() < 5
    assert not off[~unseen].any()


def test_a_gap_that_nothing_is_like_stays_as_it_was() -> None:
    infrared, guide, nearness = two_things()
    unseen = np.zeros(infrared.shape, bool)
    unseen[:, :60] = True  # all of the near thing
    warped = np.where(unseen, 77, infrared).astype(np.uint8)
    fill_alike(warped, unseen, guide, nearness)
    assert (warped[:, :50] == 77).all()


def test_colour_images_are_filled_channel_by_channel() -> None:
    infrared, guide, nearness = two_things()
    colour = np.dstack([guide, 255 - guide, guide])
    unseen = np.zeros(infrared.shape, bool)
    unseen[30:60, 80:110] = True
    warped = colour.copy()
    warped[unseen] = 0
    fill_alike(warped, unseen, infrared, nearness)
    assert np.abs(warped.astype(int) - colour)[unseen].mean() < 5
