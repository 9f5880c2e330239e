# SPDX-License-Identifier: Apache-2.0
"""Command-line options made from the settings of a configuration."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from segmif_ros.paths import one_line
from segmif_ros.settings.fields import Config, Setting, SettingError, settings_of, with_values

_SIZE = ("width", "height")
# what help shows for a value, by how the name ends
_METAVARS = {"_file": "FILE", "_folder": "FOLDER", "_pairs": "FOLDER", "width": "PIXELS", "height": "PIXELS"}


def add_options(
    group: argparse._ActionsContainer,
    kind: type[Any],
    names: Collection[str] = (),
    *,
    options: Mapping[str, str] = MappingProxyType({}),
    choices: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    defaults: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add an option for each setting; one that isn't given is None in the namespace, see `given`.

    Settings called width and height become one option, --size WIDTHxHEIGHT.

    Args:
        group: A parser, or a group of one.
        kind: The configuration.
        names: Of settings; empty for all.
        options: The option's name, such as "--threads", by the setting's name, where it differs.
        choices: The texts allowed, by the setting's name, where the command takes fewer.
        defaults: What help calls the default, by the setting's name, where the command has another one.
    """
    offered = [each for each in settings_of(kind) if not names or each.name in names]
    size = [each for each in offered if each.name in _SIZE]
    if len(size) == len(_SIZE):
        group.add_argument(
            "--size", nargs="+", action=_SizeAction, metavar="WIDTHxHEIGHT", default=argparse.SUPPRESS,
            help=f"{size[0].description.rstrip('.')} (default: {size[0].default}x{size[1].default})",
        )  # fmt: skip
        group.set_defaults(**dict.fromkeys(_SIZE))
        offered = [each for each in offered if each not in size]
    for each in offered:
        default = "none" if each.default == "" else str(each.default).lower() if each.type is bool else each.default
        default = defaults.get(each.name, default)
        text = f"{each.description.rstrip('.')} (default: {default})".replace("%", "%%")
        more: dict[str, Any] = {}
        if each.type is bool:
            more["action"] = argparse.BooleanOptionalAction
        elif each.choices:
            more["choices"] = choices.get(each.name, each.choices)
        else:
            more |= {"type": _parser_of(each), "metavar": _metavar(each)}
        flag = options.get(each.name, each.option)
        group.add_argument(flag, dest=each.name, default=None, help=text, **more)


def from_options(arguments: argparse.Namespace, config: Config) -> Config:
    """Return ``config`` with what a command line gives, see `add_options`; SettingError as `with_values`."""
    return with_values(config, given(arguments, type(config)))


class _SizeAction(argparse.Action):
    """Stores width and height of WIDTHxHEIGHT; also of two numbers, as it was written before."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        from segmif_ros.command_line import SizeError, complain, parse_size  # a node needs none of it

        text = "x".join(values)
        if len(values) == 2:
            complain(parser.prog, f"{option} {' '.join(values)} is now written {option} {text}; the old way works, too")
        try:
            namespace.width, namespace.height = parse_size(text, str(option))
        except SizeError as error:
            parser.error(str(error))


def _metavar(setting: Setting) -> str:
    for ending, metavar in _METAVARS.items():
        if setting.name.endswith(ending):
            return metavar
    return setting.unit.upper().replace(" ", "_") or {int: "N", float: "NUMBER", str: "TEXT"}[setting.type]


def given(arguments: argparse.Namespace, kind: type[Any], names: Collection[str] = ()) -> dict[str, Any]:
    """Return the values of ``kind``'s settings that a command line gives, by name.

    Args:
        arguments: The parsed command line.
        kind: The dataclass.
        names: Only these settings; empty for all, as in `add_options`.
    """
    values = {each.name: getattr(arguments, each.name, None) for each in settings_of(kind)}
    return {name: value for name, value in values.items() if value is not None and (not names or name in names)}


def _parser_of(setting: Setting) -> Any:
    def parse(text: str) -> Any:
        try:
            return setting.parse(text)
        except SettingError as error:
            raise argparse.ArgumentTypeError(f"{one_line(text, 200)!r}: {error}") from None

    return parse
