# SPDX-License-Identifier: Apache-2.0
"""Image files: one way of reading for every data set."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError, folders_in, images_by_name, read_grey, read_rgb


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_colours_come_as_rgb_whatever_the_file_type(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", np.full((8, 8, 3), (10, 100, 240), np.uint8))  # OpenCV writes blue first
    assert np.abs(read_rgb(path)[0, 0].astype(int) - (240, 100, 10)).max() <= 4


def test_of_colours_of_16_bits_the_upper_8_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.full((2, 3, 3), (0x0A00, 0x64FF, 0xF080), np.uint16))
    assert read_rgb(path)[0, 0].tolist() == [0xF0, 0x64, 0x0A]


def test_transparency_is_left_aside(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.full((2, 3, 4), (1, 2, 3, 0), np.uint8))
    assert read_rgb(path)[0, 0].tolist() == [3, 2, 1]


def test_a_grey_image_has_three_equal_colours(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert read_rgb(path)[1, 2].tolist() == [5, 5, 5]


def test_grey_keeps_its_16_bits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", np.full((2, 3), 3000, np.uint16))
    assert read_grey(path).dtype == np.uint16 and read_grey(path).max() == 3000


def test_floating_point_images_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((2, 3), np.float32))
    with pytest.raises(DatasetError, match=r"a\.tif: float32 values; 8 or 16 bits are needed"):
        read_grey(path)


def test_a_file_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.png: No such file"):
        read_grey(tmp_path / "a.png")


def test_hidden_files_and_other_types_are_no_images(tmp_path: Path) -> None:
    for name in ("a.png", "b.JPG", "._a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert sorted(images_by_name(tmp_path)) == ["a", "b"]


def test_of_many_folders_only_the_first_are_said(tmp_path: Path) -> None:
    assert folders_in(tmp_path) == "none"
    for number in range(10):
        (tmp_path / f"f{number}").mkdir()
    assert folders_in(tmp_path) == "f0, f1, f2, f3, f4, f5, f6, f7 and 2 more"


def test_a_damaged_png_is_refused_with_the_reason_and_the_decoder_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match=r"a\.png: not a readable image: a chunk claims more bytes than there are"):
        read_rgb(path)
    assert capfd.readouterr().err == ""
