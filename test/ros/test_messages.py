# SPDX-License-Identifier: Apache-2.0
"""Arrays become messages without a loss, in the layout that consumers read, and back without a copy."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from segmif_ros.imaging.encodings import view
from segmif_ros.labels import FMB
from segmif_ros.ros.messages import byte_array, image_buffer, image_message, make_header, semantic_map_message, stamp_ns

HEADER = make_header(1_700_000_000_123_456_789, "camera")


@pytest.mark.parametrize(
    ("encoding", "dtype", "shape"),
    [
        ("mono8", np.uint8, (5, 7)),
        ("mono16", np.uint16, (5, 7)),
        ("32FC1", np.float32, (5, 7)),
        ("rgb8", np.uint8, (5, 7, 3)),
    ],
)
def test_an_array_survives_the_way_into_a_message_and_back(encoding, dtype, shape) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    message = image_message(image, encoding, HEADER)
    assert message.step == np.prod(shape[1:]) * np.dtype(dtype).itemsize
    assert np.array_equal(view(image_buffer(message)), image)


def test_a_mask_is_tightly_packed_so_that_v_times_w_plus_u_finds_a_pixel() -> None:
    labels = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9)[:, 1:8]  # not contiguous
    message = image_message(labels, "mono8", HEADER)
    assert message.data[4 * message.width + 3] == labels[4, 3]
    assert len(message.data) == labels.size


def test_reading_a_message_copies_nothing() -> None:
    message = image_message(np.zeros((4, 4), np.uint8), "mono8", HEADER)
    pixels = view(image_buffer(message))
    message.data[5] = 77
    assert pixels[1, 1] == 77


def test_an_array_that_is_not_of_the_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="rgb8 can't hold uint8"):
        image_message(np.zeros((4, 4), np.uint8), "rgb8", HEADER)


def test_bytes_go_out_little_endian() -> None:
    assert byte_array(np.array([0x0102], ">u2")).tolist() == [2, 1]


def test_a_stamp_survives_to_the_nanosecond() -> None:
    assert stamp_ns(HEADER) == 1_700_000_000_123_456_789
    assert HEADER.frame_id == "camera"


def test_a_semantic_map_carries_the_whole_class_table_with_pixel_counts() -> None:
    pytest.importorskip("segmif_ros.msg", reason="the package's own messages were not built here")
    labels = np.array([[8, 8, 1]], np.uint8)
    message = semantic_map_message(
        labels, labels, FMB, HEADER, pair_offset_s=0.002, model_name="m", model_hash="h", inference_ms=12.5
    )
    assert [each.name for each in message.classes] == list(FMB.names)
    assert [each.pixel_count for each in message.classes if each.pixel_count] == [1, 2]
    person = message.classes[8]
    assert (person.id, person.name, person.r, person.g, person.b) == (8, "person", 66, 102, 167)
    assert list(message.labels) == [8, 8, 1]
    assert (message.pair_offset_s, message.inference_ms, message.header.frame_id) == (0.002, 12.5, "camera")
