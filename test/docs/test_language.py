# SPDX-License-Identifier: Apache-2.0
"""The language of README and docs: short sentences, and none of the phrases that plain English has other words for."""

import re
from pathlib import Path

import pytest
from documentation import PAGES, ROOT

# Pages aim at 25 words; formulas and lists are counted roughly, so that the test leaves room.
MOST_WORDS = 30
CARDS = "model_cards"  # written by `segmif weights-report`
AVOIDED = {
    r"what brings it": "how to install it",
    r"leans? on the truth": "is made from the ground truth",
    r"leaves? the truth": "ignore the labels",
    r"(goes|went|gone) on with a run": "resume",
    r"for who\b": "for those who",
    r"\btakes [\d.]+ points": "drops by ... points",
    r"\btell(s)? what of\b": "list",
}
_MARKUP = (
    (r"^ *```.*?^ *```$", "\n\n"),  # code
    (r"^(\||#|!|<).*$", ""),  # tables, headings, pictures
    (r"^ {4}.*$", ""),
    (r"\]\([^)]*\)", "]"),
    (r"`[^`]*`", "CODE"),
)
_ENDS = r"(?<=[.!?])['\"*)]*\s+(?=[A-Z\[*(\"])|(?<=:)\s|;\s"


def _text(page: Path) -> str:
    text = page.read_text()
    for pattern, instead in _MARKUP:
        text = re.sub(pattern, instead, text, flags=re.DOTALL | re.MULTILINE if "```" in pattern else re.MULTILINE)
    return text


def sentences(text: str) -> list[str]:
    """Return the sentences of a page; parts that a colon or semicolon divides count as sentences."""
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text)
    return [each for paragraph in paragraphs for each in re.split(_ENDS, " ".join(paragraph.split()))]


@pytest.mark.parametrize("page", [each for each in PAGES if CARDS not in each.parts], ids=lambda path: path.name)
def test_sentences_are_short(page: Path) -> None:
    words = {each: len(re.findall(r"[A-Za-z0-9][\w'./%-]*", each)) for each in sentences(_text(page))}
    assert {each: count for each, count in words.items() if count > MOST_WORDS} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_phrases_with_a_plain_word_for_them_are_avoided(page: Path) -> None:
    text = " ".join(_text(page).split())
    assert {pattern: AVOIDED[pattern] for pattern in AVOIDED if re.search(pattern, text, re.IGNORECASE)} == {}


_ITEM = re.compile(r"(\d+)\. |[-*] ")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_lists_begin_after_an_empty_line_and_are_not_broken_as_the_site_would_run_them_together(page: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```$", r"\1code", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    before, top, wrong = "", "", []
    for line in text.splitlines():
        if item := _ITEM.match(line):
            begins = bool(before) and not _ITEM.match(before) and not before.startswith("  ")
            wrong += [line] if begins or (int(item[1] or 1) > 1 and not _ITEM.match(top)) else []
        before, top = line, top if not line or line.startswith("  ") else line
    assert wrong == []


def test_a_long_sentence_and_a_phrase_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Short. W" + "ord word " * 15 + "end." + "\n\n```bash\n" + "code " * 40 + "\n```\n")
    assert [len(each.split()) for each in sentences(_text(page)) if each] == [1, 31]
