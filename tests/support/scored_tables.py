"""Tables with known answers, as `camserve score` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from camserve.clients import Prediction, ScoredRow, write_table

__all__ = ["LABELS", "PHOTOS", "answer", "write_answers"]

LABELS = ("cat", "dog", "bird")


def answer(path: str, *best: tuple[str, float]) -> ScoredRow:
    """Return a row with these classes, the best one first."""
    return ScoredRow(path, tuple(Prediction(LABELS.index(label), label, probability) for label, probability in best))


PHOTOS = (
    answer("photos/cat/1.jpg", ("cat", 0.95), ("dog", 0.05)),
    answer("photos/cat/2.jpg", ("dog", 0.9), ("cat", 0.1)),
    answer("photos/dog/3.jpg", ("dog", 0.7), ("bird", 0.2)),
    answer("photos/dog/4.jpg", ("bird", 0.35), ("cat", 0.33)),
    answer("photos/bird/5.jpg", ("bird", 1.0), ("cat", 0.0)),
    ScoredRow("photos/bird/6.jpg", error="cannot be decoded"),
    answer("photos/brd/7.jpg", ("bird", 0.8), ("cat", 0.1)),
)
"""3 of 6 answers are correct; one row has an error, and one true label is misspelled."""


def write_answers(path: Path, rows: Iterable[ScoredRow] = PHOTOS) -> Path:
    """Write a table of two ranks and return its path."""
    if path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(_document(row))}\n" for row in rows))
    else:
        write_table(path, rows, top=2)
    return path


def _document(row: ScoredRow) -> dict[str, object]:
    document: dict[str, object] = {"path": row.path, "error": row.error}
    for rank, each in enumerate(row.top, 1):
        document.update({f"class_{rank}": each.index, f"label_{rank}": each.label})
        document[f"probability_{rank}"] = each.probability
    return document
