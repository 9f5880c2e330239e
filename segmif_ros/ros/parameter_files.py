# SPDX-License-Identifier: Apache-2.0
"""`segmif parameters`: what is written from the parameter table of the code, printed or put where it belongs."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.ros.node_config import FILE_HEADER, NodeConfig
from segmif_ros.ros.parameters import markdown_table, yaml_text

BEGIN = "<!-- parameters: written by `make params` -->"
END = "<!-- end of parameters -->"


class MarkerError(ValueError):
    """A file lacks the marks between which the table belongs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif parameters`."""
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="print a params file with every parameter at its default")
    form.add_argument("--markdown", action="store_true", help="print the README's table")
    form.add_argument("--write", action="store_true", help="write config/segmif.yaml and README.md of the sources here")


def run(options: argparse.Namespace) -> int:
    """Print or write the tables."""
    if options.yaml:
        print(params_file(), end="")
    elif options.markdown:
        print(markdown_table(NodeConfig), end="")
    else:
        write(Path())
    return 0


def params_file() -> str:
    """Return the text of config/segmif.yaml."""
    return yaml_text(NodeConfig, FILE_HEADER)


def with_table(text: str) -> str:
    """Return a README's text with the parameter table of now between its marks; MarkerError if they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise MarkerError(f"no lines '{BEGIN}' and '{END}' to put the table between")
    return f"{before}{BEGIN}\n{markdown_table(NodeConfig)}{END}{after}"


def write(root: Path) -> None:
    """Write both files of the sources in ``root``; OSError if this isn't the sources' folder."""
    readme = root / "README.md"
    text = with_table(readme.read_text())
    (root / "config" / "segmif.yaml").write_text(params_file())
    readme.write_text(text)
