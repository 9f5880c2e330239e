# SPDX-License-Identifier: Apache-2.0
"""The documentation as a site: it builds without a warning, and its links lead to files that it has."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documentation import ROOT

pytest.importorskip("material", reason="mkdocs-material is not installed: pip install 'segmif_ros[dev]'")


def test_the_site_builds_strictly_and_has_what_its_pages_link_to(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path))
    done = subprocess.run(
        build, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (path for path in tmp_path.rglob("*.html") if path.name != "404.html"):
        for target in re.findall(r'href="([^"#:]+)["#]', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    assert (tmp_path / "contributing.html").is_file()
    assert (tmp_path / "files" / "config" / "segmif.yaml").is_file()
