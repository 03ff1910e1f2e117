"""The rows that the page shows, and their form in its data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camserve.clients.evaluation.page.details import RowDetails
from camserve.clients.evaluation.page.map_columns import PageMap
from camserve.clients.evaluation.page.thumbnails import Thumbnail
from camserve.clients.evaluation.results import Evaluation
from camserve.images.placement import Box
from camserve.text import shortened

__all__ = ["PageRow", "number_classes", "page_data"]

_MAX_TEXT = 500


@dataclass(frozen=True)
class PageRow:
    """A row with its image.

    Attributes:
        details: The row of the table.
        thumbnail: Its image.
        overlay: Its map in a `data:` URI; None without one.
    """

    details: RowDetails
    thumbnail: Thumbnail
    overlay: str | None = None

    @property
    def map(self) -> PageMap | None:
        """The map of the row, if its image could be read."""
        return None if self.thumbnail.uri is None else self.details.map


def number_classes(evaluation: Evaluation, rows: Sequence[PageRow]) -> dict[str, int]:
    """Return the number of each class in the page's data: those with metrics first, sorted by label."""
    names = [each.label for each in evaluation.classes]
    for row in rows:
        names += [] if row.details.truth is None else [row.details.truth]
        names += [name for name, _ in row.details.best]
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def page_data(evaluation: Evaluation, rows: Sequence[PageRow], numbers: Mapping[str, int]) -> str:
    """Return what the script reads, as JSON that is safe between script tags.

    Texts are limited and printable: no control characters, and none that reorder the text around them.
    """
    document = {
        "classes": [shortened(name) for name in numbers],
        "rows": [_row(row, numbers) for row in rows],
        "cells": [[numbers[cell.truth], numbers[cell.predicted], cell.images] for cell in evaluation.confusion],
        "total": evaluation.rows,
        "percent": evaluation.calibration is not None,
    }
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _row(row: PageRow, numbers: Mapping[str, int]) -> dict[str, Any]:
    details, thumbnail = row.details, row.thumbnail
    document: dict[str, Any] = {
        "path": shortened(details.path, _MAX_TEXT),
        "truth": None if details.truth is None else numbers[details.truth],
        "best": [[numbers[name], _finite(probability)] for name, probability in details.best],
    }
    if details.error is not None:
        document["error"] = shortened(details.error, _MAX_TEXT)
    if thumbnail.uri is None:
        document["problem"] = shortened(thumbnail.problem or "", _MAX_TEXT)
    else:
        document.update(image=thumbnail.uri, size=thumbnail.size, exact=thumbnail.is_exact)
    if row.map is not None and row.overlay is not None:
        document.update(map=row.overlay, place=_shares(row.map.area, thumbnail.size))
    return document


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shares(box: Box, size: tuple[int, int]) -> list[float]:
    """Return left, top, width and height of a box as percentages of its image."""
    left, top, right, bottom = box
    sides = zip((left, top, right - left, bottom - top), (*size, *size), strict=True)
    return [round(100 * pixels / whole, 4) for pixels, whole in sides]
