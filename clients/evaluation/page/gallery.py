"""The part of the page that shows images: filters, order and pages; the script fills it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from camserve.clients.evaluation.page.rows import PageRow
from camserve.colormaps import css_gradient
from camserve.pages.markup import Html, section, tag

__all__ = ["MAP_GRADIENT", "gallery_section"]

MAP_GRADIENT = css_gradient("viridis")
_ANSWERS = {
    "": "all",
    "correct": "correct",
    "wrong": "wrong",
    "error": "with an error",
    "unlabeled": "without a true label",
}
_ORDERS = {
    "": "worst mistakes first",
    "highest": "highest probability first",
    "lowest": "lowest probability first",
    "truth": "by true class",
    "predicted": "by best class",
    "path": "by path",
    "table": "as in the table",
}
_WITHOUT_MAPS = "The table has no maps; score with them to see where the model looks: camserve score INPUT... --maps"
_UNPLACED = (
    "The maps of the table are not shown, as the table does not contain to which part of its image each belongs."
)


def gallery_section(rows: Sequence[PageRow], scope: str, *, percent: bool) -> Html:
    """Return the filters and an empty list.

    Args:
        rows: The rows of the page.
        scope: Which rows of the table these are.
        percent: Whether the values of the table are probabilities.
    """
    return section(
        "Images",
        tag("p", scope, class_="faint"),
        _filters(percent),
        _map_controls() if any(row.overlay is not None for row in rows) else _note(rows),
        tag("noscript", tag("p", "The images are shown by a script of this page, which this browser does not run.")),
        tag(
            "div",
            tag("p", "", id="status", role="status"),
            _pager("before"),
            class_="bar",
        ),
        tag("ul", id="cards"),
        _pager("after"),
        id="images",
    )


def _filters(percent: bool) -> Html:
    unit = "%" if percent else ""
    return tag(
        "form",
        _field("True class", tag("select", _option("", "all"), name="truth")),
        _field("Best class", tag("select", _option("", "all"), name="predicted")),
        _field("Answers", tag("select", *_options(_ANSWERS), name="answer")),
        _field(f"Above {unit}".rstrip(), _number("low", percent)),
        _field(f"At most {unit}".rstrip(), _number("high", percent)),
        _field("Path contains", tag("input", type="search", name="path", autocomplete="off", spellcheck="false")),
        _field("Order", tag("select", *_options(_ORDERS), name="order")),
        tag("button", "Show all", type="reset"),
        id="filters",
        aria_label="Filter the images",
    )


def _note(rows: Sequence[PageRow]) -> Html:
    """Return why there are no maps."""
    return tag("p", _UNPLACED if any(row.map is not None for row in rows) else _WITHOUT_MAPS, class_="faint")


def _map_controls() -> Html:
    return tag(
        "div",
        tag("label", tag("input", type="checkbox", id="maps", checked=""), " Maps"),
        tag(
            "label",
            "Opacity ",
            tag("input", type="range", id="opacity", min="0", max="100", step="5", value="70"),
            class_="slider",
        ),
        tag("span", tag("span", "lowest value"), tag("i", aria_hidden="true"), tag("span", "highest"), class_="scale"),
        class_="map-controls",
    )


def _pager(where: str) -> Html:
    return tag(
        "nav",
        tag("button", "‹ Previous", type="button", data_step="-1"),
        tag("span", class_="range"),
        tag("button", "Next ›", type="button", data_step="1"),
        class_="pager",
        aria_label=f"Pages, {where} the images",
    )


def _field(name: str, control: Html) -> Html:
    return tag("label", tag("span", name), control)


def _number(name: str, percent: bool) -> Html:
    limits = {"min": "0", "max": "100"} if percent else {}
    title = "Probability of the best class, in percent" if percent else "Value of the best class"
    return tag("input", type="number", name=name, step="any", inputmode="decimal", title=title, **limits)


def _options(names: dict[str, str]) -> Iterable[Html]:
    return (_option(value, text) for value, text in names.items())


def _option(value: str, text: str) -> Html:
    return tag("option", text, value=value)
