# SPDX-License-Identifier: Apache-2.0
import re

from segmif_ros.reporting.plots import LINE_COLOURS, curves


def test_more_lines_than_colours_still_look_different() -> None:
    svg = curves({f"line {k}": ([0.0, 1.0], [0.0, float(k)]) for k in range(len(LINE_COLOURS) + 2)}, "x", "y")
    strokes = [style for style in re.findall(r'style="(fill: none;[^"]*)"', svg) if "stroke-width: 1.2" in style]
    looks = {
        (re.search(r"stroke: (#\w+)", style).group(1), (re.findall(r"dasharray: ([^;]+)", style) or [""])[0])
        for style in strokes
    }
    assert {colour for colour, _ in looks} == set(LINE_COLOURS)
    assert len(looks) == len(LINE_COLOURS) + 2
