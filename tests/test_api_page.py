"""`docs/api.md`: as current as the docstrings, whole, and with links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import camserve.clients

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"


def anchors(page: str) -> list[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", outside_code(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def outside_code(page: str) -> str:
    return re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_page_says_what_the_docstrings_say(page: str) -> None:
    made = subprocess.run([sys.executable, ROOT / "docs" / "api.py"], capture_output=True, text=True, check=True)
    assert made.stderr == ""
    assert page == made.stdout, "make docs writes the page anew"


def test_every_public_name_has_its_heading(page: str) -> None:
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert sorted(headings) == sorted(camserve.clients.__all__)


def test_every_link_within_the_page_leads_to_one_heading(page: str) -> None:
    found = anchors(page)
    links = re.findall(r"\]\(#([^)]*)\)", page)
    assert len(links) >= len(camserve.clients.__all__)
    assert [link for link in links if found.count(link) != 1] == []


def test_every_name_is_told_what_it_is_for(page: str) -> None:
    told = outside_code(page)
    for part in re.split(r"^#{3,4} ", told, flags=re.MULTILINE)[1:]:
        name, _, text = part.partition("\n")
        assert text.strip(), f"{name} has no docstring"


def test_no_markup_of_docstrings_is_left(page: str) -> None:
    told = outside_code(page)
    assert re.findall(r"^ *(?:Args|Returns|Raises|Attributes|Yields|Example):$", told, re.MULTILINE) == []
    assert ">>>" not in told
    assert page.count("```") % 2 == 0
