# SPDX-License-Identifier: Apache-2.0
"""The demo's timeline of cameras, health and outputs."""

from segmif_ros.trials.demo.timeline import plots, points


def timeline(seconds=6.0, *, ill=(2.0, 4.0)):
    found = []
    for tenth in range(round(10 * seconds)):
        now = tenth / 10
        frozen = ill[0] <= now < ill[1]
        values = {
            "cameras": "rgb" if frozen else "infrared+rgb",
            "infrared_health": "frozen" if frozen else "ok",
            "rgb_health": "ok",
            "frames_infrared": str(tenth),
            "frames_rgb": str(tenth),
            "processed": str(tenth),
        }
        found.append((100.0 + now, values))
    return found


def test_points_begin_at_zero_and_hold_numbers() -> None:
    found = points(timeline())
    assert found[0]["time_s"] == 0.0
    assert found[25]["infrared_health"] == "frozen"
    assert found[25]["processed"] == 25


def test_diagnostics_from_before_the_node_was_configured_are_left_out() -> None:
    assert len(points([(99.0, {"state": "unconfigured"}), *timeline()])) == 60


def test_the_plots_name_what_happened() -> None:
    health, rates = plots(points(timeline()))
    assert "cameras the results use" in health.title
    assert health.svg.lstrip().startswith("<?xml")
    assert "<svg" in rates.svg


def test_a_run_that_is_too_short_has_no_plots() -> None:
    assert plots(points(timeline(0.2))) == ()
