# SPDX-License-Identifier: Apache-2.0
"""`segmif parameters`: what is written from the tables of parameters and topics, printed or put where it belongs."""

from __future__ import annotations

import argparse
from pathlib import Path

from segmif_ros.ros import grid_config, node_config
from segmif_ros.ros.grid_config import GridNodeConfig
from segmif_ros.ros.node_config import NodeConfig
from segmif_ros.ros.parameters import markdown_table, yaml_text
from segmif_ros.ros.topics import TOPICS

# node -> its table, the header of its params file, that file, and the page with the table
_TABLES: dict[str, tuple[type, str, str, str]] = {
    "segmif_node": (NodeConfig, node_config.FILE_HEADER, "config/segmif.yaml", "docs/parameters.md"),
    "grid_node": (GridNodeConfig, grid_config.FILE_HEADER, "config/grid.yaml", "docs/grid.md"),
}
BEGIN = "<!-- parameters: written by `make params` -->"
END = "<!-- end of parameters -->"
POLICY = "config/sros2_policy.xml"
_POLICY_BEGIN = "<!-- topics: written by `make params` -->"
_POLICY_END = "<!-- end of topics -->"


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
    """Print or write the tables; return the exit status."""
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
    """Return a page's text with today's table of parameters between its marks.

    Args:
        text: The page, with both marks.
        node: Whose parameters.

    Raises:
        MarkerError: If the marks aren't there.
    """
    return _between(text, BEGIN, "\n" + markdown_table(_TABLES[node][0]), END)


def with_topics(text: str) -> str:
    """Return the policy's text with the topics of segmif_node between its marks; MarkerError if they are not there."""
    before, separator, heard = text.partition('<topics subscribe="ALLOW">')
    return separator.join(_between(each, *_allowed(word)) for each, word in ((before, "output:"), (heard, "input:")))


def _allowed(word: str) -> tuple[str, str, str]:
    indent = "\n" + 12 * " "
    names = "".join(f"{indent}<topic>{topic}</topic>" for _, topic, text in TOPICS if text.startswith(word))
    return _POLICY_BEGIN, names + indent, _POLICY_END


def _between(text: str, begin: str, inner: str, end: str) -> str:
    before, begins, rest = text.partition(begin)
    _, ends, after = rest.partition(end)
    if not (begins and ends):
        raise MarkerError(f"no lines '{begin}' and '{end}' to put the table between")
    return f"{before}{begin}{inner}{end}{after}"


def write(root: Path) -> None:
    """Write the files of the sources in ``root``; OSError if this isn't the sources' folder."""
    texts = {}
    for node, (_, _, file, page) in _TABLES.items():
        texts[root / page] = with_table((root / page).read_text(), node)
        texts[root / file] = params_file(node)
    texts[root / POLICY] = with_topics((root / POLICY).read_text())
    for path, text in texts.items():
        path.write_text(text)
