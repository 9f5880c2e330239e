# SPDX-License-Identifier: Apache-2.0
"""The page of `segmif view`: served on loopback alone, pictures drawn on request, points written whole or refused."""

import http.client
import json
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from patience import WAIT_S

from segmif_ros.trials.view_server import LegendClass, LivePicture, LiveView, ViewError, serve

POINTS = {"infrared_size": [64, 48], "rgb_size": [128, 96], "points": [{"infrared": [1.5, 2], "rgb": [3.25, 4]}]}


@pytest.fixture
def view(tmp_path: Path) -> LiveView:
    return LiveView({"infrared": "infrared", "rgb": "RGB"}, lambda: 12.0, tmp_path / "points.yaml")


@pytest.fixture
def server(view: LiveView) -> Iterator[ThreadingHTTPServer]:
    made = serve(view, 0)
    yield made
    made.shutdown()
    made.server_close()


def _ask(server: ThreadingHTTPServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection(*server.server_address, timeout=WAIT_S)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _picture(stamp: str, value: int = 200) -> LivePicture:
    return LivePicture(stamp=stamp, arrived_s=10.0, draw=lambda: np.full((48, 64, 3), value, np.uint8))


def test_the_page_names_nothing_outside_of_itself(server: ThreadingHTTPServer) -> None:
    status, page = _ask(server, "/")
    assert status == 200
    assert b"http" not in page


def test_the_state_lists_panels_with_the_age_of_their_image(view: LiveView, server: ThreadingHTTPServer) -> None:
    view.show("rgb", _picture("1"))
    view.report("WARN", ["segmif_node  WARN"])
    view.use_classes([LegendClass("road", (1, 2, 3))])
    state = json.loads(_ask(server, "/state.json")[1])
    assert [(each["name"], each["stamp"], each["age_s"]) for each in state["panels"]] == [
        ("infrared", "", 0.0),
        ("rgb", "1", 2.0),
    ]
    assert (state["level"], state["lines"]) == ("WARN", ["segmif_node  WARN"])
    assert state["classes"] == [{"name": "road", "colour": [1, 2, 3]}]


def test_a_panel_that_may_be_missing_appears_with_its_first_image() -> None:
    view = LiveView({"rgb": "RGB", "grid": "ground"}, lambda: 0.0, hidden_while_empty=("grid",))
    assert [each["name"] for each in view.state()["panels"]] == ["rgb"]
    view.show("grid", _picture("1"))
    assert [each["name"] for each in view.state()["panels"]] == ["rgb", "grid"]


def test_a_picture_is_drawn_once_however_often_it_is_asked_for(view: LiveView, server: ThreadingHTTPServer) -> None:
    calls = []

    def draw() -> np.ndarray:
        calls.append(1)
        return np.full((48, 64), 90, np.uint8)

    view.show("infrared", LivePicture(stamp="1", arrived_s=0.0, draw=draw))
    images = [_ask(server, "/panel/infrared.jpg")[1] for _ in range(3)]
    assert len(calls) == 1
    decoded = cv2.imdecode(np.frombuffer(images[0], np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (48, 64)


def test_colours_arrive_as_they_were_drawn(view: LiveView, server: ThreadingHTTPServer) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    view.show("rgb", LivePicture(stamp="1", arrived_s=0.0, draw=lambda: red))
    bgr = cv2.imdecode(np.frombuffer(_ask(server, "/panel/rgb.jpg")[1], np.uint8), cv2.IMREAD_COLOR)
    assert bgr[8, 8, 2] > 240 > 20 > bgr[8, 8, 0]


@pytest.mark.parametrize("path", ["/panel/infrared.jpg", "/panel/none.jpg", "/../setup.py", "/state"])
def test_what_is_not_there_is_404(server: ThreadingHTTPServer, path: str) -> None:
    assert _ask(server, path)[0] == 404


def test_another_host_name_is_refused(server: ThreadingHTTPServer) -> None:
    assert _ask(server, "/state.json", Host="rebound.example")[0] == 403


def test_it_listens_on_loopback_alone(server: ThreadingHTTPServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_points_become_a_file(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    status, line = _ask(server, "/points", "POST", json.dumps(POINTS).encode())
    assert (status, line) == (200, b"1 pairs written to points.yaml")
    assert yaml.safe_load((tmp_path / "points.yaml").read_text()) == POINTS


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", json.dumps({**POINTS, "points": []}).encode(), json.dumps({**POINTS, "rgb_size": [1]}).encode()],
)
def test_what_are_no_points_is_refused_and_nothing_is_written(
    server: ThreadingHTTPServer, tmp_path: Path, body: bytes
) -> None:
    assert _ask(server, "/points", "POST", body)[0] == 400
    assert not (tmp_path / "points.yaml").exists()


def test_another_site_can_not_send_points(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert _ask(server, "/points", "POST", json.dumps(POINTS).encode(), **headers)[0] == 400
    assert not (tmp_path / "points.yaml").exists()


def test_without_a_file_for_points_the_option_is_named() -> None:
    with pytest.raises(ViewError, match="--points FILE"):
        LiveView({}, lambda: 0.0).save_points(json.dumps(POINTS).encode())


def test_a_taken_port_is_one_line(server: ThreadingHTTPServer) -> None:
    with pytest.raises(ViewError, match="--port 0 takes a free one"):
        serve(LiveView({}, lambda: 0.0), server.server_address[1])
