"""The documents: what they point to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        ROOT / "docker" / "README.md",
        ROOT / "model_repository" / "README.md",
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:export|serving|clients|docker|src|tests|benchmarks|docs)/[\w./-]+\.\w+)`")


def broken(text: str, folder: Path) -> list[str]:
    """Links to files that are not there, and files named that are not there."""
    links = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if link and not (folder / link).exists()]
    return missing + [name for name in FILE.findall(text) if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_points_to_is_there(document: Path) -> None:
    assert broken(document.read_text(encoding="utf-8"), document.parent) == []


def test_a_broken_link_is_noticed() -> None:
    assert broken("[gone](gone.md) and `tests/gone.py`, [here](README.md)", ROOT) == ["gone.md", "tests/gone.py"]
