# SPDX-License-Identifier: Apache-2.0
"""Every encoding of the contract, padded rows, both byte orders, against a slow, obvious reading of the bytes."""

import array
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.imaging.encodings import (
    INFRARED_ENCODINGS,
    RGB_ENCODINGS,
    EncodingError,
    ImageBuffer,
    is_pseudo_coloured,
    to_infrared,
    to_rgb,
    view,
)

# encoding -> (values a pixel, struct code of one value)
PLAIN = {
    "mono8": (1, "B"),
    "8UC1": (1, "B"),
    "mono16": (1, "H"),
    "16UC1": (1, "H"),
    "32FC1": (1, "f"),
    "rgb8": (3, "B"),
    "bgr8": (3, "B"),
    "rgba8": (4, "B"),
    "bgra8": (4, "B"),
    "8SC1": (1, "b"),
    "16SC1": (1, "h"),
    "32SC1": (1, "i"),
    "64FC1": (1, "d"),
    "rgb16": (3, "H"),
    "bgr16": (3, "H"),
    "rgba16": (4, "H"),
    "bgra16": (4, "H"),
}


def buffer(encoding, height, width, data, *, step, big=False) -> ImageBuffer:
    return ImageBuffer(encoding=encoding, height=height, width=width, step=step, is_bigendian=big, data=data)


def packed(encoding, pixels) -> ImageBuffer:
    """Wrap (H, W) or (H, W, C) uint8 without padding."""
    height, width = pixels.shape[:2]
    return buffer(encoding, height, width, pixels.tobytes(), step=pixels[0].nbytes)


def read_slowly(image: ImageBuffer) -> list[list[list[float]]]:
    channels, code = PLAIN[image.encoding]
    size = struct.calcsize("=" + code)
    order = ">" if image.is_bigendian else "<"
    return [
        [
            [
                struct.unpack_from(order + code, image.data, v * image.step + (u * channels + c) * size)[0]
                for c in range(channels)
            ]
            for u in range(image.width)
        ]
        for v in range(image.height)
    ]


@st.composite
def plain_images(draw, encodings=tuple(PLAIN)):
    encoding = draw(st.sampled_from(encodings))
    height, width, padding = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(0, 7))
    channels, code = PLAIN[encoding]
    row = width * channels * struct.calcsize("=" + code)
    step = row + padding
    size = draw(st.sampled_from([height * step, (height - 1) * step + row]))
    data = draw(st.binary(min_size=size, max_size=size))
    kind = draw(st.sampled_from([bytes, bytearray, lambda raw: array.array("B", raw), memoryview]))
    return buffer(encoding, height, width, kind(data), step=step, big=draw(st.booleans()))


@given(plain_images())
def test_a_view_holds_what_the_bytes_say(image) -> None:
    pixels = view(image)
    expected = np.array(read_slowly(image), pixels.dtype).reshape(pixels.shape)
    assert np.array_equal(pixels, expected, equal_nan=pixels.dtype.kind == "f")


@given(plain_images(("mono8", "rgb8", "bgr8", "rgba8", "bgra8", "8UC1")))
def test_rgb_is_what_the_encodings_name_says(image) -> None:
    order = {"rgb8": (0, 1, 2), "rgba8": (0, 1, 2), "bgr8": (2, 1, 0), "bgra8": (2, 1, 0)}
    slow = [[[p[c] for c in order.get(image.encoding, (0, 0, 0))] for p in row] for row in read_slowly(image)]
    rgb = to_rgb(image)
    assert rgb.dtype == np.uint8
    assert rgb.tolist() == slow


@given(plain_images(("rgb16", "bgr16", "rgba16", "bgra16")))
def test_sixteen_bit_colours_are_rounded_to_eight(image) -> None:
    order = (2, 1, 0) if image.encoding.startswith("bgr") else (0, 1, 2)
    slow = [[[round(p[c] / 257) for c in order] for p in row] for row in read_slowly(image)]
    assert to_rgb(image).tolist() == slow


def test_every_sixteen_bit_value_is_rounded_to_eight() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    rgb = to_rgb(buffer("rgb16", 256, 256, values.tobytes(), step=256 * 6))
    assert np.array_equal(rgb, np.round(values / 257))


@given(plain_images(("mono16",)))
def test_sixteen_bit_grey_as_rgb_is_rounded_to_eight(image) -> None:
    assert to_rgb(image).tolist() == [[[round(p[0] / 257)] * 3 for p in row] for row in read_slowly(image)]


@pytest.mark.parametrize(("encoding", "luma"), [("yuv422", 1), ("uyvy", 1), ("yuv422_yuy2", 0), ("yuyv", 0)])
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 5), st.integers(0, 999))
def test_the_luma_of_a_uvc_cameras_yuv_is_its_infrared_image(encoding, luma, height, width, padding, seed) -> None:
    step = 2 * width + padding
    data = np.random.default_rng(seed).integers(0, 256, (height, step), dtype=np.uint8)
    infrared = to_infrared(buffer(encoding, height, width, data.tobytes(), step=step))
    assert np.array_equal(infrared, data[:, luma : 2 * width : 2])
    assert infrared.flags.c_contiguous


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 999))
def test_the_luma_of_nv12_is_its_infrared_image(encoding, height, width, seed) -> None:
    rows, columns = height + (height + 1) // 2, width + width % 2
    data = np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)
    infrared = to_infrared(buffer(encoding, height, width, data.tobytes(), step=columns))
    assert np.array_equal(infrared, data[:height, :width])


@pytest.mark.parametrize("encoding", ["uyvy", "yuyv", "nv12"])
def test_yuv_shows_a_palette_only_if_its_chroma_is_not_neutral(encoding) -> None:
    rows = 48 if encoding == "nv12" else 32
    row = 64 if encoding == "nv12" else 128
    grey, coloured = np.full((rows, row), 128, np.uint8), np.full((rows, row), 60, np.uint8)
    assert not is_pseudo_coloured(buffer(encoding, 32, 64, grey.tobytes(), step=row))
    assert is_pseudo_coloured(buffer(encoding, 32, 64, coloured.tobytes(), step=row))


@given(plain_images(("8SC1", "16SC1", "32SC1", "64FC1")))
def test_rare_infrared_becomes_float(image) -> None:
    infrared = to_infrared(image)
    assert infrared.dtype == np.float32
    with np.errstate(over="ignore"):
        expected = np.array(read_slowly(image))[..., 0].astype(np.float32)
    assert np.array_equal(infrared, expected, equal_nan=True)


@given(plain_images(("mono8", "8UC1", "mono16", "16UC1", "32FC1")))
def test_infrared_keeps_its_values_in_the_machines_byte_order(image) -> None:
    infrared = to_infrared(image)
    assert infrared.dtype.isnative
    expected = np.array(read_slowly(image), infrared.dtype)[..., 0]
    assert np.array_equal(infrared, expected, equal_nan=infrared.dtype.kind == "f")


@given(plain_images(("rgb8", "bgr8", "rgba8", "bgra8")))
def test_pseudo_coloured_infrared_becomes_its_luminance(image) -> None:
    rgb = to_rgb(image).astype(float)
    luminance = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    assert np.abs(to_infrared(image) - luminance).max() <= 1
    assert is_pseudo_coloured(image)
    assert not is_pseudo_coloured(buffer("mono16", 1, 1, bytes(2), step=2))


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "32FC1", "rgb8"])
def test_common_encodings_are_read_without_a_copy(encoding) -> None:
    data = bytearray(4 * 60)
    image = buffer(encoding, 4, 5, data, step=60)
    pixels = to_rgb(image) if encoding == "rgb8" else to_infrared(image)
    data[60:64] = b"\1\1\1\1"
    assert pixels[1].any()


def test_a_step_of_zero_means_tightly_packed() -> None:
    assert view(buffer("mono16", 2, 2, bytes(range(8)), step=0)).tolist() == [[0x0100, 0x0302], [0x0504, 0x0706]]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_flat_colour_behind_a_bayer_pattern_comes_back(pattern) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    mosaic = np.zeros((12, 13), np.uint8)
    for v in range(12):
        for u in range(13):
            mosaic[v, u] = colour[pattern[2 * (v % 2) + u % 2]]
    rgb = to_rgb(packed(f"bayer_{pattern}8", mosaic))
    assert (rgb[2:-2, 2:-2] == (200, 120, 40)).all()


def bayer_slowly(mosaic, pattern, v, u, colour) -> float:
    """Return the mean of the nearest pixels of a colour, as bilinear interpolation does away from the border."""
    if pattern[2 * (v % 2) + u % 2] == colour:
        return float(mosaic[v, u])
    near = [(dv, du) for dv in (-1, 0, 1) for du in (-1, 0, 1) if pattern[2 * ((v + dv) % 2) + (u + du) % 2] == colour]
    nearest = min(dv * dv + du * du for dv, du in near)
    return float(np.mean([mosaic[v + dv, u + du] for dv, du in near if dv * dv + du * du == nearest]))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@given(st.integers(3, 8), st.integers(3, 8), st.integers(0, 3), st.sampled_from([8, 16]), st.booleans(),
       st.integers(0, 1000))  # fmt: skip
def test_bayer_of_any_size_is_interpolated_between_its_own_colours(
    pattern, height, width, padding, bits, big, seed
) -> None:
    pixel = bits // 8
    step = width * pixel + padding
    data = np.random.default_rng(seed).bytes(height * step)
    image = buffer(f"bayer_{pattern}{bits}", height, width, data, step=step, big=big)
    rgb = to_rgb(image)
    assert (rgb.shape, rgb.dtype) == ((height, width, 3), np.uint8)
    mosaic = [
        [int.from_bytes(data[v * step + u * pixel :][:pixel], "big" if big else "little") for u in range(width)]
        for v in range(height)
    ]
    scale = 1 if bits == 8 else 257
    for v in range(1, height - 1):
        for u in range(1, width - 1):
            expected = [bayer_slowly(np.array(mosaic), pattern, v, u, each) / scale for each in "rgb"]
            assert np.abs(rgb[v, u] - expected).max() <= 1


def yuv_to_rgb(y, u, v) -> np.ndarray:
    """BT.601, video range, the formula."""
    y, u, v = 1.164 * max(0.0, y - 16.0), u - 128.0, v - 128.0
    return np.clip([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], 0, 255)


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 3), st.integers(0, 1000))
def test_yuv422_of_any_width_follows_the_formula(encoding, height, width, padding, seed) -> None:
    step = 2 * width + padding
    data = np.random.default_rng(seed).bytes(height * step)
    rgb = to_rgb(buffer(encoding, height, width, data, step=step))
    assert rgb.shape == (height, width, 3)
    luma = 1 if encoding in ("yuv422", "uyvy") else 0
    for v in range(height):
        for u in range(width):
            row = data[v * step :]
            first, second = 2 * (u // 2 * 2) + 1 - luma, 2 * (u // 2 * 2 + 1) + 1 - luma
            chroma_v = row[second] if u // 2 * 2 + 1 < width else (row[second - 4] if width > 1 else 128)
            expected = yuv_to_rgb(row[2 * u + luma], row[first], chroma_v)
            assert np.abs(rgb[v, u] - expected).max() <= 2


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 3), st.integers(0, 1000))
def test_half_chroma_of_any_size_follows_the_formula(encoding, height, width, padding, seed) -> None:
    step = width + width % 2 + padding
    rows = height + (height + 1) // 2
    data = np.random.default_rng(seed).bytes(rows * step)
    rgb = to_rgb(buffer(encoding, height, width, data, step=step))
    assert rgb.shape == (height, width, 3)
    for v in range(height):
        for u in range(width):
            chroma = (height + v // 2) * step + u // 2 * 2
            first, second = data[chroma], data[chroma + 1]
            expected = yuv_to_rgb(data[v * step + u], *((first, second) if encoding == "nv12" else (second, first)))
            assert np.abs(rgb[v, u] - expected).max() <= 2


def test_every_encoding_of_the_contract_has_its_role() -> None:
    assert {"mono8", "8UC1", "mono16", "16UC1", "32FC1", "rgb8", "bgr8"} <= set(INFRARED_ENCODINGS)
    assert {"rgb8", "bgr8", "rgba8", "bgra8", "mono8", "yuv422", "yuv422_yuy2", "nv12"} <= set(RGB_ENCODINGS)
    assert {f"bayer_{each}8" for each in ("rggb", "bggr", "gbrg", "grbg")} <= set(RGB_ENCODINGS)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (buffer("mono8", 4, 4, bytes(15), step=4), "the data has 15 bytes, step times rows is 16: mono8 4x4, step 4"),
        (buffer("mono8", 4, 4, bytes(17), step=4), "the data has 17 bytes"),
        (buffer("rgb8", 4, 4, bytes(16), step=4), "step is 4 bytes but a row has 12: rgb8 4x4"),
        (buffer("mono16", 0, 4, b"", step=8), "the image is empty"),
        (buffer("jpeg", 4, 4, bytes(16), step=4), "encoding 'jpeg' is not supported: publish one of mono8"),
        (buffer("nv12", 4, 4, bytes(16), step=4), "the data has 16 bytes, step times rows is 24"),
    ],
)
def test_a_buffer_that_can_not_be_the_image_is_refused_in_one_line(image, reason) -> None:
    with pytest.raises(EncodingError) as caught:
        view(image)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_an_encoding_without_a_colour_order_is_refused_with_what_to_do() -> None:
    with pytest.raises(EncodingError, match=r"'8UC3' doesn't say its colour order: .* rgb8 or bgr8"):
        to_rgb(buffer("8UC3", 2, 2, bytes(12), step=6))


def test_an_encoding_for_the_other_camera_is_refused_with_what_to_do() -> None:
    with pytest.raises(EncodingError, match="'rgb16' can't be used as an infrared image: publish one of mono8"):
        to_infrared(buffer("rgb16", 2, 2, bytes(24), step=12))
    for encoding in ("bayer_rggb8", "bayer_grbg16"):
        with pytest.raises(EncodingError, match=f"'{encoding}' is the mosaic of a colour camera and no infrared image"):
            to_infrared(buffer(encoding, 2, 2, bytes(8), step=4))
    for encoding in ("8UC3", "8UC4"):
        with pytest.raises(EncodingError, match="doesn't say its colour order: have the driver publish rgb8 or bgr8"):
            to_infrared(buffer(encoding, 2, 2, bytes(16), step=8))
    with pytest.raises(EncodingError, match="'32FC1' can't be used as an RGB image"):
        to_rgb(buffer("32FC1", 2, 2, bytes(16), step=8))


def test_a_bayer_image_that_is_too_small_is_refused() -> None:
    with pytest.raises(EncodingError, match="at least 3x3"):
        to_rgb(buffer("bayer_rggb8", 2, 2, bytes(4), step=2))


def shape_or_reason(decode, image):
    try:
        return decode(image).shape[:2]
    except EncodingError as error:
        return str(error)


@given(
    st.sampled_from([*RGB_ENCODINGS, *INFRARED_ENCODINGS, "8UC3", ""]),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 30),
    st.booleans(),
    st.binary(max_size=120),
)
def test_whatever_comes_is_an_image_of_the_stated_size_or_an_encoding_error(e, height, width, step, big, data) -> None:
    image = buffer(e, height, width, data, step=step, big=big)
    for shape in (shape_or_reason(to_rgb, image), shape_or_reason(to_infrared, image)):
        assert shape == (height, width) or "\n" not in shape
