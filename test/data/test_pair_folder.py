# SPDX-License-Identifier: Apache-2.0
"""Folders of image pairs, as people have them."""

import cv2
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.pair_folder import PairFolder


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def _pair(root, name, *, infrared="infrared", visible="visible", size=(6, 8), dtype=np.uint8):
    rng = np.random.default_rng(len(name))
    _write(
        root / infrared / f"{name}.png", rng.integers(0, 256, size).astype(dtype) * (40 if dtype == np.uint16 else 1)
    )
    _write(root / visible / f"{name}.png", rng.integers(0, 256, (*size, 3), np.uint8))


@pytest.mark.parametrize(
    ("infrared", "visible"), [("infrared", "visible"), ("ir", "vi"), ("Infrared", "Visible"), ("thermal", "rgb")]
)
def test_the_usual_folder_names_are_found(tmp_path, infrared, visible):
    _pair(tmp_path, "a", infrared=infrared, visible=visible)
    assert [files.name for files in PairFolder(tmp_path).files] == ["a"]


def test_pairs_come_in_the_order_of_their_names_whatever_their_file_types(tmp_path):
    for name in ("b", "a", "c"):
        _pair(tmp_path, name)
    (tmp_path / "visible" / "b.png").rename(tmp_path / "visible" / "b.PNG")
    _write(tmp_path / "visible" / "d.jpg", np.zeros((6, 8, 3), np.uint8))
    _write(tmp_path / "infrared" / "d.png", np.zeros((6, 8), np.uint8))
    assert [files.name for files in PairFolder(tmp_path).files] == ["a", "b", "c", "d"]


def test_rgb_is_read_in_the_order_red_green_blue(tmp_path):
    _write(tmp_path / "ir" / "a.png", np.zeros((2, 3), np.uint8))
    _write(tmp_path / "vi" / "a.png", np.full((2, 3, 3), (255, 0, 10), np.uint8))  # OpenCV writes blue first
    assert PairFolder(tmp_path).load(0).rgb[0, 0].tolist() == [10, 0, 255]


def test_infrared_of_16_bits_keeps_its_counts(tmp_path):
    _pair(tmp_path, "a", dtype=np.uint16)
    pair = PairFolder(tmp_path).load(0)
    assert pair.infrared.dtype == np.uint16 and pair.infrared.max() > 255


def test_infrared_saved_in_three_channels_becomes_grey(tmp_path):
    _pair(tmp_path, "a")
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    _write(tmp_path / "infrared" / "a.png", np.dstack([grey] * 3))
    assert np.array_equal(PairFolder(tmp_path).load(0).infrared, grey)


def test_labels_come_along_where_they_are(tmp_path):
    _pair(tmp_path, "a")
    _pair(tmp_path, "b")
    _write(tmp_path / "labels" / "b.png", np.full((6, 8), 8, np.uint8))
    folder = PairFolder(tmp_path)
    assert folder.load(0).labels is None
    assert np.unique(folder.load(1).labels).tolist() == [8]


def test_files_without_a_partner_are_left_out_counted_and_said(tmp_path):
    _pair(tmp_path, "a")
    _write(tmp_path / "visible" / "lonely.png", np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "visible" / "notes.txt").write_text("no image")
    folder = PairFolder(tmp_path)
    assert len(folder) == 1
    assert [path.name for path in folder.without_partner] == ["lonely.png"]
    assert "1 files without a partner" in folder.summary() and "lonely.png" in folder.summary()


def _refusal(call):
    with pytest.raises(DatasetError) as refusal:
        call()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_folder_that_is_not_there_is_refused_by_name(tmp_path):
    assert "nowhere: no such folder" in _refusal(lambda: PairFolder(tmp_path / "nowhere"))


def test_a_missing_half_is_refused_with_what_is_there(tmp_path):
    _write(tmp_path / "infrared" / "a.png", np.zeros((2, 2), np.uint8))
    line = _refusal(lambda: PairFolder(tmp_path))
    assert "RGB" in line and "visible/" in line and "there: infrared" in line


def test_halves_without_a_common_name_are_refused(tmp_path):
    _write(tmp_path / "infrared" / "a.png", np.zeros((2, 2), np.uint8))
    _write(tmp_path / "visible" / "b.png", np.zeros((2, 2, 3), np.uint8))
    assert "no pairs" in _refusal(lambda: PairFolder(tmp_path))


def test_two_files_of_one_name_are_refused(tmp_path):
    _pair(tmp_path, "a")
    _write(tmp_path / "visible" / "a.jpg", np.zeros((6, 8, 3), np.uint8))
    assert "a.jpg and a.png" in _refusal(lambda: PairFolder(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not an image"])
@pytest.mark.parametrize("half", ["infrared", "visible"])
def test_an_unreadable_image_is_refused_by_name_when_it_is_read(tmp_path, half, content):
    _pair(tmp_path, "a")
    _pair(tmp_path, "b")
    (tmp_path / half / "b.png").write_bytes(content)
    folder = PairFolder(tmp_path)
    folder.load(0)
    line = _refusal(lambda: folder.load(1))
    assert "b.png" in line and half in line


def test_sizes_that_differ_are_refused_with_both_sizes(tmp_path):
    _pair(tmp_path, "a")
    _write(tmp_path / "visible" / "a.png", np.zeros((6, 9, 3), np.uint8))
    line = _refusal(lambda: PairFolder(tmp_path).load(0))
    assert "9x6" in line and "8x6" in line


def test_coloured_labels_are_refused(tmp_path):
    _pair(tmp_path, "a")
    _write(tmp_path / "labels" / "a.png", np.full((6, 8, 3), (1, 2, 3), np.uint8))
    assert "map of ids" in _refusal(lambda: PairFolder(tmp_path).load(0))


def test_a_list_of_names_is_a_split_and_lists_that_are_not_followed_are_said(tmp_path):
    for name in ("a", "b", "c"):
        _pair(tmp_path, name)
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "test.txt").write_text("infrared/c.png\n")
    whole, part = PairFolder(tmp_path), PairFolder(tmp_path, "test")
    assert len(whole) == 3
    assert whole.notes() == (
        "train.txt and test.txt not followed: all pairs are taken (--split train takes those of one).",
    )
    assert [files.name for files in part.files] == ["c"]
    assert part.notes() == ()
