# SPDX-License-Identifier: Apache-2.0
"""Settings that are declared once: fields of a component's frozen dataclass, each with its description and range.

A component owns its configuration; a node, a command or a recipe is composed of those of its components (`part`) and
adds its own. From the fields follow ROS parameters, params files, launch arguments, tables, and command-line options
(`segmif_ros.settings.options`).
"""

from segmif_ros.settings.fields import (
    Changes,
    Setting,
    SettingError,
    check,
    from_values,
    like,
    part,
    setting,
    settings_of,
    unknown_name,
    values_of,
    with_values,
)

__all__ = [
    "Changes",
    "Setting",
    "SettingError",
    "check",
    "from_values",
    "like",
    "part",
    "setting",
    "settings_of",
    "unknown_name",
    "values_of",
    "with_values",
]
