# SPDX-License-Identifier: Apache-2.0
"""Serialized messages <-> arrays."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import get_types_from_msg

from segmif_ros.bag.messages import (
    COMPRESSED,
    DEFINITIONS,
    IMAGE,
    compressed_message,
    header_of,
    image_message,
    image_of,
    semantic_map_message,
    typestore,
)
from segmif_ros.imaging.encodings import EncodingError, to_infrared, to_rgb, view
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import MFNET
from segmif_ros.stream.processing import opened

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_the_definitions_are_those_of_the_package(name: str) -> None:
    source = (ROOT / "msg" / f"{name.rsplit('/', 1)[-1]}.msg").read_text()
    assert get_types_from_msg(DEFINITIONS[name], name) == get_types_from_msg(source, name)


@settings(deadline=None)  # the first call loads the message types
@given(
    stamp_ns=st.integers(0, 2**31 * 10**9 - 1),
    frame_id=st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20),
)
def test_a_header_is_read_without_the_image(stamp_ns: int, frame_id: str) -> None:
    raw = image_message(np.zeros((2, 3), np.uint8), "mono8", stamp_ns, frame_id)
    assert header_of(bytes(raw)) == (stamp_ns, frame_id)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_damaged_bytes_are_refused_not_read_past_their_end(raw: bytes) -> None:
    try:
        header_of(raw)
    except ValueError as error:
        assert not re.search("\n", str(error))
    assert image_of(raw, IMAGE) is not None
    assert image_of(raw, COMPRESSED) is not None


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "32FC1", "rgb8"])
def test_an_image_comes_back_as_it_was(encoding: str) -> None:
    dtype = {"mono8": np.uint8, "mono16": np.uint16, "32FC1": np.float32, "rgb8": np.uint8}[encoding]
    shape = (4, 5, 3) if encoding == "rgb8" else (4, 5)
    image = np.random.default_rng(1).integers(0, 250, shape).astype(dtype)
    back = image_of(image_message(image, encoding, 5, "camera"), IMAGE)
    assert (back.encoding, back.height, back.width) == (encoding, 4, 5)
    assert np.array_equal(view(back), image)


def test_a_16_bit_png_comes_back_as_it_was() -> None:
    counts = np.random.default_rng(1).integers(0, 2**14, (6, 7)).astype(np.uint16)
    back = image_of(compressed_message(counts, "mono16", "png", 5, "camera"), COMPRESSED)
    assert np.array_equal(to_infrared(opened(back)), counts)


def test_the_colours_of_a_jpeg_are_in_order() -> None:
    red = np.full((16, 16, 3), (250, 10, 10), np.uint8)
    back = to_rgb(opened(image_of(compressed_message(red, "rgb8", "jpeg", 5, "camera"), COMPRESSED)))
    assert np.abs(back.astype(int) - red).max() < 8


def test_a_damaged_jpeg_is_undecodable() -> None:
    raw = bytearray(compressed_message(np.zeros((16, 16, 3), np.uint8), "rgb8", "jpeg", 5, "camera"))
    raw[60:] = bytes(len(raw) - 60)
    with pytest.raises(EncodingError, match="rgb8; jpeg"):
        to_rgb(opened(image_of(bytes(raw), COMPRESSED)))


def test_a_semantic_map_holds_what_the_engine_made() -> None:
    labels = np.array([[0, 1, 1], [2, 2, 2]], np.uint8)
    result = EngineResult(fused=np.zeros((2, 3, 3), np.uint8), labels=labels, confidence=labels * 10)
    raw = semantic_map_message(
        result, MFNET, stamp_ns=7, frame_id="rgb", pair_offset_s=0.5, model_name="m", model_hash="h"
    )
    back = typestore().deserialize_cdr(raw, "segmif_ros/msg/SemanticMap")
    assert (back.height, back.width, back.pair_offset_s, back.model_name) == (2, 3, 0.5, "m")
    assert back.labels.tolist() == labels.ravel().tolist()
    assert back.confidence.tolist() == (labels * 10).ravel().tolist()
    counts = {each.name: each.pixel_count for each in back.classes}
    assert counts == dict.fromkeys(MFNET.names, 0) | {"unlabelled": 1, "car": 2, "person": 3}
