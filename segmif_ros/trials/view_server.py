# SPDX-License-Identifier: Apache-2.0
"""The page of `segmif view` and its pictures, served on loopback. No ROS here: panels are set from outside."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segmif_ros.arrays import Image
from segmif_ros.files import replace_file
from segmif_ros.reporting.pictures import encode

PAGE = Path(__file__).parent / "pages" / "view.html"
ADDRESS = "127.0.0.1"
_MAX_POST_BYTES = 64 * 1024
_HOST = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")


class ViewError(ValueError):
    """The page can't be served, or what it sent can't be used; one line with the reason."""


@dataclass(frozen=True)
class LivePicture:
    """The newest image of a panel.

    Attributes:
        stamp: Differs from image to image.
        arrived_s: When it came, by a clock that never steps back.
        draw: Returns it as (H, W) or (H, W, 3) RGB uint8; called when a browser asks for it.
    """

    stamp: str
    arrived_s: float
    draw: Callable[[], Image]


@dataclass(frozen=True)
class LegendClass:
    """A class of the overlay: its name, and its colour as RGB, 0 to 255."""

    name: str
    colour: tuple[int, int, int]


class LiveView:
    """What the page shows; safe to set from one thread and to read from others.

    Args:
        titles: Title of each panel by its name, in their order.
        now_s: The clock of `Picture.arrived_s`.
        points_file: Where pairs of points go that were picked on the page; None refuses them.
        hidden_while_empty: Panels that are left out while they have no image.
    """

    def __init__(
        self,
        titles: dict[str, str],
        now_s: Callable[[], float],
        points_file: Path | None = None,
        hidden_while_empty: Sequence[str] = (),
    ) -> None:
        self._titles = titles
        self._now_s = now_s
        self._points_file = points_file
        self._hidden_while_empty = frozenset(hidden_while_empty)
        self._lock = threading.Lock()
        self._pictures: dict[str, LivePicture] = {}
        self._drawn: dict[str, tuple[str, bytes]] = {}
        self._level, self._lines = "", ["waiting for a node ..."]
        self._classes: tuple[LegendClass, ...] = ()

    def show(self, name: str, picture: LivePicture) -> None:
        """Set the newest image of a panel."""
        with self._lock:
            self._pictures[name] = picture

    def report(self, level: str, lines: Sequence[str]) -> None:
        """Set the state of the node."""
        with self._lock:
            self._level, self._lines = level, list(lines)

    def use_classes(self, classes: Sequence[LegendClass]) -> None:
        """Set the legend."""
        with self._lock:
            self._classes = tuple(classes)

    def state(self) -> dict[str, Any]:
        """Return everything but the pictures, for JSON."""
        with self._lock:
            pictures = dict(self._pictures)
            now_s = self._now_s()
            return {
                "level": self._level,
                "lines": self._lines,
                "classes": [{"name": each.name, "colour": list(each.colour)} for each in self._classes],
                "panels": [
                    {
                        "name": name,
                        "title": title,
                        "stamp": pictures[name].stamp if name in pictures else "",
                        "age_s": now_s - pictures[name].arrived_s if name in pictures else 0.0,
                    }
                    for name, title in self._titles.items()
                    if name in pictures or name not in self._hidden_while_empty
                ],
            }

    def jpeg(self, name: str) -> bytes | None:
        """Return the newest image of a panel as JPEG; None if there is none."""
        with self._lock:
            picture = self._pictures.get(name)
            drawn = self._drawn.get(name)
        if picture is None:
            return None
        if drawn is None or drawn[0] != picture.stamp:
            drawn = picture.stamp, encode(picture.draw())
            with self._lock:
                self._drawn[name] = drawn
        return drawn[1]

    def save_points(self, body: bytes) -> str:
        """Write the pairs of points that the page sent, for `segmif calibrate`.

        Returns:
            One line for the page.

        Raises:
            ViewError: If there is no file for them, or they are none.
        """
        if self._points_file is None:
            raise ViewError("start segmif view with --points FILE to save points")
        content = _checked_points(body)
        replace_file(self._points_file, yaml.safe_dump(content, sort_keys=False, default_flow_style=None))
        return f"{len(content['points'])} pairs written to {self._points_file.name}"


def _checked_points(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body)
        sizes = {name: [int(each) for each in given[name]] for name in ("infrared_size", "rgb_size")}
        points = [
            {camera: [round(float(each), 2) for each in pair[camera]] for camera in ("infrared", "rgb")}
            for pair in given["points"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ViewError("the page sent no pairs of points") from None
    lengths = {len(each) for each in sizes.values()} | {len(at) for pair in points for at in pair.values()}
    if not points or lengths != {2} or not np.isfinite([list(pair.values()) for pair in points]).all():
        raise ViewError("pick at least one pair of points first")
    return {**sizes, "points": points}


def serve(view: LiveView, port: int) -> ThreadingHTTPServer:
    """Serve the page on loopback from threads of its own; port 0 takes a free one.

    Raises:
        ViewError: If the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer with the page, its state, or a picture."""
            path = self.path.partition("?")[0]
            if not self._is_local():
                return
            if path == "/":
                self._send(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif path == "/state.json":
                self._send(json.dumps(view.state()).encode(), "application/json")
            elif (matched := re.fullmatch(r"/panel/(\w+)\.jpg", path)) and (image := view.jpeg(matched[1])):
                self._send(image, "image/jpeg")
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            """Take pairs of points."""
            if not self._is_local():
                return
            length = self.headers.get("Content-Length", "")
            same_site = self.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
            if self.path != "/points" or not same_site or not length.isdigit() or int(length) > _MAX_POST_BYTES:
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            try:
                line = view.save_points(self.rfile.read(int(length)))
            except (ViewError, OSError) as error:
                self._send(str(error).encode(), "text/plain; charset=utf-8", HTTPStatus.BAD_REQUEST)
                return
            self._send(line.encode(), "text/plain; charset=utf-8")

        def _is_local(self) -> bool:
            """Refuse names that only lead here by somebody else's name server."""
            if _HOST.fullmatch(self.headers.get("Host", "")):
                return True
            self.send_error(HTTPStatus.FORBIDDEN)
            return False

        def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing of each request."""

    try:
        server = ThreadingHTTPServer((ADDRESS, port), Handler)
    except (OSError, OverflowError) as error:
        raise ViewError(f"port {port}: {error}; --port 0 takes a free one") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="view-server", daemon=True).start()
    return server
