# SPDX-License-Identifier: Apache-2.0
"""A node's parameters: the settings of its configuration, declared and watched, and as text.

The configuration is a frozen dataclass of settings and parts (`segmif_ros.settings`). From it come the declaration with
descriptors, validation with one-line reasons, the params file and the documented tables (`segmif parameters`). Nothing
here needs rclpy until a node is there.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from segmif_ros.settings import (
    Changes,
    Setting,
    SettingError,
    from_values,
    settings_of,
    unknown_name,
    values_of,
    with_values,
)

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
    from rclpy.node import Node

Config = TypeVar("Config")


def declare(node: Node, config: type[Config]) -> Config:
    """Declare the settings, and return the values that the command line and params files give.

    Args:
        node: Gets the parameters.
        config: The table of settings.

    Raises:
        SettingError: As `from_values`; names that don't exist are for `undeclared_overrides`.
    """
    table = settings_of(config)
    given = _overrides(node)
    made = from_values(config, {each.name: given[each.name] for each in table if each.name in given})
    values = values_of(made)
    for each in table:
        # the accepted value, so that `slop_s: 1` reads back as 1.0
        node.declare_parameter(each.name, values[each.name], descriptor(each), ignore_override=True)
    return made


def undeclared_overrides(node: Node) -> dict[str, str]:
    """Return a line by name for what the command line or params files give and ``node`` has not declared.

    Publishers and subscriptions declare ``qos_overrides`` of their own: those are known once these exist.
    """
    given = sorted(_overrides(node))
    return {name: unknown_name(name, node._parameters) for name in given if not node.has_parameter(name)}


def descriptor(row: Setting) -> ParameterDescriptor:
    """Return the setting's rcl_interfaces/ParameterDescriptor."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    made = ParameterDescriptor(
        name=row.name,
        description=row.description,
        additional_constraints="; ".join(filter(None, [row.allowed, f"may change {row.changes.value}"])),
        read_only=row.changes is Changes.NEVER,
        # with a static type rclpy would refuse an integer where a float is meant; `Setting.accept` decides
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
    may_change: Callable[[Setting], str | None] = lambda _row: None,
) -> None:
    """Check every later change against the table and hand the new configuration to ``apply``.

    Args:
        node: Its parameters were declared with `declare`.
        current: What `declare` returned.
        apply: Called with the whole new configuration after a change was accepted; SettingError refuses it still.
        may_change: Returns the reason why a setting can't be changed now, or None.
    """
    from rcl_interfaces.msg import SetParametersResult

    table = {each.name: each for each in settings_of(type(current))}

    def check(changed: list[Any]) -> SetParametersResult:
        nonlocal current
        ours = {each.name: each.value for each in changed if each.name in table}
        # what is so already is no change, whatever may change now
        present = values_of(current)
        ours = {name: value for name, value in ours.items() if not _is_so(table[name], value, present[name])}
        if not ours:
            return SetParametersResult(successful=True)
        for name in ours:
            if reason := may_change(table[name]):
                return SetParametersResult(successful=False, reason=f"parameter '{name}' {reason}")
        try:
            new = with_values(current, ours)
            apply(new)
        except SettingError as error:
            return SetParametersResult(successful=False, reason=" ".join(str(error).split()))
        current = new
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def _is_so(row: Setting, value: Any, present: Any) -> bool:
    return row.problem(value) is None and bool(row.accept(value) == present)


def _overrides(node: Node) -> dict[str, Any]:
    # rclpy offers the values of a params file only for names that are declared; there is no public way to the others
    return {name: each.value for name, each in node._parameter_overrides.items()}


# --- as text ---------------------------------------------------------------------------------------------------------


def yaml_text(config: type[Any], header: str = "") -> str:
    """Return a params file with every parameter at its default, each with its description as a comment.

    Args:
        config: The table of settings.
        header: Lines for the file's head.
    """
    lines = ["# SPDX-License-Identifier: Apache-2.0", *(f"# {each}".rstrip() for each in header.splitlines())]
    # for the node it is given to, whatever its name and namespace
    lines += ["/**:", "  ros__parameters:"]
    group = ""
    for each in settings_of(config):
        facts = "; ".join(filter(None, [each.allowed, f"changes {each.changes.value}"]))
        lines += [f"    # --- {each.group} ---"] if each.group != group else []
        lines += [f"    # {line}" for line in textwrap.wrap(f"{each.description} ({facts})", width=110)]
        lines.append(f"    {each.name}: {_yaml(each.default)}")
        group = each.group
    return "\n".join(lines) + "\n"


def markdown_table(config: type[Any]) -> str:
    """Return the table for the documentation, a table for each group under its heading."""
    head = ["| parameter | default | allowed | changes | meaning |", "|---|---|---|---|---|"]
    lines: list[str] = []
    group = None
    for each in settings_of(config):
        if each.group != group:
            lines += [*([""] if lines else []), *([f"### {each.group}", ""] if each.group else []), *head]
        group = each.group
        allowed = each.allowed or {bool: "true, false", int: "integer", float: "number", str: "text"}[each.type]
        lines.append(
            f"| `{each.name}` | `{_yaml(each.default)}` | {allowed} | {each.changes.value} | {each.description} |"
        )
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
