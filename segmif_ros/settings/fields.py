# SPDX-License-Identifier: Apache-2.0
"""The fields of a configuration: settings, parts, and their values by name."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from segmif_ros.paths import CONTROL, one_line

Config = TypeVar("Config")

SETTING, PART = "setting", "part"  # keys of a field's metadata
NEEDED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_BOOLEANS = {"true": True, "false": False}
# endings of names that state the unit; options leave them out
_UNITS = {
    "_s": "seconds", "_ms": "milliseconds", "_m": "metres", "_px": "pixels", "_deg": "degrees", "_hz": "hertz",
    "_mps": "metres per second",
}  # fmt: skip


class SettingError(ValueError):
    """A value that is not acceptable, or a name that doesn't exist; one line."""


class Changes(Enum):
    """When a running node takes a new value."""

    ANY_TIME = "at any time"
    RELOAD = "at any time, in force after ~/reload_weights"
    UNCONFIGURED = "while unconfigured"
    NEVER = "at start only"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a configuration.

    Attributes:
        name: As in params files; with the prefixes of the parts that it is in.
        type: bool, int, float or str; an int is taken where a float is meant.
        default: Its value if nobody sets it.
        description: Plain text, in sentences.
        minimum: Smallest number allowed, None for no limit.
        maximum: Largest number allowed, None for no limit.
        choices: The texts allowed, empty for any.
        changes: When a running node takes a new value.
        takes_number: Whether a text may be given as a whole number, as YAML makes it of ``device: 0``.
        group: Heading that it stands under.
        path: Names of the fields that lead to it.
        listed: Whether the field is a tuple of texts, given as one text with commas.
    """

    name: str
    type: type
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    changes: Changes = Changes.ANY_TIME
    takes_number: bool = False
    group: str = ""
    path: tuple[str, ...] = ()
    listed: bool = False

    @property
    def allowed(self) -> str:
        """What values are allowed, in words; empty if the type is enough."""
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{self.minimum:g} or more"
        return "" if self.maximum is None else f"{self.maximum:g} or less"

    @property
    def unit(self) -> str:
        """The unit that the name ends with, in words; empty without one."""
        return _UNITS.get(f"_{self.name.rpartition('_')[2]}", "")

    @property
    def option(self) -> str:
        """The command-line option, such as "--time-offset" for time_offset_s."""
        name = self.name.rpartition("_")[0] if self.unit else self.name
        return "--" + name.replace("_", "-")

    def reason(self, value: Any) -> str | None:
        """Return what is needed where ``value`` is not acceptable, or None."""
        # bool is a kind of int for Python, not for a person who writes a params file
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number if self.type is float else type(value) is self.type
        if self.type is int and isinstance(value, float):
            fits = value.is_integer()
        if self.takes_number and type(value) is int:
            return None
        if not fits:
            return f"{NEEDED[self.type]} is needed"
        if self.type is str and CONTROL.search("".join(value.split()) if self.listed else value):
            return "a text without line breaks and control characters is needed"
        finite = not number or abs(value) <= sys.float_info.max  # also of a whole number that no float can hold
        above = self.minimum is None or value >= self.minimum
        below = self.maximum is None or value <= self.maximum
        if finite and above and below and (not self.choices or value in self.choices):
            return None
        return f"allowed is {self.allowed or 'a finite number'}"

    def problem(self, value: Any) -> str | None:
        """Return one line with the reason why ``value`` is not acceptable, or None."""
        reason = self.reason(value)
        return f"parameter '{self.name}' is {_shown(value)}: {reason}" if reason else None

    def accept(self, value: Any) -> Any:
        """Return ``value`` in the setting's type; SettingError if it can't be."""
        if problem := self.problem(value):
            raise SettingError(problem)
        return self.type(value)

    def parse(self, text: str) -> Any:
        """Return the value that a text on a command line stands for; SettingError states what is needed."""
        try:
            value = _BOOLEANS.get(text.lower(), text) if self.type is bool else self.type(text)
        except ValueError:
            raise SettingError(f"{NEEDED[self.type]} is needed") from None
        if reason := self.reason(value):
            raise SettingError(reason)
        return value


def setting(
    default: Any = dataclasses.MISSING,
    description: str = "",
    *,
    factory: Callable[[], Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    changes: Changes | None = None,
    takes_number: bool = False,
    group: str = "",
    name: str = "",
) -> Any:
    """Return the dataclass field of one setting; for the arguments see `Setting`.

    Without a default and a ``factory`` of one, it has to be given. A ``group`` holds for the fields from this one on,
    and ``name`` is given where it isn't the field's. Without ``changes`` the setting is taken as the part that it
    is in, at any time without one.
    """
    facts = {
        "description": description, "minimum": minimum, "maximum": maximum, "choices": choices, "changes": changes,
        "takes_number": takes_number, "group": group, "name": name,
    }  # fmt: skip
    known = {name: value for name, value in facts.items() if value not in ("", None)}
    if isinstance(default, dict):
        factory = default.copy
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata={SETTING: known})
    return dataclasses.field(default=default, metadata={SETTING: known})


def like(kind: type[Any], name: str) -> Any:
    """Return the dataclass field of a setting that another component has, with its default.

    Args:
        kind: The other component's dataclass.
        name: Of its field.
    """
    [field] = [each for each in dataclasses.fields(kind) if each.name == name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


def part(
    kind: type[Any],
    *,
    prefix: str = "",
    only: Collection[str] = (),
    what: str = "",
    group: str = "",
    changes: Changes | None = None,
    **defaults: Any,
) -> Any:
    """Return the dataclass field that holds a component's configuration, whose settings become those of the whole.

    Args:
        kind: The component's dataclass.
        prefix: What the settings' names begin with in the whole.
        only: Names of the component's settings that the whole offers; empty for all.
        what: What the descriptions' ``{what}`` stands for.
        group: As `setting`'s.
        changes: When a running node takes new values, where the component doesn't say.
        **defaults: Values that differ from the component's own defaults.
    """
    facts = {"prefix": prefix, "only": tuple(only), "what": what, "group": group, "changes": changes}
    return dataclasses.field(default_factory=lambda: kind(**defaults), metadata={PART: facts})


def settings_of(kind: type[Any]) -> tuple[Setting, ...]:
    """Return the settings of a configuration and of its parts, those of one group together."""
    found: tuple[Setting, ...] = _settings_of(kind)  # type: ignore[arg-type]
    return found


@cache
def _settings_of(kind: Any) -> tuple[Setting, ...]:
    found = list(_walk(kind, None, "", (), ""))
    groups = list(dict.fromkeys(each.group for each in found))
    found = [dataclasses.replace(each, changes=each.changes or Changes.ANY_TIME) for each in found]
    return tuple(sorted(found, key=lambda each: groups.index(each.group)))


def _walk(kind: type[Any], config: Any, prefix: str, path: tuple[str, ...], group: str) -> Iterator[Setting]:
    """Yield the settings of ``kind`` with the values of ``config``, its own defaults where that is None."""
    types = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if facts := field.metadata.get(PART):
            below = _default(field) if config is None else getattr(config, field.name)
            inner = (*path, field.name)
            for each in _walk(type(below), below, prefix + facts["prefix"], inner, facts["group"] or group):
                group = each.group
                if not facts["only"] or each.path[-1] in facts["only"]:
                    text = each.description.replace("{what}", facts["what"])
                    yield dataclasses.replace(each, description=text, changes=each.changes or facts["changes"])
        elif facts := field.metadata.get(SETTING):
            value = _default(field) if config is None else getattr(config, field.name)
            group = facts.get("group", group)
            hint = types[field.name]
            listed = get_origin(hint) is tuple and get_args(hint)[0] is str
            if get_origin(hint) is Literal:
                facts, hint = {**facts, "choices": get_args(hint)}, str
            yield Setting(
                **{"changes": None, **facts, "name": prefix + facts.get("name", field.name), "group": group},
                type=str if listed else hint,
                default=", ".join(value) if listed else value,
                path=(*path, field.name),
                listed=listed,
            )


def _default(field: dataclasses.Field[Any]) -> Any:
    made: Any = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def values_of(config: Any) -> dict[str, Any]:
    """Return the settings' values of a configuration by name, tuples as texts with commas."""
    values = {}
    for each in settings_of(type(config)):
        value = config
        for name in each.path:
            value = getattr(value, name)
        values[each.name] = ", ".join(value) if each.listed else value
    return values


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return a configuration with new values for some of its settings.

    Args:
        config: A dataclass of settings and parts.
        values: By the settings' names.

    Raises:
        SettingError: One line with every value that is not acceptable, and every name that doesn't exist.
    """
    table = {each.name: each for each in settings_of(type(config))}
    problems = [unknown_name(name, table) for name in values if name not in table]
    problems += [line for name, value in values.items() if name in table and (line := table[name].problem(value))]
    if problems:
        raise SettingError("; ".join(problems))
    changes = {}
    for name, value in values.items():
        accepted = table[name].accept(value)
        changes[table[name].path] = _split(accepted) if table[name].listed else accepted
    try:
        return _replaced(config, changes)
    except ValueError as error:  # values that don't go together
        raise SettingError(str(error)) from error


def from_values(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Return a configuration; what ``values`` leaves out keeps its default.

    Args:
        kind: The dataclass.
        values: By the names of settings, of any types that JSON or YAML give.

    Raises:
        SettingError: As `with_values`.
    """
    return with_values(kind(), values)


def check(config: Any) -> None:
    """Refuse a configuration with a value outside its setting's range; SettingError names them all."""
    values = values_of(config)
    if problems := [line for each in settings_of(type(config)) if (line := each.problem(values[each.name]))]:
        raise SettingError("; ".join(problems))


def unknown_name(name: str, known: Collection[str]) -> str:
    """Return the message that a parameter doesn't exist, with the likeliest name meant.

    Args:
        name: The one that was given.
        known: Those that exist.
    """
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no parameter '{one_line(name, 200)}'" + (f", did you mean '{close[0]}'?" if close else "")


def _replaced(config: Any, changes: Mapping[tuple[str, ...], Any]) -> Any:
    made = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for name in dict.fromkeys(path[0] for path in changes if len(path) > 1):
        below = {path[1:]: value for path, value in changes.items() if path[0] == name}
        made[name] = _replaced(getattr(config, name), below)
    return dataclasses.replace(config, **made) if made else config


def _split(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _shown(value: Any) -> str:
    return one_line(repr(value) if isinstance(value, str) else "not set" if value is None else str(value).lower(), 200)
