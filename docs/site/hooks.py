# SPDX-License-Identifier: Apache-2.0
"""MkDocs hooks: pages link to files of the repository beside docs/, and the site has those too.

CONTRIBUTING.md and CHANGELOG.md become pages; configuration files are served as they are, below files/.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
_LINK = re.compile(r"\]\((?P<path>[^)#:]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and the files that lie beside docs/."""
    root = Path(config.docs_dir).parent
    for source, page in PAGES.items():
        if files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, content=_rewritten((root / source).read_text(), "", page)))
    linked = {
        _beside(each.src_path, found["path"])
        for each in files.documentation_pages()
        if each.abs_src_path
        for found in _LINK.finditer(Path(each.abs_src_path).read_text())
    }
    linked |= {
        _beside("../page.md", found["path"])
        for source in PAGES
        for found in _LINK.finditer((root / source).read_text())
    }
    for path in sorted(filter(None, linked - set(PAGES))):
        if (root / path).is_file():
            files.append(File.generated(config, f"files/{path}", abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page in docs/ lead to where the files are on the site."""
    return _rewritten(markdown, "docs", page.file.src_path)


def _beside(page: str, target: str) -> str:
    """Return a link's path from the repository's root if it leaves docs/, else nothing."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return "" if path.startswith(("docs/", "..")) else path


def _rewritten(markdown: str, folder: str, page: str) -> str:
    """Rewrite links for the page ``page`` of the site, whose text lies in ``folder`` of the repository."""

    def on_site(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, posixpath.dirname(page), found["path"]))
        place = path.removeprefix("docs/") if path.startswith("docs/") else PAGES.get(path, f"files/{path}")
        relative = posixpath.relpath(place, posixpath.dirname(page) or ".")
        return f"]({relative}{found['anchor'] or ''})"

    return _LINK.sub(on_site, markdown)
