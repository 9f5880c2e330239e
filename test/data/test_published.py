# SPDX-License-Identifier: Apache-2.0
"""Data sets in their authors' layouts, written here as tiny trees."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.published import PST900, open_dataset, read_pair

RED = (250, 10, 20)  # RGB


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def rgb_image(colour: tuple[int, int, int] = RED, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full((*size, 3), colour[::-1], np.uint8)  # OpenCV writes BGR


def grey_image(value: int, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full(size, value, np.uint8)


def write_triple(base: Path, folders: tuple[str, str, str], stem: str, label: int = 1) -> None:
    write(base / folders[0] / f"{stem}.png", grey_image(77))
    write(base / folders[1] / f"{stem}.png", rgb_image())
    write(base / folders[2] / f"{stem}.png", grey_image(label))


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("fmb", ("Infrared", "Visible", "Label")),
        ("msrs", ("ir", "vi", "Segmentation_labels")),
        ("pst900", ("thermal", "rgb", "labels")),
    ],
)
def test_a_published_folder_is_read_as_it_is(tmp_path: Path, name: str, folders: tuple[str, str, str]) -> None:
    write_triple(tmp_path / "test", folders, "00002N")
    write_triple(tmp_path / "test", folders, "00001D")
    write_triple(tmp_path / "train", folders, "00003D")
    dataset = open_dataset(name, tmp_path)
    assert [item.key for item in dataset.items] == ["00001D", "00002N"]
    sample = read_pair(dataset.items[0], dataset.label_set)
    assert sample.infrared.tolist() == grey_image(77).tolist()
    assert sample.rgb[0, 0].tolist() == list(RED)
    assert sample.labels is not None and set(sample.labels.ravel()) == {1}
    assert [item.key for item in open_dataset(name, tmp_path, "train").items] == ["00003D"]


def write_mfnet(root: Path, stems: list[str], listed: list[str], split: str = "test") -> None:
    for stem in stems:
        four = np.dstack([rgb_image(), grey_image(200)])
        write(root / "images" / f"{stem}.png", four)
        write(root / "labels" / f"{stem}.png", grey_image(2))
    (root / f"{split}.txt").write_text("\n".join(listed) + "\n")


def test_mfnet_takes_the_fourth_channel_as_infrared(tmp_path: Path) -> None:
    write_mfnet(tmp_path, ["00001D"], ["00001D"])
    dataset = open_dataset("mfnet", tmp_path)
    sample = read_pair(dataset.items[0], dataset.label_set)
    assert set(sample.infrared.ravel()) == {200}
    assert sample.rgb[0, 0].tolist() == list(RED)


def test_mfnet_tells_day_from_night_by_name(tmp_path: Path) -> None:
    write_mfnet(tmp_path, [], ["00001D", "00002N"])
    assert [item.lighting for item in open_dataset("mfnet", tmp_path).items] == ["day", "night"]


def test_mfnet_leaves_out_mirrored_copies_and_says_so(tmp_path: Path) -> None:
    write_mfnet(tmp_path, [], ["00001D", "00001D-flip"])
    dataset = open_dataset("mfnet", tmp_path)
    assert [item.key for item in dataset.items] == ["00001D"]
    assert any("1 mirrored" in note for note in dataset.notes)


def test_mfnet_says_where_its_truth_is_known_to_be_wrong(tmp_path: Path) -> None:
    write_mfnet(tmp_path, [], ["01234N", "00001D"])
    assert any("01234N" in note for note in open_dataset("mfnet", tmp_path).notes)


def test_a_missing_mfnet_list_names_those_that_exist(tmp_path: Path) -> None:
    write_mfnet(tmp_path, [], ["00001D"], split="test_day")
    with pytest.raises(DatasetError, match="test_day"):
        open_dataset("mfnet", tmp_path, "val")


def test_msrs_splits_by_day_and_night(tmp_path: Path) -> None:
    for stem in ("00001D", "00002N"):
        write_triple(tmp_path / "test", ("ir", "vi", "Segmentation_labels"), stem)
    assert [item.lighting for item in open_dataset("msrs", tmp_path).items] == ["day", "night"]


def test_pairs_need_no_labels(tmp_path: Path) -> None:
    write(tmp_path / "infrared" / "a.png", grey_image(5))
    write(tmp_path / "visible" / "a.jpg", rgb_image())
    write(tmp_path / "visible" / "lonely.jpg", rgb_image())
    dataset = open_dataset("pairs", tmp_path)
    assert [(item.key, item.labels, item.lighting) for item in dataset.items] == [("a", None, "")]
    assert any("1 images without a counterpart" in note for note in dataset.notes)


def test_another_layout_is_refused_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "test" / "thermal").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"no folder Visible with the RGB images \(folders there: thermal\)"):
        open_dataset("fmb", tmp_path)


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="choose from train, test"):
        open_dataset("fmb", tmp_path, "val")


def test_pairs_have_no_splits_but_subfolders(tmp_path: Path) -> None:
    write(tmp_path / "infrared" / "train" / "a.png", grey_image(5))
    write(tmp_path / "visible" / "train" / "a.jpg", rgb_image())
    assert [item.key for item in open_dataset("pairs", tmp_path, "train").items] == ["a"]
    with pytest.raises(DatasetError, match=r"no split 'test' \(folders there: train\)"):
        open_dataset("pairs", tmp_path, "test")
    with pytest.raises(DatasetError, match="give one as split: train"):
        open_dataset("pairs", tmp_path)


def test_images_without_a_label_are_left_out_and_said(tmp_path: Path) -> None:
    folders = ("Infrared", "Visible", "Label")
    write_triple(tmp_path / "test", folders, "1")
    write_triple(tmp_path / "test", folders, "2")
    (tmp_path / "test/Label/2.png").unlink()
    dataset = open_dataset("fmb", tmp_path)
    assert [item.key for item in dataset.items] == ["1"]
    assert any("1 images without a counterpart" in note for note in dataset.notes)


def test_a_list_may_have_suffixes_paths_and_a_mark_at_its_beginning(tmp_path: Path) -> None:
    write_mfnet(tmp_path, ["00001D", "00002N", "00003N"], [])
    lines = ["00001D.png", "images/00002N.png", "images/00003N.png labels/00003N.png", ""]
    (tmp_path / "test.txt").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert [item.key for item in open_dataset("mfnet", tmp_path).items] == ["00001D", "00002N", "00003N"]


@pytest.mark.parametrize("name", ["mfnet", "fmb", "msrs"])
@pytest.mark.parametrize("folders", [("Thermal", "RGB", "Label"), ("Infrared", "Visible", "Label")])
def test_flat_folders_with_lists_are_read(tmp_path: Path, name: str, folders: tuple[str, str, str]) -> None:
    for stem in ("00001D", "00002N", "00003N"):
        write_triple(tmp_path, folders, stem)
    (tmp_path / "train.txt").write_text("00001D\n")
    (tmp_path / "test.txt").write_text(f"{folders[1]}/00002N.png\n{folders[1]}/00003N.png\n00009N\n")
    dataset = open_dataset(name, tmp_path)
    assert [item.key for item in dataset.items] == ["00002N", "00003N"]
    assert any("1 images without a counterpart" in note and "00009N" in note for note in dataset.notes)
    assert read_pair(dataset.items[0], dataset.label_set).labels is not None


@pytest.mark.parametrize("inner", ["", "MSRS"])
def test_folders_by_kind_of_image_are_read(tmp_path: Path, inner: str) -> None:
    for split, stem in (("train", "00001D"), ("test", "00002N")):
        for folder, image in (("Infrared", grey_image(7)), ("Visible", rgb_image()), ("Label", grey_image(1))):
            write(tmp_path / folder / split / inner / f"{stem}.png", image)
    assert [item.key for item in open_dataset("msrs", tmp_path).items] == ["00002N"]


def test_a_top_folder_as_archives_unpack_it_is_entered(tmp_path: Path) -> None:
    write_triple(tmp_path / "PST900_RGBT_Dataset" / "test", ("thermal", "rgb", "labels"), "1")
    assert len(open_dataset("pst900", tmp_path).items) == 1


@pytest.mark.parametrize(("ir", "rgb"), [("Ir", "Vis"), ("IR", "VIS"), ("lwir", "visible")])
def test_pairs_go_by_the_names_that_others_use(tmp_path: Path, ir: str, rgb: str) -> None:
    write(tmp_path / ir / "a.png", grey_image(5))
    write(tmp_path / rgb / "a.png", rgb_image())
    assert len(open_dataset("pairs", tmp_path).items) == 1


def test_without_truth_no_folder_of_labels_is_needed(tmp_path: Path) -> None:
    for folder, image in (("Infrared", grey_image(7)), ("Visible", rgb_image())):
        write(tmp_path / "test" / folder / "1.png", image)
    assert open_dataset("fmb", tmp_path, with_labels=False).items[0].labels is None
    with pytest.raises(DatasetError, match=r"no folder Label with the label maps .*--fusion-only does without"):
        open_dataset("fmb", tmp_path)


@pytest.mark.parametrize(
    ("folder", "name", "said"),
    [
        ("labels", "a_labelTrainIds.png", r"labels/: 0 of 1 files belong to a pair \(a_labelTrainIds.png doesn't"),
        ("labels", "b.png", "1 of 1 pairs have no label map in labels/"),
        ("Segmentation_labels", "a.png", "Segmentation_labels/ isn't read"),
        ("gt", "a.png", "gt/ isn't read"),
        ("masks", "a.png", "masks/ isn't read"),
    ],
)
def test_labels_of_pairs_that_are_not_read_are_said(tmp_path: Path, folder: str, name: str, said: str) -> None:
    write(tmp_path / "infrared" / "a.png", grey_image(5))
    write(tmp_path / "visible" / "a.png", rgb_image())
    write(tmp_path / folder / name, grey_image(1))
    assert any(re.search(said, note) for note in open_dataset("pairs", tmp_path).notes)


def broken(tmp_path: Path, **images: np.ndarray) -> DatasetError:
    write_triple(tmp_path / "test", ("Infrared", "Visible", "Label"), "1")
    for folder, image in images.items():
        write(tmp_path / "test" / folder / "1.png", image)
    dataset = open_dataset("fmb", tmp_path)
    with pytest.raises(DatasetError) as raised:
        read_pair(dataset.items[0], dataset.label_set)
    assert "\n" not in str(raised.value)
    return raised.value


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    assert "labels are 6x5 and the images 6x4" in str(broken(tmp_path, Label=grey_image(1, (5, 6))))


def test_coloured_labels_are_refused(tmp_path: Path) -> None:
    assert "1 of them not label set 'fmb's" in str(broken(tmp_path, Label=rgb_image()))


def test_ids_that_the_data_set_does_not_have_are_refused(tmp_path: Path) -> None:
    assert "ids [99]" in str(broken(tmp_path, Label=grey_image(99)))


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    assert "register the pair" in str(broken(tmp_path, Infrared=grey_image(1, (8, 8))))


def test_infrared_of_16_bits_is_refused(tmp_path: Path) -> None:
    assert "16 bits a pixel" in str(broken(tmp_path, Infrared=np.full((4, 6), 3000, np.uint16)))


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    write_triple(tmp_path / "test", ("Infrared", "Visible", "Label"), "1")
    path = tmp_path / "test" / "Visible" / "1.png"
    path.write_bytes(path.read_bytes()[:20])
    dataset = open_dataset("fmb", tmp_path)
    with pytest.raises(DatasetError, match=r"Visible/1\.png: not a readable image"):
        read_pair(dataset.items[0], dataset.label_set)


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    write_triple(tmp_path / "test", ("Infrared", "Visible", "Label"), "1")
    dataset = open_dataset("fmb", tmp_path)
    before = read_pair(dataset.items[0], dataset.label_set).sha256
    assert before == read_pair(dataset.items[0], dataset.label_set).sha256
    write(tmp_path / "test" / "Label" / "1.png", grey_image(2))
    assert before != read_pair(dataset.items[0], dataset.label_set).sha256


def test_pst900_has_a_colour_for_each_class() -> None:
    assert PST900.palette.shape == (len(PST900), 3)
