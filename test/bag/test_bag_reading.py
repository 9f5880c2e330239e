# SPDX-License-Identifier: Apache-2.0
"""Bags as ordered streams of frames, and what is said of those that aren't."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segmif_ros.bag.reading import BagError, Topics, open_bag
from segmif_ros.bag.record import LABELS_TOPIC, START_NS

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
    assert "/thermal" in said and "--infrared" in said and "/rgb/image_raw (Image)" in said


def test_a_topic_of_another_type_is_refused(tmp_path: Path) -> None:
    from segmif_ros.bag.messages import IMAGE
    from segmif_ros.bag.writing import new_bag

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
