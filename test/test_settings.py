# SPDX-License-Identifier: Apache-2.0
"""Settings are declared once: parts, values by name and command-line options follow from the fields."""

import argparse
from dataclasses import dataclass

import pytest

from segmif_ros.command_line import Parser
from segmif_ros.settings import (
    Changes,
    SettingError,
    check,
    from_values,
    part,
    setting,
    settings_of,
    values_of,
    with_values,
)
from segmif_ros.settings.options import add_options, given


@dataclass(frozen=True, kw_only=True)
class Lens:
    focus_m: float = setting(2.0, "Distance of {what}.", minimum=0.0, maximum=100.0, group="Optics")
    filters: tuple[str, ...] = setting(("none",), "Filters.")
    cap: bool = setting(False, "Whether the cap is on.")
    secret: int = 3

    def __post_init__(self) -> None:
        if self.cap and self.focus_m:
            raise ValueError("a lens with its cap on has no focus")


@dataclass(frozen=True, kw_only=True)
class Camera:
    rate_hz: float = setting(10.0, "Frames per second.", minimum=1.0, group="Time")
    lens: Lens = part(Lens, prefix="lens_", what="the street", focus_m=5.0, changes=Changes.NEVER)
    spare: Lens = part(Lens, prefix="spare_", only=("cap",))
    mode: str = setting("day", "Light.", choices=("day", "night"), group="Time")


@dataclass(frozen=True, kw_only=True)
class Labelled:
    label: str = setting("", "Any text.")


def options(*words: str) -> argparse.Namespace:
    parser = Parser(prog="camera")
    add_options(parser, Camera)
    return parser.parse_args(words)


def test_the_settings_of_parts_are_the_wholes_with_a_prefix_and_those_of_a_group_stand_together() -> None:
    names = [each.name for each in settings_of(Camera)]
    assert names == ["rate_hz", "mode", "lens_focus_m", "lens_filters", "lens_cap", "spare_cap"]


def test_a_part_can_have_other_defaults_and_say_what_it_is_about() -> None:
    table = {each.name: each for each in settings_of(Camera)}
    focus = table["lens_focus_m"]
    assert (focus.default, focus.description, focus.changes) == (5.0, "Distance of the street.", Changes.NEVER)
    assert (focus.unit, focus.option) == ("metres", "--lens-focus")


def test_defaults_by_name_are_those_of_the_configuration() -> None:
    assert values_of(Camera()) == {each.name: each.default for each in settings_of(Camera)}
    assert from_values(Camera, values_of(Camera())) == Camera()


def test_new_values_reach_the_parts_and_leave_the_others_alone() -> None:
    made = with_values(Camera(rate_hz=20.0), {"lens_focus_m": 7, "lens_filters": "red, blue"})
    assert made == Camera(rate_hz=20.0, lens=Lens(focus_m=7.0, filters=("red", "blue")))


def test_values_that_do_not_go_together_are_one_line() -> None:
    with pytest.raises(SettingError, match="cap on has no focus"):
        from_values(Camera, {"lens_cap": True})


def test_every_wrong_value_and_unknown_name_is_reported_at_once() -> None:
    with pytest.raises(SettingError) as caught:
        from_values(Camera, {"lens_focus_m": -1, "mode": "dusk", "lens_focs_m": 1})
    assert str(caught.value) == (
        "there is no parameter 'lens_focs_m', did you mean 'lens_focus_m'?; "
        "parameter 'lens_focus_m' is -1: allowed is 0 to 100; parameter 'mode' is 'dusk': allowed is day, night"
    )


@pytest.mark.parametrize("text", ["day\nnight", "\x1b[31mred", "\udcff"])
def test_a_text_that_would_spoil_a_log_is_refused_and_shown_in_one_line(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        from_values(Labelled, {"label": text})
    assert str(caught.value) == (
        f"parameter 'label' is {text!r}: a text without line breaks and control characters is needed"
    )


def test_a_list_may_be_written_over_several_lines() -> None:
    assert from_values(Lens, {"filters": "red,\n blue\n"}).filters == ("red", "blue")


def test_a_configuration_made_by_hand_can_be_checked() -> None:
    check(Camera())
    with pytest.raises(SettingError, match=r"parameter 'rate_hz' is 0\.0: allowed is 1 or more"):
        check(Camera(rate_hz=0.0))


def test_options_that_are_given_are_values_and_the_others_keep_their_defaults() -> None:
    assert given(options(), Camera) == {}
    values = given(options("--rate", "5", "--lens-filters", "red,blue", "--no-lens-cap"), Camera)
    assert values == {"rate_hz": 5.0, "lens_filters": "red,blue", "lens_cap": False}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--rate", "fast"), "camera: argument --rate: 'fast': a number is needed\n"),
        (("--lens-focus", "101"), "camera: argument --lens-focus: '101': allowed is 0 to 100\n"),
        (("--mode", "nigth"), "did you mean night?\n"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_is_needed(
    words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options(*words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(line)


def test_help_tells_meaning_default_and_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "--lens-focus METRES Distance of the street (default: 5.0)" in shown
