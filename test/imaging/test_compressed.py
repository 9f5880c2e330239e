# SPDX-License-Identifier: Apache-2.0
"""Compressed images: what image_transport sends, and what a bad cable makes of it."""

import array

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.imaging.compressed import CompressedBuffer, decompress, image_size
from segmif_ros.imaging.encodings import MAX_PIXELS, EncodingError, ImageTooLargeError, to_infrared, to_rgb


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
        ("jpeg", b"\xff\xd8\xff\xda\xff\xd9", "its header doesn't say its size"),
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


@pytest.mark.parametrize("kind", [".png", ".jpg"])
@given(height=st.integers(1, 99), width=st.integers(1, 99))
def test_the_size_is_known_before_anything_is_decoded(kind, height, width) -> None:
    data = cv2.imencode(kind, np.zeros((height, width, 3), np.uint8))[1].tobytes()
    assert image_size(data) == image_size(memoryview(data)) == (width, height)


@pytest.mark.parametrize("progressive", [0, 1])
def test_the_size_of_a_jpeg_with_tags_and_rubbish_before_its_frame_is_found(progressive) -> None:
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    data = cv2.imencode(".jpg", np.zeros((20, 30), np.uint8), options)[1].tobytes()
    looks_like_a_frame = b"\xff\xc0\x00\x11\x08\x10\x10\x10\x10"
    tag = b"\xff\xe1\x00\x20" + looks_like_a_frame + bytes(21)
    assert image_size(data[:2] + tag + b"\0rubbish" + data[2:]) == (30, 20)


def claiming(kind, width, height) -> bytes:
    """Return a small file whose header claims another size."""
    data = bytearray(cv2.imencode(kind, np.zeros((8, 8), np.uint8))[1].tobytes())
    if kind == ".png":
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_file_that_claims_too_many_pixels_is_refused_before_it_is_decoded(kind, monkeypatch) -> None:
    image = CompressedBuffer(format="", data=claiming(kind, 65000, 60000))
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageTooLargeError, match=r"it is 65000x60000, 3900.0 million pixels: max_pixels allows 16.8"):
        decompress(image)
    with pytest.raises(ImageTooLargeError, match=r"max_pixels allows 0.0 million"):
        decompress(CompressedBuffer(format="", data=claiming(kind, 8, 8)), max_pixels=63)
    assert MAX_PIXELS >= 4096 * 4096


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_header_that_says_no_size_is_refused(kind) -> None:
    with pytest.raises(EncodingError, match="its header doesn't say its size"):
        decompress(CompressedBuffer(format="", data=claiming(kind, 0, 8)))


@pytest.mark.parametrize("chunk", [b"IDAT", b"acTL", b"zTXt", b"iCCP"])
def test_a_chunk_that_claims_more_than_there_is_is_not_given_to_the_decoder(chunk, monkeypatch) -> None:
    whole = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    damaged = whole[:33] + b"\xff\xff\xff\xf0" + chunk + whole[33:]
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(EncodingError, match="a chunk claims more bytes than there are"):
        decompress(CompressedBuffer(format="png", data=damaged))
