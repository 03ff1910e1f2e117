"""`docs/api.md`: as current as the docstrings, whole, and with links that lead somewhere."""

from __future__ import annotations

import builtins
import collections.abc
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import camserve.clients
import camserve.contract
import camserve.errors

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
OF_OTHER_LIBRARIES = {"Axes", "CollectorRegistry", "Metric", "Image", "Path", "PathLike"}


def anchors(page: str) -> list[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", outside_code(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def names_of(page: str) -> list[str]:
    return re.findall(r"^### (\w+)$", page, re.MULTILINE)


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
    clients, _, contract = page.partition("\n## Contract\n")
    assert sorted(names_of(clients)) == sorted(camserve.clients.__all__)
    assert "ModelContract" in names_of(contract)
    assert set(names_of(contract)) <= set(camserve.contract.__all__)
    assert f"Imported from `{camserve.contract.__name__}`" in contract


def test_signatures_have_no_name_that_is_explained_nowhere(page: str) -> None:
    signatures = "".join(re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
    without_texts = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'", "", signatures)
    used = set(re.findall(r"\b[A-Z]\w+", without_texts))
    known = {*names_of(page), *OF_OTHER_LIBRARIES}
    for module in (builtins, collections.abc, typing, camserve.errors):
        known |= set(vars(module))
    assert "Crops" in used
    assert used - known == set()


def test_the_page_says_that_a_stream_that_raises_has_answers_alone(page: str) -> None:
    assert "- `errors: Literal['raise'] = 'raise'`: `Generator[Classification, None, None]`\n" in page
    assert "- `errors: Literal['yield']`: `Generator[Classification | CamserveError, None, None]`\n" in page


def test_what_the_library_alone_calls_or_inherits_from_is_left_out(page: str) -> None:
    assert re.findall(r"^#### (?:ClientTls|Metrics)\..*", page, re.MULTILINE) == []
    assert "BaseClassifier" not in page


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
