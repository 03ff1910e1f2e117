"""The documents link to files that exist, and the API pages list every public name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "docker" / "README.md",
        ROOT / "examples" / "README.md",
        ROOT / "model_repository" / "README.md",
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:export|serving|clients|docker|src|tests|benchmarks|docs)/[\w./-]+\.\w+)`")
API_ENTRY = re.compile(r"^::: ([\w.]+)\.(\w+)$", re.MULTILINE)


def broken_links(text: str, folder: Path) -> list[str]:
    """Return the links and the file names in backticks that lead to no file."""
    links = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if link and not (folder / link).exists()]
    return missing + [name for name in FILE.findall(text) if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_to_a_file(document: Path) -> None:
    assert broken_links(document.read_text(encoding="utf-8"), document.parent) == []


def test_a_broken_link_is_found() -> None:
    assert broken_links("[gone](gone.md) and `tests/gone.py`, [here](README.md)", ROOT) == ["gone.md", "tests/gone.py"]


@pytest.mark.parametrize(
    "module", ["camserve.export", "camserve.serving", "camserve.clients", "camserve.images", "camserve.contract"]
)
def test_the_api_page_of_a_module_lists_its_public_names(module: str) -> None:
    page = ROOT / "docs" / "api" / f"{module.rpartition('.')[2]}.md"
    entries = API_ENTRY.findall(page.read_text(encoding="utf-8"))
    assert {found for found, _ in entries} == {module}
    assert sorted(name for _, name in entries) == sorted(importlib.import_module(module).__all__)
