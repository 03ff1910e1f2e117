"""The tables of the gate on the page: each metric compared with its tolerance, as text and as a bar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from camserve.export.report.metric_text import (
    Row,
    compare,
    describe,
    format_title,
    is_judged,
    margin,
    ratio,
    remarks,
    rounding_formats,
    sort_key,
    title,
    value_text,
    worst_batch,
)
from camserve.pages.markup import Html, details, join, number, table, tag
from camserve.parity_report import is_widened
from camserve.text import count

__all__ = ["batch_table", "gate_table"]

_NETWORK = "network"
_DECADES_BELOW, _DECADES = 4, 5  # the bar: four powers of ten up to the tolerance, one above it
_NEAR = 0.5
_LEGEND = (
    "The worst of all batches. Bars are logarithmic: one tick per power of ten, and the dark line is the tolerance."
)
_LEGEND_OF_NOISE = " Keras fp32 is the same difference for Keras's own float32 answers."


def gate_table(metrics: Sequence[Row]) -> Html:
    """Render a row for each metric and a column for each format: the worst of all batches compared with its tolerance.

    Args:
        metrics: The metrics of the report.
    """
    formats = list(dict.fromkeys(row["format"] for row in metrics if row["format"] != _NETWORK))
    head = tag("tr", *(tag("th", text, scope="col") for text in ("metric", *map(format_title, formats))))
    groups: dict[str, list[Row]] = {}
    for row in sorted(metrics, key=sort_key):
        groups.setdefault(title(row), []).append(row)
    body = (_metric_row(name, rows, formats) for name, rows in groups.items())
    has_noise = any(row.get("noise") is not None for row in metrics)
    return join(
        tag("table", tag("thead", head), tag("tbody", *body), class_="gate"),
        tag("p", _LEGEND + (_LEGEND_OF_NOISE if has_noise else ""), class_="faint"),
        details("What each metric means", _meanings(metrics)),
    )


def batch_table(metrics: Sequence[Row]) -> Html:
    """Render a row for each format and metric, and a column for each batch size.

    Args:
        metrics: The metrics of the report.
    """
    rows: dict[tuple[str, str], dict[int, Row]] = {}
    for metric in metrics:
        if metric["batch"]:
            rows.setdefault((metric["format"], metric["figure"]), {})[metric["batch"]] = metric
    batches = sorted({batch for row in rows.values() for batch in row})
    return table(
        ("format", "metric", *(count(batch, "image") for batch in batches)),
        (_batch_row(format_name, row, batches) for (format_name, _), row in rows.items()),
        "batches",
    )


def _metric_row(name: str, rows: Sequence[Row], formats: Sequence[str]) -> Html:
    head = tag("th", name, scope="row")
    if rows[0]["format"] == _NETWORK:  # which every format is converted from
        return tag("tr", head, _cell(rows, colspan=str(max(len(formats), 1))))
    return tag("tr", head, *(_cell([row for row in rows if row["format"] == format_]) for format_ in formats))


def _cell(rows: Sequence[Row], colspan: str | None = None) -> Html:
    if not rows:
        return tag("td", "–", class_="empty")
    worst = worst_batch(rows)
    line = tag("span", tag("span", compare(worst)), tag("b", margin(worst)), class_="line")
    more = (tag("small", text) for text in remarks(worst))
    return tag("td", line, _bar(worst), *more, class_=_state(worst), colspan=colspan)


def _bar(row: Row) -> Html:
    if not is_judged(row) or not (row["bound"] or ratio(row)):
        return join()
    part = min(ratio(row), 10.0)
    filled = max((math.log10(part) + _DECADES_BELOW) / _DECADES, 0.02) if part else 0.0
    return tag("span", tag("i", style=f"width:{100 * filled:.1f}%"), class_="bar", aria_hidden="true")


def _state(row: Row) -> str:
    if not is_judged(row):
        return "unjudged"
    if not row["passed"]:
        return "failed"
    return "near" if ratio(row) > _NEAR or is_widened(row) else "passed"


def _meanings(metrics: Sequence[Row]) -> Html:
    rounding = rounding_formats(metrics)
    meanings: dict[str, dict[str, list[str]]] = {}  # the formats of each meaning, by title
    for row in sorted(metrics, key=sort_key):
        formats = meanings.setdefault(title(row), {}).setdefault(describe(row, rounding), [])
        formats += [name for name in [format_title(row["format"])] if name not in formats]
    return tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", _join_meanings(texts))) for name, texts in meanings.items())
    )


def _join_meanings(meanings: Mapping[str, Sequence[str]]) -> str:
    """Return the meaning, with its formats where they differ in it."""
    if len(meanings) == 1:
        return next(iter(meanings))
    return "; ".join(f"{', '.join(formats)}: {meaning}" for meaning, formats in meanings.items())


def _batch_row(format_name: str, row: dict[int, Row], batches: Iterable[int]) -> list[object]:
    values = (number(value_text(row[batch]), _state(row[batch])) if batch in row else number("–") for batch in batches)
    return [format_title(format_name), title(next(iter(row.values()))), *values]
