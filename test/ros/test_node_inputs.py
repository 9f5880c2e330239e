# SPDX-License-Identifier: Apache-2.0
"""What cameras send, through the node over real DDS: every encoding, compressed images, sizes that change."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 here")

from node_bench import FRAME_NS, START_NS
from sensor_msgs.msg import CompressedImage, Image

from segmif_ros.imaging.encodings import INFRARED_ENCODINGS, RGB_ENCODINGS
from segmif_ros.ros.messages import byte_array, make_header, stamp_ns

BYTES = {"8": 1, "16": 2, "32": 4, "64": 8}


def padded_message(encoding, number, *, height=7, width=9, big=False, camera="rgb") -> Image:
    """Return an image of random bytes with padded rows."""
    if encoding in ("nv12", "nv21"):
        rows, row = height + (height + 1) // 2, width + width % 2
    elif encoding.startswith(("yuv", "yuyv", "uyvy")):
        rows, row = height, 2 * width
    else:
        size = next(BYTES[bits] for bits in ("16", "32", "64", "8") if bits in encoding)
        channels = 4 if "a8" in encoding or "a16" in encoding else 3 if encoding[:3] in ("rgb", "bgr") else 1
        rows, row = height, width * channels * size
    step = row + 5
    data = np.random.default_rng(number).integers(0, 128, rows * step, np.uint8)
    header = make_header(START_NS + number * FRAME_NS, camera)
    return Image(
        header=header, encoding=encoding, height=height, width=width, step=step, is_bigendian=int(big),
        data=byte_array(data),
    )  # fmt: skip


@pytest.mark.parametrize("big", [False, True])
def test_every_encoding_of_the_table_comes_through_padded_odd_and_of_either_byte_order(bench, big) -> None:
    table = bench()
    number = 0
    for camera, encodings in (("infrared", INFRARED_ENCODINGS), ("rgb", RGB_ENCODINGS)):
        for encoding in encodings:
            number += 1
            names = {"infrared": "mono8", "rgb": "rgb8", camera: encoding}
            for each, name in names.items():
                table.cameras[each].publish(padded_message(name, number, big=big, camera=each))
            table.until(lambda count=number: table.engine.calls == count)
    table.until(lambda: table.value("processed") == str(number))
    assert not [line for line in table.log if "dropped" in line]


def compressed(table, camera):
    return table.others.create_publisher(CompressedImage, f"{camera}/image_raw/compressed", 5)


def packed_image(pixels, number, extension, form) -> CompressedImage:
    data = byte_array(cv2.imencode(extension, pixels)[1])
    return CompressedImage(header=make_header(START_NS + number * FRAME_NS, "camera"), format=form, data=data)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compressed_images_of_both_cameras_are_fused_and_a_damaged_one_costs_one_frame(bench, dtype) -> None:
    table = bench(
        infrared_transport="compressed", rgb_transport="compressed", gain_policy="fixed", gain_fixed_high=65535.0,
        start=False,
    )  # fmt: skip
    infrared, rgb = compressed(table, "infrared"), compressed(table, "rgb")
    table.listen("segmentation/confidence")
    table.listen("fused/image")
    assert table.node.start()
    table.until(lambda: infrared.get_subscription_count() and rgb.get_subscription_count())
    publishers = [each for each in table.node.publishers if each.topic in ("segmentation/confidence", "fused/image")]
    table.until(lambda: all(each.get_subscription_count() for each in publishers))
    thermal = np.arange(48, dtype=dtype).reshape(6, 8) * (257 if dtype == np.uint16 else 1)
    colour = np.full((6, 8, 3), (10, 20, 30), np.uint8)
    for number in (1, 2, 3):
        image = packed_image(colour, number, ".jpg", "rgb8; jpeg compressed bgr8")
        if number == 2:
            image.data = image.data[: len(image.data) // 2]
        infrared.publish(packed_image(thermal, number, ".png", "mono16; png compressed "))
        rgb.publish(image)
        table.until(lambda: table.engine.calls + int(table.value("dropped_undecodable") or 0) == number)  # noqa: B023
    table.until(lambda: len(table.received["fused/image"]) == 2 and len(table.received["segmentation/confidence"]) == 2)
    stamps = [stamp_ns(each.header) - START_NS for each in table.received["fused/image"]]
    assert stamps == [FRAME_NS, 3 * FRAME_NS]
    assert list(table.received["segmentation/confidence"][0].data) == list(range(48))
    pixel = np.array(table.received["fused/image"][0].data[:3])
    assert np.abs(pixel.astype(int) - (255 - 30, 255 - 20, 255 - 10)).max() <= 2
    assert sum("RGB frame: the end is missing" in line for line in table.log) == 1


def test_a_camera_that_publishes_the_other_way_is_said_with_the_parameter(bench) -> None:
    table = bench(start=False, input_timeout_s=0.1)
    table.others.destroy_publisher(table.cameras.pop("rgb"))
    compressed(table, "rgb")
    assert table.node.start()
    line = "rgb: nobody publishes /rgb/image_raw, but there is a compressed one: set rgb_transport"
    table.until(lambda: line in table.log)


def test_cameras_that_change_their_size_in_flight_cost_the_pairs_that_do_not_agree(bench) -> None:
    table = bench()
    table.listen("segmentation/mask")
    table.until(lambda: any(p.topic.endswith("mask") and p.get_subscription_count() for p in table.node.publishers))
    sizes = [((6, 8), (6, 8)), ((6, 8), (9, 11)), ((9, 11), (9, 11)), ((9, 11), (6, 8)), ((6, 8), (6, 8))]
    for number, (infrared, rgb) in enumerate(sizes, start=1):
        table.send(number, infrared=np.ones(infrared, np.uint8), rgb=np.ones((*rgb, 3), np.uint8))
        table.until(lambda: table.engine.calls + int(table.value("dropped_size") or 0) == number)  # noqa: B023
    table.until(lambda: len(table.received["segmentation/mask"]) == 3)
    received = [(each.height, each.width, each.step, len(each.data)) for each in table.received["segmentation/mask"]]
    assert received == [(6, 8, 8, 48), (9, 11, 11, 99), (6, 8, 8, 48)]
    assert table.value("dropped_size") == "2"


def test_an_encoding_that_is_not_known_is_refused_with_those_that_are(bench) -> None:
    table = bench()
    for camera in ("infrared", "rgb"):
        message = padded_message("mono8", 1, height=6, width=8, camera=camera)
        message.encoding = "odd8"
        table.cameras[camera].publish(message)
    table.until(lambda: table.value("dropped_undecodable") == "1")
    assert any("'odd8' can't be used as an infrared image: publish one of mono8" in line for line in table.log)
