# SPDX-License-Identifier: Apache-2.0
"""One declarative table for a node's parameters, and everything that follows from it.

A node's parameters are the fields of one frozen dataclass, each made with `parameter`. From it come the declaration
with descriptors, validation with one-line reasons, the params file and the documented tables (`segmif parameters`). The
node's own table is `segmif_ros.ros.node_config.NodeConfig`. Nothing here needs rclpy until a node is there.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import yaml

from segmif_ros.paths import one_line

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
    from rclpy.node import Node

Config = TypeVar("Config")

_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class ParameterError(ValueError):
    """A parameter's value is not acceptable; one line that says which and why."""


class Changes(Enum):
    """When a parameter may change."""

    ANY_TIME = "at any time"
    RELOAD = "at any time, in force after ~/reload_weights"
    UNCONFIGURED = "while unconfigured"
    NEVER = "at start only"


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """One parameter.

    Attributes:
        name: As in the params file.
        type: bool, int, float or str; an int is taken where a float is meant.
        default: Its value if nobody sets it.
        description: For descriptors, params file and table; plain text.
        minimum: Smallest number allowed, None for no limit.
        maximum: Largest number allowed, None for no limit.
        choices: The texts allowed, empty for any.
        changes: When it may change.
        takes_number: Whether a text may be given as a whole number, as YAML makes it of ``device: 0``.
        group: Heading of the parameters from this one on; empty goes on with the one before.
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

    @property
    def allowed(self) -> str:
        """What values are allowed, in words; empty if the type says it all."""
        if self.choices:
            return ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{self.minimum:g} or more"
        return "" if self.maximum is None else f"{self.maximum:g} or less"

    def problem(self, value: Any) -> str | None:
        """Return one line that says why ``value`` is not acceptable, or None."""
        # bool is a kind of int for Python, not for a person who writes a params file
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number if self.type is float else type(value) is self.type
        if self.type is int and isinstance(value, float):
            fits = value.is_integer()
        if self.takes_number and type(value) is int:
            return None
        if not fits:
            return f"parameter '{self.name}' is {_shown(value)}: {_TYPE_NAMES[self.type]} is needed"
        finite = not number or abs(value) <= sys.float_info.max  # also of a whole number that no float can hold
        above = self.minimum is None or value >= self.minimum
        below = self.maximum is None or value <= self.maximum
        if finite and above and below and (not self.choices or value in self.choices):
            return None
        return f"parameter '{self.name}' is {_shown(value)}: allowed is {self.allowed or 'a finite number'}"

    def accept(self, value: Any) -> Any:
        """Return ``value`` in the row's type; ParameterError says why it can't be."""
        if problem := self.problem(value):
            raise ParameterError(problem)
        return self.type(value)


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    changes: Changes = Changes.ANY_TIME,
    takes_number: bool = False,
    group: str = "",
) -> Any:
    """Return the dataclass field of one parameter; the arguments are `ParameterRow`'s."""
    facts = {
        "description": description, "minimum": minimum, "maximum": maximum, "choices": choices, "changes": changes,
        "takes_number": takes_number, "group": group,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=facts)


def rows(config: type[Any]) -> tuple[ParameterRow, ...]:
    """Return the table of a configuration class."""
    types = get_type_hints(config)
    return tuple(
        ParameterRow(name=each.name, type=types[each.name], default=each.default, **each.metadata)
        for each in dataclasses.fields(config)
    )


def from_values(config: type[Config], values: Mapping[str, Any]) -> Config:
    """Return a configuration; what ``values`` leaves out keeps its default.

    Raises:
        ParameterError: One line with every value that is not acceptable, and every name that doesn't exist.
    """
    table = {row.name: row for row in rows(config)}
    problems = [unknown_name(name, table) for name in values if name not in table]
    problems += [said for name, value in values.items() if name in table and (said := table[name].problem(value))]
    if problems:
        raise ParameterError("; ".join(problems))
    try:
        return config(**{name: table[name].accept(value) for name, value in values.items()})
    except ValueError as error:  # values that don't go together
        raise ParameterError(str(error)) from error


def unknown_name(name: str, known: Mapping[str, Any]) -> str:
    """Return the line that says that a parameter doesn't exist, with the likeliest name meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no parameter '{one_line(name, 200)}'" + (f", did you mean '{close[0]}'?" if close else "")


# --- with a node -----------------------------------------------------------------------------------------------------


def declare(node: Node, config: type[Config]) -> Config:
    """Declare the table on ``node`` and return the values that the command line and params files give.

    Raises:
        ParameterError: As `from_values`; names that don't exist are for `undeclared_overrides`.
    """
    table = rows(config)
    given = _overrides(node)
    values = from_values(config, {row.name: given[row.name] for row in table if row.name in given})
    for row in table:
        # the accepted value, so that `slop_s: 1` reads back as 1.0
        node.declare_parameter(row.name, getattr(values, row.name), descriptor(row), ignore_override=True)
    return values


def undeclared_overrides(node: Node) -> dict[str, str]:
    """Return a line by name for what the command line or params files give and ``node`` has not declared.

    Publishers and subscriptions declare ``qos_overrides`` of their own: those are known once these exist.
    """
    given = sorted(_overrides(node))
    return {name: unknown_name(name, node._parameters) for name in given if not node.has_parameter(name)}


def descriptor(row: ParameterRow) -> ParameterDescriptor:
    """Return the row's rcl_interfaces/ParameterDescriptor."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    made = ParameterDescriptor(
        name=row.name,
        description=row.description,
        additional_constraints="; ".join(filter(None, [row.allowed, f"may change {row.changes.value}"])),
        read_only=row.changes is Changes.NEVER,
        # with a static type rclpy would refuse an integer where a float is meant; `ParameterRow.accept` decides
        dynamic_typing=True,
    )
    limits = (row.minimum, row.maximum)
    if row.type is float and None not in limits:
        made.floating_point_range = [FloatingPointRange(from_value=float(limits[0]), to_value=float(limits[1]))]  # type: ignore[arg-type]
    if row.type is int and None not in limits:
        made.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]))]  # type: ignore[arg-type]
    return made


def watch(
    node: Node,
    current: Config,
    apply: Callable[[Config], None],
    *,
    may_change: Callable[[ParameterRow], str | None] = lambda _row: None,
) -> None:
    """Check every later change against the table and hand the new configuration to ``apply``.

    Args:
        node: Its parameters were declared with `declare`.
        current: What `declare` returned.
        apply: Called with the whole new configuration after a change was accepted; ParameterError refuses it still.
        may_change: Returns the reason why a row can't be changed now, or None.
    """
    from rcl_interfaces.msg import SetParametersResult

    table = {row.name: row for row in rows(type(current))}

    def check(changed: list[Any]) -> SetParametersResult:
        nonlocal current
        ours = {each.name: each.value for each in changed if each.name in table}
        # what is so already is no change, whatever may change now
        ours = {name: value for name, value in ours.items() if not _is_so(table[name], value, current)}
        if not ours:
            return SetParametersResult(successful=True)
        for name in ours:
            if reason := may_change(table[name]):
                return SetParametersResult(successful=False, reason=f"parameter '{name}' {reason}")
        try:
            new = from_values(type(current), {**dataclasses.asdict(current), **ours})  # type: ignore[call-overload]
            apply(new)
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=" ".join(str(error).split()))
        current = new
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def _is_so(row: ParameterRow, value: Any, config: Any) -> bool:
    return row.problem(value) is None and bool(row.accept(value) == getattr(config, row.name))


def _overrides(node: Node) -> dict[str, Any]:
    # rclpy offers what a params file says only for names that are declared; there is no public way to the others
    return {name: each.value for name, each in node._parameter_overrides.items()}


# --- as text ---------------------------------------------------------------------------------------------------------


def yaml_text(config: type[Any], header: str = "") -> str:
    """Return a params file with every parameter at its default, each with its description as a comment."""
    lines = ["# SPDX-License-Identifier: Apache-2.0", *(f"# {each}".rstrip() for each in header.splitlines())]
    # for the node it is given to, whatever its name and namespace
    lines += ["/**:", "  ros__parameters:"]
    for row in rows(config):
        facts = "; ".join(filter(None, [row.allowed, f"changes {row.changes.value}"]))
        lines += [f"    # --- {row.group} ---"] if row.group else []
        lines += [f"    # {each}" for each in textwrap.wrap(f"{row.description} ({facts})", width=110)]
        value = yaml.safe_dump(row.default, default_flow_style=True).removesuffix("\n...\n").strip()
        lines.append(f"    {row.name}: {value}")
    return "\n".join(lines) + "\n"


def markdown_table(config: type[Any]) -> str:
    """Return the table for the documentation, a table for each group under its heading."""
    head = ["| parameter | default | allowed | changes | meaning |", "|---|---|---|---|---|"]
    lines = [] if rows(config)[0].group else head.copy()
    for row in rows(config):
        if row.group:
            lines += [*([""] if lines else []), f"### {row.group}", "", *head]
        allowed = row.allowed or {bool: "true, false", int: "integer", float: "number", str: "text"}[row.type]
        value = yaml.safe_dump(row.default, default_flow_style=True).removesuffix("\n...\n").strip()
        lines.append(f"| `{row.name}` | `{value}` | {allowed} | {row.changes.value} | {row.description} |")
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    return one_line(repr(value) if isinstance(value, str) else "not set" if value is None else str(value).lower(), 200)
