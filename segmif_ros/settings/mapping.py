# SPDX-License-Identifier: Apache-2.0
"""Configurations read from the mappings of a YAML file."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Literal, get_args, get_origin, get_type_hints

from segmif_ros.settings.fields import NEEDED, SETTING, Setting
from segmif_ros.yaml_file import at_line, shown


def from_mapping(kind: type, content: Any, where: str) -> Any:
    """Build a frozen dataclass from nested mappings, lists and scalars, as a YAML file has them.

    Args:
        kind: The dataclass; its fields may be settings, other dataclasses, tuples, mappings and plain values.
        content: What the file holds.
        where: What messages call it.

    Returns:
        The configuration.

    Raises:
        ValueError: One line that names the key; `segmif_ros.yaml_file.located` adds its line.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be a mapping of keys to values")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    if unknown := [key for key in content if key not in fields]:
        with at_line(content, unknown[0]):
            named = ", ".join(sorted(str(key)[:60] for key in unknown))
            close = difflib.get_close_matches(str(unknown[0]), fields, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{where} has unknown keys {named}; known: {', '.join(fields)}{hint}")
    hints = get_type_hints(kind)
    values = {}
    for key, value in content.items():
        with at_line(content, key):
            values[key] = _convert(hints[key], value, f"{where}.{key}")
            if (facts := fields[key].metadata.get(SETTING)) and hints[key] in NEEDED:
                declared = Setting(**{**facts, "name": key}, type=hints[key], default=None)
                if reason := declared.reason(values[key]):
                    reason = f"choose one of {declared.allowed}" if declared.choices else reason
                    raise ValueError(f"{where}.{key} is {shown(value)}: {reason}")
    missing = [
        name
        for name, each in fields.items()
        if name not in values and each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return from_mapping(hint, value, where)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {shown(value)}: choose one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where} must be a list")
        return tuple(_convert(arguments[0], each, f"{where}[{i}]") for i, each in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{where} must map names to values")
        return {key: _convert(arguments[1], each, f"{where}.{key}") for key, each in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where} is {shown(value)}: a {hint.__name__} is needed")
    return value
