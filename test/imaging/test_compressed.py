# SPDX-License-Identifier: Apache-2.0
"""Compressed images: what image_transport sends, and what a bad cable makes of it."""

import array
import random
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.imaging.compressed import CompressedBuffer, checked, decompress, image_size
from segmif_ros.imaging.encodings import MAX_PIXELS, EncodingError, ImageTooLargeError, to_infrared, to_rgb
from segmif_ros.trials.fuzz.mutation import damaged


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


# --- what a decoder would write to standard error about ---------------------------------------------------------------


def chunk(kind, content) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png_file(*chunks, width=4, height=3, bits=8, colour=0, interlace=0) -> bytes:
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, colour, 0, 0, interlace])
    return b"\x89PNG\r\n\x1a\n" + b"".join((chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")))


def rows_of(*rows) -> bytes:
    return chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))


GREY_ROWS = rows_of((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12))
TEXT = chunk(b"tEXt", b"Comment\0by a driver")
DAMAGED_PNGS = {
    "rows that are missing": (png_file(rows_of((1, 2, 3, 4))), "more or fewer than its header states"),
    "rows that are too many": (png_file(GREY_ROWS, height=2), "more or fewer than its header states"),
    "no rows": (png_file(), "more or fewer than its header states"),
    "no such filter": (png_file(chunk(b"IDAT", zlib.compress(b"\7" * 15))), "a filter that PNG doesn't have"),
    "rows that aren't deflated": (png_file(chunk(b"IDAT", b"x" * 15)), "its compressed rows are damaged"),
    "rows in two places": (png_file(GREY_ROWS, TEXT, GREY_ROWS), "a chunk IDAT is where none may be"),
    "two headers": (png_file(chunk(b"IHDR", bytes(13)), GREY_ROWS), "a chunk IHDR is where none may be"),
    "no such chunk": (png_file(chunk(b"ABCD", b""), GREY_ROWS), "the chunk b'ABCD' is none that PNG has"),
    "no such depth": (png_file(GREY_ROWS, bits=3), "its header has values that PNG doesn't know"),
    "no such colour": (png_file(GREY_ROWS, colour=5), "its header has values that PNG doesn't know"),
    "a side that no decoder takes": (png_file(GREY_ROWS, width=1_000_001), "no side may have more than 1000000"),
    "no palette": (png_file(GREY_ROWS, colour=3), "a palette of 0 bytes doesn't fit"),
    "a palette that is too long": (png_file(chunk(b"PLTE", bytes(9)), GREY_ROWS, colour=3, bits=1), "palette of 9"),
}


@pytest.mark.parametrize(("data", "reason"), DAMAGED_PNGS.values(), ids=DAMAGED_PNGS)
def test_a_damaged_png_is_refused_with_the_reason_before_it_is_decoded(data, reason, monkeypatch) -> None:
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(EncodingError, match=reason):
        decompress(CompressedBuffer(format="png", data=data))


def test_a_damaged_checksum_is_named() -> None:
    data = bytearray(png_file(GREY_ROWS))
    data[-14] ^= 1  # of the rows
    with pytest.raises(EncodingError, match="the checksum of a chunk IDAT doesn't match: 80 bytes with format 'png'"):
        decompress(CompressedBuffer(format="png", data=bytes(data)))


def test_what_is_no_part_of_the_picture_may_be_damaged() -> None:
    text = TEXT[:-1] + b"?"
    found = decompress(CompressedBuffer(format="png", data=png_file(text, GREY_ROWS, TEXT) + b"more"))
    assert to_infrared(found).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def test_a_palette_and_an_index_that_it_lacks_are_read() -> None:
    palette = chunk(b"PLTE", bytes((10, 20, 30, 40, 50, 60)))
    data = png_file(palette, chunk(b"IDAT", zlib.compress(b"\0" + bytes((0, 1, 1, 2)))), height=1, colour=3)
    rgb = to_rgb(decompress(CompressedBuffer(format="png", data=data)))
    assert rgb.tolist() == [[[10, 20, 30], [40, 50, 60], [40, 50, 60], [0, 0, 0]]]


@given(st.integers(1, 11), st.integers(1, 11))
def test_an_interlaced_png_is_read(width, height) -> None:
    pixels = random_image(height, width, 1, np.uint8)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = (pixels[top::down, left::right] for top, left, down, right in passes)
    raw = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    data = png_file(chunk(b"IDAT", zlib.compress(raw)), width=width, height=height, interlace=1)
    assert np.array_equal(to_infrared(decompress(CompressedBuffer(format="png", data=data))), pixels)


def segment(marker, content) -> bytes:
    return bytes((0xFF, marker)) + (2 + len(content)).to_bytes(2, "big") + content


JPEG_OPTIONS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "with restart markers": (cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "optimised": (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", JPEG_OPTIONS.values(), ids=JPEG_OPTIONS)
def test_a_jpeg_is_decoded_as_it_is_whatever_its_driver_wrote_around_it(options, channels) -> None:
    pixels = random_image(40, 50, channels, np.uint8)
    data = cv2.imencode(".jpg", pixels, list(options))[1].tobytes()
    around = data[:2] + segment(0xE1, b"Exif\0\0nothing") + b"rubbish" + data[2:] + b"\xff\xd9" + bytes(1000)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    found = decompress(CompressedBuffer(format="jpeg", data=around))
    assert np.array_equal(np.frombuffer(found.data.tobytes(), np.uint8), expected.ravel())


def test_a_motion_jpeg_without_its_huffman_tables_is_read() -> None:
    data = cv2.imencode(".jpg", random_image(16, 16, 3, np.uint8))[1].tobytes()
    while (at := data.find(b"\xff\xc4")) >= 0:
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    assert to_rgb(decompress(CompressedBuffer(format="jpeg", data=data))).shape == (16, 16, 3)


WHOLE_JPEG = cv2.imencode(".jpg", random_image(40, 50, 3, np.uint8), [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
SCAN = WHOLE_JPEG.index(b"\xff\xda")
DAMAGED_JPEGS = {
    "a lost part": (WHOLE_JPEG.replace(b"\xff\xd1", b""), "a part between two restart markers is missing"),
    "parts in another order": (WHOLE_JPEG.replace(b"\xff\xd1", b"\xff\xd2"), "a part between two restart markers"),
    "no scan": (WHOLE_JPEG[:SCAN] + b"\xff\xd9", "a scan is missing"),
    "a scan of other components": (WHOLE_JPEG[: SCAN + 5] + b"\x09" + WHOLE_JPEG[SCAN + 6 :], "a scan's header"),
    "two images": (WHOLE_JPEG[:-2] + WHOLE_JPEG, "a second image begins in it"),
    "two frames": (WHOLE_JPEG[:SCAN] + WHOLE_JPEG[2:], "a second frame begins in it"),
    "arithmetic coding": (WHOLE_JPEG.replace(b"\xff\xc0", b"\xff\xc9"), "neither baseline nor progressive"),
    "12 bits": (WHOLE_JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "its frame header is damaged"),
    "no such segment": (WHOLE_JPEG[:2] + segment(0x42, b"") + WHOLE_JPEG[2:], "the segment 42 is none"),
}


@pytest.mark.parametrize(("data", "reason"), DAMAGED_JPEGS.values(), ids=DAMAGED_JPEGS)
def test_a_jpeg_of_a_damaged_structure_is_refused_with_the_reason_before_it_is_decoded(
    data, reason, monkeypatch
) -> None:
    monkeypatch.setattr("cv2.imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(EncodingError, match=reason):
        decompress(CompressedBuffer(format="jpeg", data=data))


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_no_decoder_writes_about_a_damaged_structure(kind, capfd) -> None:
    """Damage of Huffman-coded data in a JPEG is the one kind that only its decoder finds."""
    whole = cv2.imencode(kind, random_image(32, 32, 3, np.uint8))[1].tobytes()
    reach = len(whole) if kind == ".png" else whole.index(b"\xff\xdb")
    rng = random.Random(0)
    for _ in range(200):
        data = damaged(whole[:reach], rng, 2) + whole[reach:]
        with suppress(EncodingError):
            decompress(CompressedBuffer(format="", data=data))
    assert capfd.readouterr().err == ""


def test_what_the_decoder_gets_holds_nothing_but_the_picture() -> None:
    whole = checked(CompressedBuffer(format="png", data=png_file(TEXT, chunk(b"tRNS", b"\0\1"), GREY_ROWS) + b"more"))
    assert whole.endswith(chunk(b"IEND", b""))
    assert b"tEXt" not in whole
    assert b"tRNS" not in whole
