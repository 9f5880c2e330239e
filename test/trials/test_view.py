# SPDX-License-Identifier: Apache-2.0
"""The page of `segmif view` in a real browser: it shows what comes, fits a phone, and takes points."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from browser import browser
from patience import WAIT_S

from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.imaging.gain import GainConfig, ThermalGain
from segmif_ros.trials.view import PANELS, drawn
from segmif_ros.trials.view_server import LegendClass, LivePicture, LiveView, serve


def _card(text: str, width: int = 320, height: int = 240) -> np.ndarray:
    image = np.full((height, width, 3), 60, np.uint8)
    cv2.putText(image, text, (20, 120), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
    return image


def test_images_state_and_points_in_a_browser(tmp_path: Path) -> None:
    view = LiveView({name: title for name, (title, _) in PANELS.items()}, lambda: 1.0, tmp_path / "points.yaml")
    for name in ("infrared", "rgb"):
        view.show(name, LivePicture(stamp="1", arrived_s=0.5, draw=lambda name=name: _card(name)))
    view.report("WARN", ["segmif_node  WARN", "  problem   rgb: /rgb fell silent"])
    view.use_classes([LegendClass("person", (255, 0, 0))])
    server = serve(view, 0)
    with browser(tmp_path / "profile") as page:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.support.ui import WebDriverWait

        page.get(f"http://127.0.0.1:{server.server_address[1]}/")
        loaded = "return [...document.images].filter(each => each.naturalWidth === 320).length"
        WebDriverWait(page, WAIT_S).until(lambda each: each.execute_script(loaded) == 2)
        text = page.find_element("tag name", "body").text
        assert "fell silent" in text
        assert "0.5 s ago" in text
        assert "no image yet" in text
        assert "person" in text
        page.execute_script("document.getElementById('tool').open = true")
        for name in ("infrared", "RGB"):
            image = page.find_element("css selector", f"img[alt='{name}']")
            ActionChains(page).move_to_element_with_offset(image, 10, 20).click().perform()
        WebDriverWait(page, WAIT_S).until(lambda each: "1 pair" in each.find_element("id", "picked").text)
        page.find_element("id", "save").click()
        WebDriverWait(page, WAIT_S).until(lambda each: "written" in each.find_element("id", "picked").text)
        page.set_window_size(500, 800)  # as narrow as a desktop browser gets
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        page.save_screenshot(str(tmp_path / "view.png"))
    server.shutdown()
    written = yaml.safe_load((tmp_path / "points.yaml").read_text())
    assert written["infrared_size"] == [320, 240]
    # the middle of the picture and a bit, in the picture's own pixels whatever size it is shown at
    (x, y) = written["points"][0]["infrared"]
    assert 159.5 < x < 180
    assert 119.5 < y < 150
    assert written["points"][0]["rgb"] == pytest.approx([x, y], abs=1.0)


def _buffer(image: np.ndarray, encoding: str) -> ImageBuffer:
    height, width = image.shape[:2]
    step = image.nbytes // height
    return ImageBuffer(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=False, data=image.tobytes()
    )


def test_infrared_counts_are_shown_through_the_gain() -> None:
    counts = np.linspace(7000, 9000, 48 * 64).astype(np.uint16).reshape(48, 64)
    shown = drawn("infrared", _buffer(counts, "mono16"), 1, ThermalGain(GainConfig()))
    assert shown.dtype == np.uint8
    assert np.ptp(shown) > 150


def test_confidence_is_bright_where_it_is_high() -> None:
    confidence = np.array([[0, 255]], np.uint8)
    shown = drawn("confidence", _buffer(confidence, "mono8"), 1, ThermalGain(GainConfig()))
    assert shown[0, 1].sum() > shown[0, 0].sum() + 200


def test_an_encoding_that_can_not_be_shown_becomes_a_card_with_the_reason() -> None:
    image = np.zeros((4, 4, 2), np.float32)
    card = drawn("rgb", _buffer(image, "32FC2"), 1, ThermalGain(GainConfig()))
    assert card.shape == (240, 320, 3)
    assert (card == 255).any()
