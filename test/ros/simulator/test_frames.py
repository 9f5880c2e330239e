# SPDX-License-Identifier: Apache-2.0
"""What the simulated cameras see: synthetic streets, folders of pairs, and the thread that prepares frames."""

import threading

import cv2
import numpy as np
import pytest
from patience import WAIT_S

from segmif_ros.data.image_files import DatasetError
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.ros.simulator.config import RigConfig
from segmif_ros.ros.simulator.frames import AHEAD, FrameFeed, PairFrames, SceneFrames, make_source
from segmif_ros.scenes import SceneError


class FakeSource:
    """Frame n is n; the numbers in `broken` can't be read."""

    calibration, has_labels = RigCalibration(), False

    def __init__(self, count, *, back=False, broken=()):
        self.count, self.back, self.broken, self.asked = count, back, broken, []

    def frame(self, number):
        self.asked.append(number)
        if number in self.broken:
            raise DatasetError(f"{number}.png: not a readable image")
        return number

    def describe(self):
        return "numbers"


def _feed(source):
    return FrameFeed(source, lambda frame: frame)


def test_frames_of_a_loop_are_played_forth_and_back_without_a_jump():
    feed = _feed(FakeSource(4, back=True))
    feed.run()
    assert [feed.next() for _ in range(13)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_a_loop_that_is_still_growing_turns_at_its_end():
    source = FakeSource(6, back=True)
    gate, reached = threading.Event(), threading.Event()

    def frame(number):
        if number == 3:
            reached.set()
            gate.wait(WAIT_S)
        return number

    source.frame = frame
    feed = _feed(source)
    feed.start()
    assert reached.wait(WAIT_S)
    assert [feed.next() for _ in range(7)] == [0, 1, 2, 1, 0, 1, 2]
    gate.set()
    assert feed.stop(10)


def test_a_loop_of_one_frame_shows_that_frame():
    feed = _feed(FakeSource(1, back=True))
    feed.run()
    assert [feed.next() for _ in range(3)] == [0, 0, 0]


def test_pairs_of_a_folder_begin_anew_after_the_last():
    feed = _feed(FakeSource(3))
    feed.run()
    assert [feed.next() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_each_frame_of_a_finite_source_is_prepared_once():
    source = FakeSource(3)
    feed = _feed(source)
    feed.run()
    for _ in range(10):
        feed.next()
    assert source.asked == [0, 1, 2]


def test_nothing_is_ready_before_the_first_frame_is():
    feed = _feed(FakeSource(3))
    assert feed.next() is None
    assert not feed.primed


def test_a_short_source_is_primed_when_all_of_it_is_there():
    feed = _feed(FakeSource(2))
    assert not feed.complete
    feed.run()
    assert feed.primed
    assert feed.complete


def test_an_endless_source_is_prepared_a_few_frames_ahead_and_no_further():
    source = FakeSource(0)
    asked = threading.Event()
    plain = source.frame

    def frame(number):
        if number == AHEAD - 1:
            asked.set()
        return plain(number)

    source.frame = frame
    feed = _feed(source)
    feed.start()
    assert asked.wait(WAIT_S)
    assert feed.stop(10)
    assert len(source.asked) == AHEAD
    assert [feed.next() for _ in range(AHEAD)] == list(range(AHEAD))
    assert feed.next() is None


def test_frames_that_can_not_be_read_are_left_out_and_said():
    feed = _feed(FakeSource(4, broken=(1, 2)))
    feed.run()
    assert [feed.next() for _ in range(4)] == [0, 3, 0, 3]
    assert feed.problems() == ["1.png: not a readable image", "2.png: not a readable image"]
    assert feed.problems() == []


def test_what_the_thread_died_of_is_raised_where_frames_are_taken():
    source = FakeSource(3)
    source.frame = lambda number: 1 // 0
    feed = _feed(source)
    feed.run()
    with pytest.raises(ZeroDivisionError):
        feed.next()
    with pytest.raises(ZeroDivisionError):
        _ = feed.primed


def test_a_feed_that_was_never_started_stops_at_once():
    assert _feed(FakeSource(3)).stop(0.0)


# --- sources --------------------------------------------------------------------------------------------

SMALL = {"width": 64, "height": 48}


def test_the_light_cycles_through_day_dusk_and_night():
    source = SceneFrames(RigConfig(**SMALL, scene_frames=2))
    brightness = [source.frame(2 * street).rgb.mean() for street in range(3)]
    assert brightness[2] < brightness[0]
    assert "day, dusk and night" in source.describe()


def test_frames_within_a_street_are_moments_of_one_world():
    source = SceneFrames(RigConfig(**SMALL, lighting="day", rate_hz=30.0))
    a, b = source.frame(4).labels, source.frame(5).labels
    assert (a != b).mean() < 0.1
    assert (source.frame(4).labels != source.frame(35).labels).mean() > 0.1


def test_synthetic_infrared_is_14_bit_counts_unless_8_bits_are_asked_for():
    assert SceneFrames(RigConfig(**SMALL)).frame(0).infrared.dtype == np.uint16
    assert SceneFrames(RigConfig(**SMALL, infrared_encoding="mono8")).frame(0).infrared.dtype == np.uint8


def test_the_infrared_image_is_displaced_as_asked():
    plain, moved = (SceneFrames(RigConfig(**SMALL, infrared_shift_x_px=x)).frame(0) for x in (0.0, 3.0))
    assert np.array_equal(plain.infrared[:, :-3], moved.infrared[:, 3:])
    assert np.array_equal(plain.labels, moved.labels)


def test_large_images_make_the_loop_shorter_instead_of_filling_memory():
    assert SceneFrames(RigConfig(width=64, height=48, loop_frames=50)).count == 50
    assert 2 <= SceneFrames(RigConfig(width=4096, height=3072, loop_frames=50)).count < 10


def test_the_size_follows_the_one_side_that_is_given():
    source = SceneFrames(RigConfig(width=320))
    assert (source.width, source.height) == (320, 240)
    source = SceneFrames(RigConfig())
    assert (source.width, source.height) == (640, 480)


def test_a_size_too_small_to_draw_is_refused():
    with pytest.raises(SceneError, match="8x6"):
        make_source(RigConfig(width=8))


def _folder(tmp_path, *, labels=False, sixteen=False, sizes=((40, 60), (30, 50))):
    for name in ("infrared", "visible", *(["labels"] if labels else [])):
        (tmp_path / name).mkdir()
    for k, size in enumerate(sizes):
        infrared = np.full(size, 4000 if sixteen else 200, np.uint16 if sixteen else np.uint8)
        infrared[: size[0] // 2] //= 2
        cv2.imwrite(str(tmp_path / "infrared" / f"{k}.png"), infrared)
        cv2.imwrite(str(tmp_path / "visible" / f"{k}.png"), np.full((*size, 3), 10 * k, np.uint8))
        if labels:
            cv2.imwrite(str(tmp_path / "labels" / f"{k}.png"), np.full(size, 8, np.uint8))
    return str(tmp_path)


def test_pairs_keep_their_sizes_unless_one_is_given(tmp_path):
    folder = _folder(tmp_path)
    source = make_source(RigConfig(pairs_folder=folder))
    assert [source.frame(n).rgb.shape for n in range(3)] == [(40, 60, 3), (30, 50, 3), (40, 60, 3)]
    source = make_source(RigConfig(pairs_folder=folder, width=32, height=24))
    assert {source.frame(n).infrared.shape for n in range(2)} == {(24, 32)}
    source = make_source(RigConfig(pairs_folder=folder, width=30))
    assert [source.frame(n).infrared.shape for n in range(2)] == [(20, 30), (18, 30)]


def test_pairs_keep_their_depth_unless_one_is_asked_for(tmp_path):
    folder = _folder(tmp_path)
    assert PairFrames(RigConfig(pairs_folder=folder)).frame(0).infrared.max() == 200
    counts = PairFrames(RigConfig(pairs_folder=folder, infrared_encoding="mono16")).frame(0).infrared
    assert counts.dtype == np.uint16 and counts.max() == 200 * 64


def test_counts_of_a_folder_become_8_bits_on_request(tmp_path):
    folder = _folder(tmp_path, sixteen=True)
    assert PairFrames(RigConfig(pairs_folder=folder)).frame(0).infrared.dtype == np.uint16
    shown = PairFrames(RigConfig(pairs_folder=folder, infrared_encoding="mono8")).frame(0).infrared
    assert shown.dtype == np.uint8 and shown.min() == 0 and shown.max() == 255


def test_labels_of_a_folder_are_resized_without_inventing_ids(tmp_path):
    source = PairFrames(RigConfig(pairs_folder=_folder(tmp_path, labels=True), width=37, height=23))
    assert source.has_labels
    labels = source.frame(0).labels
    assert labels.shape == (23, 37) and set(np.unique(labels)) == {8}


def test_a_folder_whose_pairs_are_all_broken_is_refused(tmp_path):
    folder = _folder(tmp_path)
    for path in (tmp_path / "infrared").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match="not a readable image"):
        make_source(RigConfig(pairs_folder=folder))


def test_a_folder_whose_first_pair_is_broken_still_shows_the_others(tmp_path):
    folder = _folder(tmp_path)
    (tmp_path / "infrared" / "0.png").write_bytes(b"broken")
    feed = FrameFeed(make_source(RigConfig(pairs_folder=folder)), lambda frame: frame.rgb.shape)
    feed.run()
    assert [feed.next() for _ in range(2)] == [(30, 50, 3)] * 2
    assert len(feed.problems()) == 1


@pytest.mark.parametrize("asked", [{"drive": True}, {"pairs_folder": "somewhere"}])
def test_what_only_two_rendered_cameras_can_show_is_refused_where_there_is_one_view(asked: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(asked))} shows both .* leave out infrared_width, infrared_lens"):
        make_source(RigConfig(**asked, infrared_width=64, infrared_lens="plumb_bob"))
