# SPDX-License-Identifier: Apache-2.0
"""Settings that are declared once: fields of a component's frozen dataclass, each with its description and range.

A component owns its configuration; a node, a command or a recipe is composed of those of its components (`part`) and
adds its own. From the fields follow ROS parameters, params files, launch arguments, command-line options and tables.
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
from segmif_ros.settings.mapping import from_mapping
from segmif_ros.settings.options import add_options, from_options, given

__all__ = [
    "Changes",
    "Setting",
    "SettingError",
    "add_options",
    "check",
    "from_mapping",
    "from_options",
    "from_values",
    "given",
    "like",
    "part",
    "setting",
    "settings_of",
    "unknown_name",
    "values_of",
    "with_values",
]
