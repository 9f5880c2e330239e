# SPDX-License-Identifier: Apache-2.0
"""Label files as other tools write them, here by Pillow: the ids that they hold, or what the file is."""

import io
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.label_files import decode_label_map, read_label_map
from segmif_ros.labels import FMB, MFNET, PST900

IDS = np.random.default_rng(0).integers(0, 9, (12, 17)).astype(np.uint8)
VOC = [  # the usual colours of a palette: the bits of the index, spread over the channels
    sum(((i >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for i in range(256) for channel in range(3)
]


def content(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_palette(indices: np.ndarray, palette: list[int]) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(palette)
    return image


def read(data: bytes, label_set: object = MFNET) -> np.ndarray:
    return decode_label_map(data, Path("a.png"), label_set)  # type: ignore[arg-type]


WRITTEN = {
    "grey": content(Image.fromarray(IDS)),
    "interlaced": cv2.imencode(".png", IDS)[1].tobytes(),
    "palette": content(with_palette(IDS, VOC)),
    "palette of 4 bits": content(with_palette(IDS, VOC[: 3 * 16]), bits=4),
    "grey palette": content(with_palette(IDS, [i for i in range(256) for _ in range(3)])),
    "stretched grey palette": content(with_palette(IDS, [28 * i for i in range(9) for _ in range(3)])),
    "palette with transparency": content(with_palette(IDS, VOC), transparency=0),
    "equal channels": content(Image.fromarray(np.dstack([IDS] * 3))),
    "alpha": content(Image.fromarray(np.dstack([IDS] * 3 + [np.full_like(IDS, 255)]))),
    "grey and alpha": content(Image.fromarray(IDS).convert("LA")),
    "16 bits": content(Image.fromarray(IDS.astype(np.uint16))),
    "16 bits, three channels": cv2.imencode(".png", np.dstack([IDS.astype(np.uint16)] * 3))[1].tobytes(),
    "tiff": content(Image.fromarray(IDS), "tiff"),
    "bmp": content(Image.fromarray(IDS), "bmp"),
    "coloured": content(Image.fromarray(MFNET.colourise(IDS))),
    "coloured, reduced to a palette": content(Image.fromarray(MFNET.colourise(IDS)).quantize(9)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_ids_in_a_file_are_read_however_it_was_written(name: str) -> None:
    assert np.array_equal(read(WRITTEN[name]), IDS)


@pytest.mark.parametrize("ids", [(0, 1), (0, 0)])
def test_a_mask_of_one_bit_holds_ids_0_and_1(ids: tuple[int, int]) -> None:
    mask = np.tile(np.array(ids, bool), (3, 5))
    assert np.array_equal(read(content(Image.fromarray(mask))), mask.astype(np.uint8))


@given(
    depth=st.sampled_from([1, 2, 4, 8]), width=st.integers(1, 19), height=st.integers(1, 5), seed=st.integers(0, 999)
)
def test_indices_of_every_depth_come_back(depth: int, width: int, height: int, seed: int) -> None:
    indices = np.random.default_rng(seed).integers(0, 2**depth, (height, width)).astype(np.uint8)
    assert np.array_equal(read(content(with_palette(indices, VOC[: 3 * 2**depth]), bits=depth), FMB), indices)


@given(st.binary(max_size=80))
def test_a_damaged_file_is_refused_and_nothing_else_is_raised(tail: bytes) -> None:
    for head in (b"", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", WRITTEN["palette"][:60]):
        with suppress(DatasetError):
            assert read(head + tail).dtype == np.uint8


def test_no_truth_stays_255_in_all_forms() -> None:
    ids = IDS.copy()
    ids[0] = 255
    forms = [Image.fromarray(ids), with_palette(ids, VOC), Image.fromarray(np.dstack([ids] * 3))]
    assert all(np.array_equal(read(content(form)), ids) for form in forms)


@pytest.mark.parametrize("palette", [FMB.palette, *FMB.other_palettes])
def test_coloured_maps_of_fmb_are_read_in_both_palettes(palette: np.ndarray) -> None:
    ids = np.arange(15, dtype=np.uint8).reshape(3, 5)
    assert np.array_equal(read(content(Image.fromarray(palette[ids])), FMB), ids)


@pytest.mark.parametrize(
    ("image", "kind", "said"),
    [
        (Image.fromarray(IDS), "jpeg", "a JPEG, which changes ids when it is saved: save label maps as PNG"),
        (Image.fromarray(IDS.astype(np.uint16) * 400), "png", "values up to 3200 of 16 bits: ids end at 255"),
        (Image.fromarray(np.dstack([IDS, IDS + 1, IDS])), "png", "9 of them not label set 'mfnet's"),
        (with_palette(IDS, VOC), "bmp", "a BMP of 8 bits with a palette"),
        (Image.fromarray(IDS > 3), "bmp", "a BMP of 1 bits"),
        (Image.fromarray(IDS > 3), "tiff", "a TIFF of one bit"),
    ],
)
def test_what_holds_no_ids_is_refused_with_what_it_is(image: Image.Image, kind: str, said: str) -> None:
    with pytest.raises(DatasetError, match=rf"^a\.png: .*{said}"):
        read(content(image, kind))


def test_a_grey_image_that_was_shrunk_to_a_palette_is_refused() -> None:
    shrunk = with_palette(np.minimum(IDS, 3), [level for level in (0, 1, 8, 255) for _ in range(3)])
    with pytest.raises(DatasetError, match=r"indices \(0, 1, 2, 3\) and grey levels \(0, 1, 8, 255\) could both"):
        read(content(shrunk))


def test_black_and_white_is_refused_where_both_are_colours_of_classes() -> None:
    picture = content(Image.fromarray(np.dstack([np.where(IDS > 3, 255, 0).astype(np.uint8)] * 3)))
    with pytest.raises(DatasetError, match="those ids, or the colours of background, survivor"):
        read(picture, PST900)
    assert set(np.unique(read(picture, MFNET))) == {0, 255}


def test_a_coloured_map_without_a_label_set_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"a picture of 9 colours: not a map of ids"):
        read(WRITTEN["coloured"], None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.png: No such file"):
        read_label_map(tmp_path / "gone.png")
