# SPDX-License-Identifier: Apache-2.0
"""Bags as ordered streams of frames, and what is said of those that aren't."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_typestore

from segmif_ros.bag.messages import IMAGE, image_message, image_of
from segmif_ros.bag.reading import BagError, Topics, open_bag
from segmif_ros.bag.record_synthetic import LABELS_TOPIC, START_NS
from segmif_ros.bag.writing import new_bag
from segmif_ros.imaging.encodings import view
from segmif_ros.stream.processing import opened

MakeBag = Callable[..., Path]


def stamps(path: Path) -> list[tuple[str, int]]:
    with open_bag(path, Topics()) as bag:
        return [(message.role, round((message.stamp_ns - START_NS) / 1e6)) for message in bag.frames()]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compressed", [False, True])
def test_frames_come_in_the_order_of_their_stamps(make_bag: MakeBag, storage: str, compressed: bool) -> None:
    path = make_bag(infrared_ms=(4, 104), rgb_ms=(0, 100), storage=storage, compressed=compressed)
    assert stamps(path) == [("rgb", 0), ("infrared", 4), ("rgb", 100), ("infrared", 104)]


def test_a_single_file_is_a_bag(make_bag: MakeBag) -> None:
    [file] = make_bag().glob("*.mcap")
    assert len(stamps(file)) == 10


def refusal(path: Path, topics: Topics | None = None) -> str:
    with pytest.raises(BagError) as raised, open_bag(path, topics or Topics()):
        pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_missing_topic_lists_those_there_are(make_bag: MakeBag) -> None:
    said = refusal(make_bag(), Topics(infrared="/thermal"))
    assert "/thermal" in said and "--infrared-topic" in said and "/rgb/image_raw (Image)" in said


def test_a_topic_of_another_type_is_refused(tmp_path: Path) -> None:
    with new_bag(tmp_path / "bag") as bag:
        bag.declare("/infrared/image_raw", "std_msgs/msg/String")
        bag.declare("/rgb/image_raw", IMAGE)
    assert "holds std_msgs/msg/String; sensor_msgs/msg/Image" in refusal(tmp_path / "bag")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_file_without_its_end_is_said_in_one_line(make_bag: MakeBag, storage: str) -> None:
    path = make_bag(storage=storage)
    [file] = (each for each in path.iterdir() if each.suffix != ".yaml")
    file.write_bytes(file.read_bytes()[:3000])
    assert "not a readable bag" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_a_file_that_is_no_bag_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(content)
    assert "not a readable bag" in refusal(path)


def test_a_folder_that_is_no_bag_is_refused(tmp_path: Path) -> None:
    assert "no metadata.yaml" in refusal(tmp_path)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no such bag" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_truth_nearest_in_time_is_found_while_frames_are_read(make_bag: MakeBag, storage: str) -> None:
    path = make_bag(labels_ms=(0, 103, 200), storage=storage)
    found = []
    with open_bag(path, Topics(labels=LABELS_TOPIC)) as bag:
        assert bag.index_truth() == 3
        for message in bag.frames():
            if message.role == "rgb":
                truth = bag.truth_near(message.stamp_ns, 5_000_000)
                found.append(None if truth is None else round((truth.stamp_ns - START_NS) / 1e6))
    assert found == [0, 103, 200, None, None]


def write_ros1(path: Path) -> Path:
    """The messages of a small bag, as a bag of ROS 1."""
    store = get_typestore(Stores.ROS1_NOETIC)
    with Writer1(path) as writer:
        for topic, encoding, shape in (
            ("/infrared/image_raw", "mono16", (32, 48)),
            ("/rgb/image_raw", "rgb8", (32, 48, 3)),
        ):
            connection = writer.add_connection(topic, IMAGE, typestore=store)
            for i in range(3):
                stamp = store.types["builtin_interfaces/msg/Time"](sec=100 + i, nanosec=7)
                header = store.types["std_msgs/msg/Header"](seq=i, stamp=stamp, frame_id="cam")
                pixels = (
                    np.random.default_rng(i)
                    .integers(0, 99, shape)
                    .astype(np.uint16 if encoding == "mono16" else np.uint8)
                )
                data = pixels.reshape(-1).view(np.uint8)
                message = store.types[IMAGE](
                    header=header,
                    height=32,
                    width=48,
                    encoding=encoding,
                    is_bigendian=0,
                    step=data.size // 32,
                    data=data,
                )
                writer.write(connection, (100 + i) * 10**9, store.serialize_ros1(message, IMAGE))
    return path


def test_a_bag_of_ros_1_is_read(tmp_path: Path) -> None:
    with open_bag(write_ros1(tmp_path / "old.bag"), Topics()) as bag:
        messages = list(bag.frames())
    assert [message.role for message in messages] == ["infrared", "rgb"] * 3
    assert messages[0].stamp_ns == 100 * 10**9 + 7 and messages[0].frame_id == "cam"
    image = opened(image_of(messages[1].raw, messages[1].message_type))
    expected = np.random.default_rng(0).integers(0, 99, (32, 48, 3)).astype(np.uint8)
    assert np.array_equal(view(image), expected)


def test_a_folder_with_a_bag_of_ros_1_says_so(tmp_path: Path) -> None:
    write_ros1(tmp_path / "old.bag")
    assert "old.bag is a bag of ROS 1: give that file" in refusal(tmp_path)


def test_topics_without_a_slash_are_found_by_both_names(tmp_path: Path) -> None:
    with new_bag(tmp_path / "bag") as bag:
        for topic in ("ir", "rgb"):
            bag.write(topic, IMAGE, 1, image_message(np.zeros((4, 4), np.uint8), "mono8", 5, "cam"))
    for infrared in ("ir", "/ir"):
        with open_bag(tmp_path / "bag", Topics(infrared=infrared, rgb="rgb")) as bag:
            assert len(list(bag.frames())) == 2


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    assert "is a Git LFS pointer and not the recording: run `git lfs pull`" in refusal(tmp_path / "x.mcap")
