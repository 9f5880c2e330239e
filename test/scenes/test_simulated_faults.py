# SPDX-License-Identifier: Apache-2.0
"""Faults of the simulated cameras: how they are written, when they hold, what they do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.scenes.faults import KINDS, Fault, FaultError, FaultInjector, parse_faults

S = 1_000_000_000
INFRARED = np.random.default_rng(0).integers(7000, 9000, (24, 32)).astype(np.uint16)
RGB = np.random.default_rng(1).integers(0, 200, (24, 32, 3)).astype(np.uint8)


def test_a_fault_is_read_as_it_is_written() -> None:
    found = parse_faults("infrared:freeze@10s+5s, rgb:fog@2.5+1/60s,rgb:silent@30s")
    assert found == (
        Fault(camera="infrared", kind="freeze", start_s=10, duration_s=5),
        Fault(camera="rgb", kind="fog", start_s=2.5, duration_s=1, period_s=60),
        Fault(camera="rgb", kind="silent", start_s=30),
    )
    assert parse_faults("") == ()


@given(
    st.sampled_from(["infrared", "rgb"]),
    st.sampled_from(sorted(KINDS)),
    st.integers(0, 10_000),
    st.integers(1, 100),
    st.sampled_from([0, 200, 1000]),
)
def test_what_is_printed_can_be_read_again(camera, kind, start, duration, period) -> None:
    fault = Fault(camera=camera, kind=kind, start_s=start, duration_s=duration, period_s=period)
    assert parse_faults(str(fault)) == (fault,)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_faults(text)
    except FaultError as error:
        assert "infrared" in str(error)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("freeze", "CAMERA:KIND@START"),
        ("lidar:freeze@1s", "camera 'lidar' is unknown: use infrared or rgb"),
        ("rgb:frozen@1s", "kind 'frozen' is unknown: use one of silent, freeze"),
        ("rgb:freeze@1s+0s", "lasts 0 s"),
        ("rgb:freeze@1s+5s/3s", "a period has to be longer"),
        ("rgb:freeze@-1s", "CAMERA:KIND@START"),
    ],
)
def test_a_slip_is_named(text: str, what: str) -> None:
    with pytest.raises(FaultError, match="fault '") as caught:
        parse_faults(text)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fault_holds_from_its_start_for_its_duration_and_again_after_its_period() -> None:
    (fault,) = parse_faults("rgb:black@10s+5s/60s")
    held = [second for second in range(140) if fault.active(second)]
    assert held == [*range(10, 15), *range(70, 75), *range(130, 135)]


def test_a_camera_without_a_fault_is_left_alone() -> None:
    injector = FaultInjector(parse_faults("infrared:black@1s+1s"))
    assert injector.stamp_ns("rgb", S, 5) == 5
    assert injector.picture("rgb", S, RGB) is RGB
    assert injector.picture("infrared", 0, INFRARED) is INFRARED
    assert injector.picture("infrared", 2 * S, INFRARED) is INFRARED


def test_a_frozen_camera_shows_its_last_picture_under_new_stamps() -> None:
    injector = FaultInjector(parse_faults("infrared:freeze@1s"))
    injector.picture("infrared", 0, INFRARED)
    assert injector.stamp_ns("infrared", S, 2) == 2
    assert injector.picture("infrared", S, INFRARED + 1) is INFRARED


def test_a_stuck_stamp_comes_with_new_pictures() -> None:
    injector = FaultInjector(parse_faults("rgb:stamp@1s"))
    other = RGB + 1
    assert injector.stamp_ns("rgb", 0, 1) == 1
    assert injector.stamp_ns("rgb", S, 2) == 1
    assert injector.picture("rgb", S, other) is other


def test_a_silent_camera_sends_nothing() -> None:
    assert FaultInjector(parse_faults("rgb:silent@0s")).picture("rgb", 0, RGB) is None


@pytest.mark.parametrize("kind", ["flat", "black", "white", "fog", "glare", "shutter"])
@pytest.mark.parametrize("image", [INFRARED, RGB], ids=["infrared", "rgb"])
def test_faults_of_the_picture_keep_its_size_and_type(kind: str, image: np.ndarray) -> None:
    camera = "rgb" if image.ndim == 3 else "infrared"
    changed = FaultInjector(parse_faults(f"{camera}:{kind}@0s")).picture(camera, 0, image)
    assert changed is not None
    assert (changed.shape, changed.dtype) == (image.shape, image.dtype)
    assert not np.array_equal(changed, image)
    assert changed.std() < image.std() or kind == "glare"
