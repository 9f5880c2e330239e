# SPDX-License-Identifier: Apache-2.0
"""The thermal gain: what a policy maps where, that a passing hot object makes no flicker, what it survives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.imaging.gain import GAIN_POLICIES, GainConfig, ThermalGain

S = 1_000_000_000
FRAME = S // 30


def ramp(low, high, dtype=np.uint16) -> np.ndarray:
    return np.linspace(low, high, 64 * 64).reshape(64, 64).astype(dtype)


@pytest.mark.parametrize("policy", GAIN_POLICIES)
def test_an_8_bit_image_passes_unchanged(policy) -> None:
    image = ramp(10, 90, np.uint8)
    assert ThermalGain(GainConfig(policy=policy)).apply(image, 0) is image


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_fixed_range_maps_its_ends_to_black_and_white_and_clips_beyond(dtype) -> None:
    gain = ThermalGain(GainConfig(policy="fixed", fixed_low=1000, fixed_high=2000))
    out = gain.apply(np.array([[0, 1000, 1500, 2000, 9000]], dtype), 0)
    assert out.dtype == np.uint8
    assert out.tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_minmax_uses_the_whole_range_of_every_frame(dtype) -> None:
    gain = ThermalGain(GainConfig(policy="minmax"))
    for low, high in ((100, 200), (5000, 16000)):
        out = gain.apply(ramp(low, high, dtype), 0)
        assert (out.min(), out.max()) == (0, 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_percentiles_leave_out_the_extremes(dtype) -> None:
    image = ramp(1000, 2000, dtype)
    image[0, 0], image[0, 1] = 0, 16000  # a dead and a hot pixel
    out = ThermalGain(GainConfig(policy="percentile")).apply(image, 0)
    expected = np.clip((image.astype(float) - 1010) / 980 * 255, 0, 255)
    assert np.abs(out - expected).max() <= 3


def test_temperatures_below_zero_are_values_like_any_other() -> None:
    out = ThermalGain(GainConfig(policy="fixed", fixed_low=-20, fixed_high=20)).apply(
        np.array([[-20.0, 0.0, 20.0]], np.float32), 0
    )
    assert out.tolist() == [[0, 128, 255]]


def test_clahe_raises_local_contrast() -> None:
    # a faint checkerboard of 200 counts in a scene of 10,000 counts
    board = (np.indices((64, 64)).sum(axis=0) // 4 % 2 * 200).astype(np.uint16)
    image = board + 2000
    image[:, 48:] += 10_000
    plain = ThermalGain(GainConfig(policy="percentile", low_percentile=0, high_percentile=100)).apply(image, 0)
    clahe = ThermalGain(
        GainConfig(policy="clahe", low_percentile=0, high_percentile=100, clahe_clip_limit=40.0)
    ).apply(image, 0)
    assert np.ptp(clahe[:, :40]) > 3 * np.ptp(plain[:, :40])


def flicker(policy) -> float:
    """Return the largest step of the background's mean, in grey values, while a hot object crosses a still scene."""
    gain = ThermalGain(GainConfig(policy=policy))
    scene = np.random.default_rng(0).normal(8000, 300, (120, 160)).astype(np.uint16)
    means = []
    for i in range(60):
        frame = scene.copy()
        if 10 <= i < 50:
            frame[40:80, 4 * (i - 10) : 4 * (i - 10) + 12] = 12_000
        means.append(gain.apply(frame, i * FRAME)[100:].mean())
    return max(abs(np.diff(means)))


@pytest.mark.parametrize("policy", ["plateau", "percentile"])
def test_one_hot_object_passing_a_still_scene_makes_less_flicker_than_frame_by_frame_scaling(policy) -> None:
    assert flicker("minmax") > 40
    assert flicker(policy) < 5


def street(sky) -> np.ndarray:
    """Counts of a street of 7000 to 7400 with a few warm people of 7800 under a sky of ``sky``, half of the image."""
    image = np.random.default_rng(0).uniform(7000, 7400, (100, 100)).astype(np.uint16)
    image[:50] = sky + np.random.default_rng(1).uniform(0, 40, (50, 100)).astype(np.uint16)
    image[90:95, 50:56] = 7800
    return image


def test_a_cold_sky_takes_no_contrast_from_the_street_under_the_plateau_policy() -> None:
    def contrast(policy, sky) -> int:
        out = ThermalGain(GainConfig(policy=policy)).apply(street(sky), 0)
        return int(np.ptp(out[50:90]))

    assert contrast("percentile", 3000) < 40
    assert contrast("plateau", 3000) > 80


def test_few_warm_people_stand_out_under_the_plateau_policy() -> None:
    out = ThermalGain(GainConfig(policy="plateau")).apply(street(6500), 0)
    assert out[92, 53] > int(out[50:90].max()) + 10


def test_floats_and_counts_of_the_same_scene_look_the_same_under_the_plateau_policy() -> None:
    counts = street(6000)
    one, other = (ThermalGain(GainConfig(policy="plateau")).apply(counts.astype(each), 0) for each in ("u2", "f4"))
    assert np.abs(one.astype(int) - other).max() <= 2


def test_the_smoothed_range_follows_a_step_with_its_time_constant() -> None:
    gain = ThermalGain(
        GainConfig(policy="percentile", time_constant_s=2.0, low_percentile=0, high_percentile=100)
    )
    gain.apply(ramp(0, 1000), 0)
    out = gain.apply(ramp(1000, 2000), 2 * S)
    # 63 % of the way from 0..1000 to 1000..2000 is 632..1632
    assert np.abs(out - np.clip((ramp(1000, 2000) - 632.0) / 1000 * 255, 0, 255)).max() <= 1


def test_the_smoothing_goes_by_stamps_and_not_by_frames() -> None:
    one, many = ThermalGain(), ThermalGain()
    for gain in (one, many):
        gain.apply(ramp(0, 1000), 0)
    one.apply(ramp(4000, 9000), 3 * S)
    for i in range(1, 91):
        many.apply(ramp(4000, 9000), i * S // 30)
    probe = ramp(0, 10_000)
    assert np.abs(one.apply(probe, 3 * S).astype(int) - many.apply(probe, 3 * S)).max() <= 1


def test_a_jump_back_in_time_or_another_type_starts_anew() -> None:
    fresh = ThermalGain().apply(ramp(500, 900), 0)
    gain = ThermalGain()
    gain.apply(ramp(5000, 9000), 10 * S)
    assert np.array_equal(gain.apply(ramp(500, 900), 0), fresh)
    gain.apply(ramp(20, 30, np.float32), FRAME)
    assert np.array_equal(gain.apply(ramp(500, 900), 2 * FRAME), fresh)


def scene(dtype=np.uint16) -> np.ndarray:
    """Counts of a street of 7000 to 7600 with a warm person in rows 40 to 80 and columns 36 to 46."""
    y, x = np.mgrid[0:96, 0:128]
    counts = 7000 + 600 * (0.5 + 0.5 * np.sin(x / 14)) * (y / 96) + 15 * ((x * 7 + y * 13) % 5)
    counts[40:80, 36:46] += 1500
    return counts.astype(dtype)


def person_contrast(image) -> float:
    return float(image[40:80, 36:46].mean() - image[40:80, 80:120].mean())


ODD_FRAMES = {
    "shutter": np.full((96, 128), 7300),
    "shutter with noise": 7300 + np.random.default_rng(0).normal(0, 4, (96, 128)),
    "black": np.zeros((96, 128)),
    "saturated": np.full((96, 128), 65535),
    "a flash": np.random.default_rng(0).normal(30_000, 2000, (96, 128)),
    "half saturated": np.where(np.mgrid[0:96, 0:128][0] < 48, 65535, scene()),
}


@pytest.mark.parametrize("policy", ["plateau", "percentile"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("odd", ODD_FRAMES.values(), ids=ODD_FRAMES)
def test_one_odd_frame_changes_little_of_what_is_remembered(policy, dtype, odd) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    for i in range(90):
        before = gain.apply(scene(dtype), i * FRAME)
    gain.apply(odd.astype(dtype), 90 * FRAME)
    after = gain.apply(scene(dtype), 91 * FRAME)
    # a frame's weight is 1 - exp(-1 / 30), 8 grey values; a linear range has to give way to a far wider one somewhat
    assert np.abs(after.astype(int) - before).max() <= (9 if policy == "plateau" else 30)
    assert person_contrast(after) > 0.85 * person_contrast(before)


@pytest.mark.parametrize("policy", ["plateau", "percentile"])
def test_a_shutter_of_a_second_costs_no_contrast(policy) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    for i in range(90):
        before = gain.apply(scene(), i * FRAME)
    for i in range(90, 120):
        gain.apply(ODD_FRAMES["shutter with noise"].astype(np.uint16), i * FRAME)
    assert np.array_equal(gain.apply(scene(), 120 * FRAME), before)


@pytest.mark.parametrize("policy", ["plateau", "percentile"])
def test_a_camera_that_really_looks_at_a_wall_gets_its_contrast_after_some_seconds(policy) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    wall = np.random.default_rng(0).normal(7300, 4, (96, 128)).astype(np.uint16)
    gain.apply(scene(), 0)
    spans = [np.ptp(gain.apply(wall, i * FRAME)) for i in range(1, 600)]
    assert spans[100] < 20
    assert spans[-1] > 200


@pytest.mark.parametrize("policy", ["plateau", "percentile"])
def test_a_camera_that_changes_its_mode_is_followed_within_half_a_second(policy) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    for i in range(90):
        gain.apply(scene(), i * FRAME)
    shifted = scene() + np.uint16(20_000)
    for i in range(90, 105):
        out = gain.apply(shifted, i * FRAME)
    assert np.array_equal(out, ThermalGain(GainConfig(policy=policy)).apply(shifted, 0))


@pytest.mark.parametrize("policy", ["plateau", "percentile"])
def test_a_stream_that_begins_with_a_shutter_is_not_spoilt_by_it(policy) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    for i in range(3):
        gain.apply(ODD_FRAMES["shutter with noise"].astype(np.uint16), i * FRAME)
    fresh = ThermalGain(GainConfig(policy=policy)).apply(scene(), 0)
    assert np.array_equal(gain.apply(scene(), 3 * FRAME), fresh)


@pytest.mark.parametrize("policy", ["plateau", "percentile", "clahe"])
@pytest.mark.parametrize("jump_s", [-1e9, -3600, -720, -5, -0.05, 5, 3600, 1e9])
def test_a_stamp_that_jumps_costs_nothing(policy, jump_s) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    for i in range(30):
        before = gain.apply(scene(), 2_000_000_000 * S + i * FRAME)
    after = [gain.apply(scene(), 2_000_000_000 * S + round(jump_s * S) + i * FRAME) for i in range(30, 33)]
    assert all(np.array_equal(each, before) for each in after)


def test_a_still_scene_is_constant_to_the_bit() -> None:
    gain = ThermalGain()
    first = gain.apply(scene(), 0)
    assert all(np.array_equal(gain.apply(scene(), i * FRAME), first) for i in range(1, 60))


def test_a_hot_object_that_has_gone_is_forgotten() -> None:
    gain = ThermalGain()
    hot = scene()
    hot[:20, :20] = 40_000
    for i in range(60):
        gain.apply(hot, i * FRAME)
    for i in range(60, 600):
        out = gain.apply(scene(), i * FRAME)
    fresh = ThermalGain().apply(scene(), 0)
    assert np.abs(out.astype(int) - fresh).max() <= 1


def test_a_replay_gives_the_same_pictures() -> None:
    def play():
        gain, random = ThermalGain(), np.random.default_rng(3)
        return [gain.apply(random.integers(0, 16384, (20, 30)).astype(np.uint16), i * FRAME) for i in range(5)]

    assert all(np.array_equal(one, two) for one, two in zip(play(), play(), strict=True))


def test_not_a_number_is_black_and_spoils_nothing_else() -> None:
    image = ramp(10, 30, np.float32)
    clean = ThermalGain().apply(image, 0)
    image[5, 5], image[6, 6] = np.nan, np.inf
    out = ThermalGain().apply(image, 0)
    assert (out[5, 5], out[6, 6]) == (0, 255)
    assert np.abs(out.astype(int) - clean)[8:].max() <= 1


@pytest.mark.parametrize("policy", GAIN_POLICIES)
@pytest.mark.parametrize(
    "image",
    [
        np.full((8, 8), 7000, np.uint16),
        np.full((8, 8), 300.5, np.float32),
        np.full((8, 8), np.nan, np.float32),
        np.zeros((1, 1), np.uint16),
        *[np.arange(each.prod(), dtype=np.uint16).reshape(each) for each in np.array([(4, 1), (1, 4), (9, 1), (2, 2)])],
        np.array([[np.finfo("f4").max, 0, np.finfo("f4").min, np.inf, -np.inf, np.nan]], np.float32),
    ],
    ids=["flat counts", "flat temperature", "no value", "one pixel", *["4x1", "1x4", "9x1", "2x2"], "largest floats"],
)
def test_an_image_without_contrast_is_no_error(policy, image) -> None:
    gain = ThermalGain(GainConfig(policy=policy))
    for stamp_ns in (0, FRAME):
        out = gain.apply(image, stamp_ns)
        assert (out.shape, out.dtype) == (image.shape, np.uint8)


@given(
    st.sampled_from(GAIN_POLICIES),
    st.lists(st.integers(0, 65535), min_size=12, max_size=12),
    st.sampled_from([np.uint16, np.float32]),
)
def test_hotter_is_never_darker_except_for_clahe(policy, values, dtype) -> None:
    image = np.array(values, dtype).reshape(3, 4)
    out = ThermalGain(GainConfig(policy=policy)).apply(image, 0)
    assert (out.shape, out.dtype) == ((3, 4), np.uint8)
    if policy != "clahe":
        ordered = out.ravel()[np.argsort(image, axis=None)].astype(int)
        assert (np.diff(ordered) >= 0).all()


def test_padded_rows_are_taken_as_they_are() -> None:
    wide = np.random.default_rng(1).integers(0, 16384, (20, 40)).astype(np.uint16)
    assert np.array_equal(ThermalGain().apply(wide[:, :31], 0), ThermalGain().apply(wide[:, :31].copy(), 0))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"policy": "auto"}, "gain policy 'auto' is unknown: use one of plateau, percentile, fixed, minmax, clahe"),
        ({"low_percentile": 50, "high_percentile": 50}, "gain percentiles 50 and 50: 0 <= low < high <= 100"),
        ({"fixed_low": 5, "fixed_high": 1}, "fixed gain range 5 to 1: low must be below high"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, reason) -> None:
    with pytest.raises(ValueError, match="^" + reason):
        GainConfig(**settings)
