# SPDX-License-Identifier: Apache-2.0
"""README and docs: what they point to exists."""

import re
import runpy
from pathlib import Path

import pytest

from segmif_ros import cli

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_site_has_every_page_and_no_other() -> None:
    listed = re.findall(r"- ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md"))


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert not [name for name in cli.COMMANDS if not re.search(rf"`(segmif )?{name}`", text)]


def test_every_topic_of_the_launch_file_that_the_node_has_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    topics = [topic for _, topic, _ in runpy.run_path(str(ROOT / "launch" / "segmif.launch.py"))["TOPICS"]]
    assert not [each for each in topics if f"`{each}`" not in text and "camera_info" not in each and "rig/" not in each]


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "overview.jpg").stat().st_size < 300_000
