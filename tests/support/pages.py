"""A scored table with its images, for pages of evaluations."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.scored_tables import answer

from camserve.clients import RowMap, ScoredRow, evaluate, write_page, write_table

__all__ = ["ANSWERS", "page_document", "write_page_with_maps", "write_scored_images"]

ANSWERS = (
    answer("cat/1.png", ("cat", 0.95), ("dog", 0.05)),
    answer("cat/2.png", ("dog", 0.9), ("cat", 0.1)),
    answer("cat/3.png", ("dog", 0.6), ("bird", 0.4)),
    answer("dog/4.png", ("dog", 0.7), ("bird", 0.2)),
    answer("dog/5.png", ("bird", 0.35), ("cat", 0.33)),
    answer("bird/6.png", ("bird", 1.0000001), ("cat", 0.0)),
    ScoredRow("bird/7.png", error="bird/7.png is truncated"),
)
"""3 of 6 answers are correct, 2 cats are dogs, one probability is rounded up, and one row has an error."""


def write_scored_images(folder: Path, rows: Sequence[ScoredRow] = ANSWERS, *, maps: bool = False) -> Path:
    """Write a table, and an image for each row without an error, and return the table."""
    for number, row in enumerate(rows):
        if row.error is None:
            path = folder / row.path
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    write_table(folder / "answers.csv", rows, top=2, maps=maps)
    return folder / "answers.csv"


def write_page_with_maps(folder: Path) -> Path:
    """Write the page of a table whose rows have a map of their center, with its peak in the upper right corner."""
    grid = np.zeros((5, 5), np.float32)
    grid[0, 4] = 2.0
    row_map = RowMap((24, 0), (19, 0, 25, 6), grid, (5, 0, 25, 20))
    rows = [row if row.error is not None else replace(row, map=row_map) for row in ANSWERS]
    table = write_scored_images(folder, rows, maps=True)
    write_page(evaluate(table), folder / "page.html", images_from=folder)
    return folder / "page.html"


def page_document(page: Path) -> dict[str, Any]:
    """Return the data that the script of a page reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    document: dict[str, Any] = json.loads(text)
    return document
