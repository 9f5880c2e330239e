# SPDX-License-Identifier: Apache-2.0
"""Frames open as labels against ground truth with a switch, and a page names no folder of this machine."""

from pathlib import Path

import numpy as np
from browser import browser

from segmif_ros.labels import FMB
from segmif_ros.reporting import page
from segmif_ros.reporting.extremes import LAYERS, difference_image, encode_layers

GREY = np.full((4, 6), 100, np.uint8)
RGB = np.dstack([GREY] * 3)


def swipe(*captions: str) -> page.Swipe:
    layers = tuple(page.Picture(caption=each, uri="data:,") for each in captions)
    return page.Swipe(title="frame", layers=layers, switch=("labels", "ground truth", "difference"))


def rendered(**parts: object) -> str:
    return page.render(page.Page(title="t", lead="l", **parts))


def test_a_frame_with_ground_truth_has_the_switch_and_one_without_has_none() -> None:
    whole = swipe("RGB", "labels", "ground truth", "difference")
    text = rendered(sections=(page.Section(title="Frames", items=(whole,)),))
    assert 'data-switch="labels|ground truth|difference"' in text
    assert swipe("RGB", "labels").shown_switch == ()
    assert "data-switch=" not in rendered(sections=(page.Section(title="Frames", items=(swipe("labels"),)),))


def test_the_difference_is_red_where_wrong_blue_where_unknown_and_grey_where_right() -> None:
    truth, labels = np.full_like(GREY, 8), np.full_like(GREY, 8)
    labels[0, 0], truth[1, 1] = 9, 255
    drawn = difference_image(RGB, labels, truth, FMB).astype(int)
    assert drawn[2, 2].tolist() == [60, 60, 60]
    assert drawn[0, 0, 0] > 200 and drawn[0, 0, 2] < 60
    assert drawn[1, 1, 2] > drawn[1, 1, 0]


def test_confidence_and_difference_are_layers_where_there_are_any() -> None:
    images = {"infrared": GREY, "rgb": RGB, "fused": RGB, "labels": GREY % 15, "label_set": FMB}
    alone = encode_layers(**images, truth=None, confidence=np.zeros_like(GREY))
    assert sorted(alone) == ["fused.jpg", "infrared.jpg", "labels.png", "rgb.jpg"]
    whole = encode_layers(**images, truth=GREY % 15, confidence=GREY)
    assert {Path(name).stem for name in whole} == set(LAYERS)


def test_a_page_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    said = f"{tmp_path}/night/a.png: not a readable image"
    text = rendered(remarks=(said,), notes=(("model", str(tmp_path / "mine.safetensors")),))
    assert str(tmp_path) not in text
    assert "a.png: not a readable image" in text and "mine.safetensors" in text


def test_topics_and_pictures_stay_as_they_are() -> None:
    picture = "data:image/png;base64,/tmp/abc+/tmp/def"
    section = page.Section(title="s", items=(page.Sheet(title="x", uri=picture),))
    text = rendered(remarks=("labels on /rig_front/labels/image",), sections=(section,))
    assert "/rig_front/labels/image" in text and "/tmp/abc+/tmp/def" in text


def test_the_switch_shows_two_layers_against_each_other_or_one_whole_in_a_browser(tmp_path: Path) -> None:
    images = {"infrared": GREY, "rgb": RGB, "fused": RGB, "labels": GREY % 15, "truth": GREY % 15, "label_set": FMB}
    layers = tuple(
        page.Picture(
            caption={"truth": "ground truth"}.get(Path(name).stem, Path(name).stem), uri=page.data_uri("png", file)
        )
        for name, file in encode_layers(**images).items()
    )
    frame = page.Swipe(title="frame", layers=layers, switch=("labels", "ground truth", "difference"))
    path = tmp_path / "page.html"
    path.write_text(rendered(sections=(page.Section(title="Frames", items=(frame,)),)))
    with browser(tmp_path / "profile") as window:
        window.get(path.as_uri())

        def on() -> list[str]:
            return [each.get_attribute("alt") for each in window.find_elements("css selector", ".stage img.on")]

        def pressed() -> list[str]:
            return [each.text for each in window.find_elements("css selector", ".switch button[aria-pressed=true]")]

        buttons = window.find_elements("css selector", ".switch button")
        assert [each.text for each in buttons] == ["labels | ground truth", "labels", "ground truth", "difference"]
        assert (on(), pressed()) == (["labels", "ground truth"], ["labels | ground truth"])
        for button in buttons[1:]:
            button.click()
            assert (on(), pressed()) == ([button.text], [button.text])
            assert not window.find_element("css selector", ".stage .line").is_displayed()
        buttons[0].click()
        assert on() == ["labels", "ground truth"]
