"""The gate on the page: each figure against its bound, in words and as a bar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from camserve.export.report.markup import Html, details, join, number, table, tag
from camserve.export.report.metric_text import (
    Row,
    comparison,
    format_title,
    images,
    is_judged,
    meaning_of,
    place_of,
    ratio_of,
    room,
    rounding_formats,
    title_of,
    value_of,
    worst_of,
)

__all__ = ["every_batch", "gate"]

_NETWORK = "network"
_DECADES_BELOW, _DECADES = 4, 5  # the bar: four powers of ten up to the bound, one beyond it
_NEAR = 0.5


def gate(figures: Sequence[Row]) -> Html:
    """A row for each figure, a column for each format: the worst of all batches, its bound, and a bar between them."""
    formats = list(dict.fromkeys(figure["format"] for figure in figures if figure["format"] != _NETWORK))
    head = tag("tr", *(tag("th", title, scope="col") for title in ("figure", *map(format_title, formats))))
    rows: dict[str, list[Row]] = {}
    for figure in sorted(figures, key=place_of):
        rows.setdefault(title_of(figure), []).append(figure)
    body = (_row(title, row, formats) for title, row in rows.items())
    legend = "The worst of all batches. Bars are logarithmic: a tick for each power of ten, the line is the bound."
    return join(
        tag("table", tag("thead", head), tag("tbody", *body), class_="gate"),
        tag("p", legend, class_="faint"),
        details("What each figure means", _meanings(figures)),
    )


def every_batch(figures: Sequence[Row]) -> Html:
    """A row for each format and figure, a column for each batch."""
    rows: dict[tuple[str, str], dict[int, Row]] = {}
    for figure in figures:
        if figure["batch"]:
            rows.setdefault((figure["format"], figure["figure"]), {})[figure["batch"]] = figure
    batches = sorted({batch for row in rows.values() for batch in row})
    return table(
        ("format", "figure", *map(images, batches)),
        (_batch_row(format_name, row, batches) for (format_name, _), row in rows.items()),
        "batches",
    )


def _row(title: str, row: Sequence[Row], formats: Sequence[str]) -> Html:
    head = tag("th", title, scope="row")
    if row[0]["format"] == _NETWORK:  # which every format is made of
        return tag("tr", head, _cell(row, colspan=str(max(len(formats), 1))))
    return tag("tr", head, *(_cell([figure for figure in row if figure["format"] == name]) for name in formats))


def _cell(row: Sequence[Row], colspan: str | None = None) -> Html:
    if not row:
        return tag("td", "–", class_="empty")
    figure = worst_of(row)
    line = tag("span", tag("span", comparison(figure)), tag("b", room(figure)), class_="line")
    return tag("td", line, _bar(figure), class_=_state(figure), colspan=colspan)


def _bar(figure: Row) -> Html:
    if not is_judged(figure) or not (figure["bound"] or ratio_of(figure)):
        return join()
    ratio = min(ratio_of(figure), 10.0)
    part = max((math.log10(ratio) + _DECADES_BELOW) / _DECADES, 0.02) if ratio else 0.0
    return tag("span", tag("i", style=f"width:{100 * part:.1f}%"), class_="bar", aria_hidden="true")


def _state(figure: Row) -> str:
    if not is_judged(figure):
        return "unjudged"
    if not figure["passed"]:
        return "missed"
    return "near" if ratio_of(figure) > _NEAR else "kept"


def _meanings(figures: Sequence[Row]) -> Html:
    rows, rounding = sorted(figures, key=place_of), rounding_formats(figures)
    meanings: dict[str, dict[str, list[str]]] = {}  # by title; of each meaning, the formats it has in
    for figure in rows:
        formats = meanings.setdefault(title_of(figure), {}).setdefault(meaning_of(figure, rounding), [])
        formats += [title for title in [format_title(figure["format"])] if title not in formats]
    return tag("dl", *(tag("div", tag("dt", title), tag("dd", _said(said))) for title, said in meanings.items()))


def _said(meanings: Mapping[str, Sequence[str]]) -> str:
    """The meaning, and where formats differ in it, which has which."""
    if len(meanings) == 1:
        return next(iter(meanings))
    return "; ".join(f"{', '.join(formats)}: {meaning}" for meaning, formats in meanings.items())


def _batch_row(format_name: str, row: dict[int, Row], batches: Iterable[int]) -> list[object]:
    measured = (number(value_of(row[batch]), _state(row[batch])) if batch in row else number("–") for batch in batches)
    return [format_title(format_name), title_of(next(iter(row.values()))), *measured]
