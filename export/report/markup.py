"""HTML in which every text is escaped: what is not `Html` already is text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from camserve.text import printable

__all__ = ["Html", "details", "join", "number", "section", "table", "tag"]


class Html(str):
    """Markup. Only `tag` and `join` make it, so a name that looks like markup is shown, not obeyed."""

    __slots__ = ()


def tag(name: str, /, *content: object, **attributes: str | None) -> Html:
    """An element; underscores in the names of attributes become dashes, and `class_` is `class`.

    Args:
        name: Its name.
        content: What stands in it, as `join` takes it.
        attributes: Its attributes; None leaves one out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>" if name in ("img", "meta") else f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: object) -> Html:
    """Markup as it is, anything else as text, one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(printable(str(part))) for part in content))


def number(value: object, kind: str = "") -> Html:
    """A table cell whose digits stand under those of the cells above it."""
    return tag("td", value, class_=f"number {kind}".rstrip())


def table(head: Sequence[str], rows: Iterable[Iterable[object]], kind: str | None = None) -> Html:
    """A table that scrolls in itself where the window is narrow.

    Args:
        head: The titles of the columns.
        rows: The cells, row by row; markup of a cell (`number`) or what goes into one.
        kind: Its class.
    """
    titles = tag("tr", *(tag("th", title, scope="col") for title in head))
    body = (tag("tr", *map(_cell, row)) for row in rows)
    return tag("div", tag("table", tag("thead", titles), tag("tbody", *body), class_=kind), class_="scroll")


def section(title: str, *content: object, kind: str | None = None) -> Html:
    """A part of the page under its title."""
    return tag("section", tag("h2", title), *content, class_=kind)


def details(summary: str, *content: Any) -> Html:
    """What is shown only to who asks for it."""
    return tag("details", tag("summary", summary), *content)


def _cell(value: object) -> Html:
    return value if isinstance(value, Html) and value.startswith("<td") else tag("td", value)
