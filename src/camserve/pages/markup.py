"""Build HTML in which every text is escaped unless it is already `Html`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from camserve.text import printable

__all__ = ["Html", "details", "join", "number", "section", "table", "tag"]


_VOID = ("img", "input", "link", "meta")
"""Elements without content and end tag."""


class Html(str):
    """Markup. Only `tag` and `join` create it, so that a name that looks like markup is shown as text."""

    __slots__ = ()


def tag(name: str, /, *content: object, **attributes: str | None) -> Html:
    """Return an element.

    Args:
        name: Its name.
        content: Its content, as in `join`.
        attributes: Its attributes; underscores in their names become dashes, `class_` is `class`, and None omits one.
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{pairs}>" if name in _VOID else f"<{name}{pairs}>{join(*content)}</{name}>")


def join(*content: object) -> Html:
    """Concatenate markup, and anything else as escaped text, with no line break before a percent sign."""
    return Html("".join(part if isinstance(part, Html) else _text(str(part)) for part in content))


def number(value: object, class_: str = "") -> Html:
    """Return a table cell with right-aligned digits."""
    return tag("td", value, class_=f"number {class_}".rstrip())


def table(head: Sequence[str], rows: Iterable[Iterable[object]], class_: str | None = None) -> Html:
    """Return a table that scrolls horizontally in narrow windows.

    Args:
        head: The titles of the columns.
        rows: The cells of each row: `td` elements, or their content.
        class_: Its class.
    """
    titles = tag("tr", *(tag("th", title, scope="col") for title in head))
    body = (tag("tr", *map(_cell, row)) for row in rows)
    return tag("div", tag("table", tag("thead", titles), tag("tbody", *body), class_=class_), class_="scroll")


def section(title: str, *content: object, **attributes: str | None) -> Html:
    """Return a section with a heading; arguments as for `tag`."""
    return tag("section", tag("h2", title), *content, **attributes)


def details(summary: str, *content: Any) -> Html:
    """Return content that is collapsed below a summary."""
    return tag("details", tag("summary", summary), *content)


def _text(text: str) -> str:
    return escape(printable(text)).replace(" %", "&nbsp;%")


def _cell(value: object) -> Html:
    return value if isinstance(value, Html) and value.startswith("<td") else tag("td", value)
