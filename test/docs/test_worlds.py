# SPDX-License-Identifier: Apache-2.0
"""Pages that lead into a world in which nothing was run, such as Nav2 or a Jetson, say so."""

import re
from pathlib import Path

import pytest
from documentation import PAGES, ROOT

SAID = "what-was-run-and-what-was-not"
TABLE = ROOT / "docs" / "integration.md"
WORLDS = {
    "Nav2": r"config/nav2_",
    "nvblox": r"config/nvblox_",
    "RViz": r"rviz:=true",
    "Foxglove": r"config/foxglove",
    "containers": r"docker (build|run|compose)",
    "systemd": r"config/segmif\.service",
    "SROS 2": r"ros2 security|--enclave",
    "Jetson": r"(container|image|GPU).{0,40}Jetson|Jetson\) build",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_that_leads_into_a_world_where_nothing_was_run_says_so(page: Path) -> None:
    text = page.read_text()
    leads_to = [world for world, sign in WORLDS.items() if re.search(sign, text)]
    assert not leads_to or SAID in text, f"{page.name} is about {leads_to}: link to integration.md#{SAID}"


def test_every_such_world_is_in_the_table_as_not_run() -> None:
    rows = re.findall(r"^\| ([^|]+) \| not run: [^|]+\|$", TABLE.read_text(), re.MULTILINE)
    assert not [world for world in WORLDS if not any(world in row for row in rows)]
