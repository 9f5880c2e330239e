# SPDX-License-Identifier: Apache-2.0
"""Compressed images: what image_transport sends, and what a bad cable makes of it."""

import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.imaging.compressed import CompressedBuffer, decompress
from segmif_ros.imaging.encodings import EncodingError, to_infrared, to_rgb


def random_image(height, width, channels, dtype, seed=0) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def png(pixels, form="png", kind=bytes) -> CompressedBuffer:
    return CompressedBuffer(format=form, data=kind(cv2.imencode(".png", pixels)[1].tobytes()))


def jpeg(pixels, form="jpeg") -> CompressedBuffer:
    return CompressedBuffer(format=form, data=cv2.imencode(".jpg", pixels)[1].tobytes())


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 1000))
def test_a_grey_png_keeps_every_value(height, width, dtype, seed) -> None:
    pixels = random_image(height, width, 1, dtype, seed)
    image = png(pixels, "mono16; png compressed ", lambda raw: array.array("B", raw))
    infrared = to_infrared(decompress(image))
    assert infrared.dtype == dtype
    assert np.array_equal(infrared, pixels)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3, 4]), st.integers(0, 1000))
def test_a_colour_png_keeps_its_colours(height, width, channels, seed) -> None:
    bgr = random_image(height, width, channels, np.uint8, seed)
    assert np.array_equal(to_rgb(decompress(png(bgr, "rgb8; png compressed bgr8"))), bgr[:, :, 2::-1])


def test_a_publisher_that_gave_rgb_to_the_encoder_is_understood() -> None:
    rgb = random_image(4, 5, 3, np.uint8)
    assert np.array_equal(to_rgb(decompress(png(rgb, "rgb8; png compressed rgb8"))), rgb)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (15, 23), (1, 1)])
def test_a_jpeg_of_any_size_is_close_to_its_source(height, width) -> None:
    bgr = np.zeros((height, width, 3), np.uint8)
    bgr[:] = (30, 120, 200)
    rgb = to_rgb(decompress(jpeg(bgr)))
    assert rgb.shape == (height, width, 3)
    assert np.abs(rgb.astype(int) - (200, 120, 30)).max() <= 3
    grey = to_infrared(decompress(jpeg(bgr[:, :, 1], "mono8; jpeg compressed ")))
    assert grey.shape == (height, width)
    assert np.abs(grey.astype(int) - 120).max() <= 2


def test_a_bayer_pattern_in_a_png_is_read_as_one() -> None:
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2], mosaic[1::2, 1::2], mosaic[::2, 1::2], mosaic[1::2, ::2] = 200, 40, 120, 120
    rgb = to_rgb(decompress(png(mosaic, "bayer_rggb8; png compressed ")))
    assert (rgb[2:-2, 2:-2] == (200, 120, 40)).all()


def test_a_sixteen_bit_colour_png_becomes_eight_bit() -> None:
    bgr = random_image(5, 4, 3, np.uint16)
    expected = np.round(bgr[:, :, ::-1] / 257)
    assert np.array_equal(to_rgb(decompress(png(bgr))), expected)


@pytest.mark.parametrize("make", [jpeg, png])
@given(share=st.floats(0.0, 0.99))
def test_an_image_whose_end_is_missing_is_refused_and_not_filled_with_grey(make, share) -> None:
    whole = make(random_image(32, 32, 3, np.uint8))
    part = CompressedBuffer(format=whole.format, data=whole.data[: int(share * len(whole.data))])
    with pytest.raises(EncodingError) as caught:
        decompress(part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "data", "reason"),
    [
        ("jpeg", b"", "neither JPEG nor PNG: 0 bytes with format 'jpeg'"),
        ("rvl", b"abc", "neither JPEG nor PNG: 3 bytes with format 'rvl'"),
        ("16UC1; compressedDepth png", b"\x89PNG\r\n\x1a\n", "a compressedDepth image is no camera image"),
        ("jpeg", b"\xff\xd8\xff\xda\xff\xd9", "OpenCV can't open it"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(form, data, reason) -> None:
    with pytest.raises(EncodingError) as caught:
        decompress(CompressedBuffer(format=form, data=data))
    assert str(caught.value).startswith(reason)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]), st.booleans())
def test_whatever_comes_is_an_image_or_an_encoding_error(data, magic, ended) -> None:
    end = (b"\xff\xd9" if magic[:1] == b"\xff" else b"IEND") if ended else b""
    try:
        assert decompress(CompressedBuffer(format="", data=magic + data + end)).height
    except EncodingError as error:
        assert "\n" not in str(error)
