"""How good the maps are, on the page: deletion and insertion curves as SVG, and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from camserve.export.report.quality_text import (
    NOT_MEASURED,
    QUALITY_COLUMNS,
    curve_images,
    gain_text,
    quality_rows,
    source_title,
    weights_text,
)
from camserve.pages.markup import Html, details, join, section, table, tag

__all__ = ["quality_section"]

_LEFT, _TOP, _WIDTH, _HEIGHT = 40, 6, 250, 150
_LEGEND = (
    "Probability of the best class while pixels are replaced by those of a blurred copy, the most important of the map "
    "first (deletion), or restored in that order (insertion); mean of all images. In the table, the area under these "
    "curves, from 0 to 1: a good map has a small area of deletion and a large one of insertion, and is compared with "
    "random maps on the same images. All maps are measured with the exported file."
)
_POINTING = (
    "Pointing game: whether the maximum of a map is on an object of its class, or within 15/224 of the shorter side of "
    "one; by chance, if it were in a random cell."
)


def quality_section(report: Mapping[str, Any]) -> Html:
    """Return the section, or a sentence if maps were not measured; nothing for an export without maps."""
    if report["contract"]["cam"] is None:
        return join()
    quality = report.get("map_quality")
    if quality is None:
        return section("How good the maps are", tag("p", f"{NOT_MEASURED}.", class_="faint"))
    values = quality["curves"]["values"]
    random = values["random"]
    titles = {"keras": "Keras", "export": source_title("export", report), "random": "random maps"}
    return section(
        f"How good the maps are, measured on {curve_images(quality)}",
        tag(
            "div",
            _chart("Deletion", {**values["deletion"], "random": random}),
            _chart("Insertion", {**values["insertion"], "random": random[::-1]}),
            class_="pair charts",
        ),
        tag("p", *(tag("span", name, class_=f"key {source}") for source, name in titles.items()), class_="keys"),
        table(QUALITY_COLUMNS, quality_rows(report)),
        tag("p", _sentence(weights_text(quality))),
        tag("p", _LEGEND + (f" {_POINTING}" if quality["pointing"] else ""), class_="faint"),
        details("Difference from random maps", _gains(report)),
        class_="quality",
    )


def _chart(title: str, curves: Mapping[str, Sequence[float]]) -> Html:
    """Return curves over the share of pixels, each from 0 to 1."""
    return tag(
        "figure",
        tag("h3", title),
        tag(
            "svg",
            *_axes(),
            *(
                tag("polyline", points=" ".join(_points(values)), class_=source)
                for source, values in sorted(curves.items(), key=lambda curve: curve[0] != "random")
            ),
            tag("text", "share of the pixels", x=_x(0.5), y=str(_TOP + _HEIGHT + 28), text_anchor="middle"),
            viewBox=f"0 0 {_LEFT + _WIDTH + 22} {_TOP + _HEIGHT + 32}",
            role="img",
            aria_label=f"{title}: mean probability of the best class by the share of the pixels",
        ),
    )


def _axes() -> Iterator[Html]:
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        yield tag("line", x1=_x(0), y1=_y(tick), x2=_x(1), y2=_y(tick), class_="grid")
        yield tag("text", f"{tick:.0%}", x=f"{_LEFT - 5}", y=f"{float(_y(tick)) + 4:.1f}", text_anchor="end")
        yield tag("text", f"{tick:.0%}", x=_x(tick), y=str(_TOP + _HEIGHT + 14), text_anchor="middle")


def _points(values: Sequence[float]) -> Iterator[str]:
    for step, value in enumerate(values):
        yield f"{_x(step / (len(values) - 1))},{_y(value)}"


def _x(share: float) -> str:
    return f"{_LEFT + _WIDTH * share:.1f}"


def _y(share: float) -> str:
    return f"{_TOP + _HEIGHT * (1 - share):.1f}"


def _gains(report: Mapping[str, Any]) -> Html:
    rows = (
        (source_title(row["map"], report), row["curve"], gain_text(row))
        for row in report["map_quality"]["curves"]["areas"]
    )
    return table(("map", "curve", "area under the curve"), rows)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
