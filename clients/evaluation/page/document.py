"""The whole page: one HTML file without external content, whose only script is its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camserve.clients.evaluation.page.confusion import confusion_section, is_small
from camserve.clients.evaluation.page.gallery import MAP_GRADIENT, gallery_section
from camserve.clients.evaluation.page.reliability import reliability_section
from camserve.clients.evaluation.page.rows import PageRow, number_classes, page_data
from camserve.clients.evaluation.page.summary import class_section, notes, tiles
from camserve.clients.evaluation.results import Evaluation
from camserve.pages.files import BASE_SCRIPT, BASE_STYLE, read_text
from camserve.pages.markup import Html, tag
from camserve.pages.policy import content_policy
from camserve.text import count, shortened

__all__ = ["render_page"]

_PACKAGE = "camserve.clients.evaluation.page"


def render_page(evaluation: Evaluation, rows: Sequence[PageRow], scope: str) -> str:
    """Return the page as HTML; the same values give the same page.

    Args:
        evaluation: The metrics.
        rows: The rows that are shown with their images.
        scope: Which rows of the table these are.
    """
    style = Html(f"{BASE_STYLE}{read_text(_PACKAGE, 'page.css')}.scale i {{ background: {MAP_GRADIENT}; }}\n")
    script = Html(f"{BASE_SCRIPT}{read_text(_PACKAGE, 'page.js')}")
    numbers = number_classes(evaluation, rows)
    name = shortened(_name(evaluation))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=content_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}: evaluation"),
        tag("style", style),
    )
    parts = tag(
        "div",
        confusion_section(evaluation, numbers),
        tag("div", reliability_section(evaluation.calibration), class_section(evaluation, numbers), class_="stack"),
        class_="columns three" if is_small(evaluation) else "columns",
    )
    main = tag(
        "main",
        tag("h1", f"Evaluation of {name}"),
        tag("p", _lead(evaluation), class_="lead"),
        tiles(evaluation),
        notes(evaluation),
        parts,
        gallery_section(rows, scope, percent=evaluation.calibration is not None),
    )
    data = tag("script", Html(page_data(evaluation, rows, numbers)), type="application/json", id="data")
    body = tag("body", main, data, tag("script", script))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _name(evaluation: Evaluation) -> str:
    """Return the name of the table or of the folder of images, without those above it; else what several are called."""
    path = Path(evaluation.table)
    return path.absolute().name if path.exists() else evaluation.table


def _lead(evaluation: Evaluation) -> str:
    images = f"{count(evaluation.images, 'image')} compared with their true labels"
    if len(evaluation.versions) != 1:
        return f"{images}."
    (version,) = evaluation.versions
    return f"{version.name[0].upper()}{version.name[1:]}: {images}."
