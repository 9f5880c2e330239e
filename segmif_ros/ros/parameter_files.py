# SPDX-License-Identifier: Apache-2.0
"""`segmif parameters`: what is written from the parameter table of the code, printed or put where it belongs."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.ros import grid_config, node_config
from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.parameters import markdown_table, yaml_text

# node -> its table, the header of its params file, that file, and the page with the table
_TABLES: dict[str, tuple[type, str, str, str]] = {
    "segmif_node": (NodeConfig, node_config.FILE_HEADER, "config/segmif.yaml", "docs/parameters.md"),
    "grid_node": (GridNodeConfig, grid_config.FILE_HEADER, "config/grid.yaml", "docs/grid.md"),
}
BEGIN = "<!-- parameters: written by `make params` -->"
END = "<!-- end of parameters -->"


class MarkerError(ValueError):
    """A file lacks the marks between which the table belongs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `segmif parameters`."""
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="print a params file with every parameter at its default")
    form.add_argument("--markdown", action="store_true", help="print the table of the documentation")
    form.add_argument("--write", action="store_true", help="write the params files and tables of the sources here")
    parser.add_argument("--node", choices=_TABLES, default="segmif_node", help="whose to print (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Print or write the tables."""
    if options.yaml:
        print(params_file(options.node), end="")
    elif options.markdown:
        print(markdown_table(_TABLES[options.node][0]), end="")
    else:
        write(Path())
    return 0


def params_file(node: str = "segmif_node") -> str:
    """Return the text of a node's params file, such as config/segmif.yaml."""
    config, header, _, _ = _TABLES[node]
    return yaml_text(config, header)


def with_table(text: str, node: str = "segmif_node") -> str:
    """Return a page's text with the parameter table of now between its marks; MarkerError if they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise MarkerError(f"no lines '{BEGIN}' and '{END}' to put the table between")
    return f"{before}{BEGIN}\n{markdown_table(_TABLES[node][0])}{END}{after}"


def write(root: Path) -> None:
    """Write the files of the sources in ``root``; OSError if this isn't the sources' folder."""
    texts = {}
    for node, (_, _, file, page) in _TABLES.items():
        texts[root / page] = with_table((root / page).read_text(), node)
        texts[root / file] = params_file(node)
    for path, text in texts.items():
        path.write_text(text)
