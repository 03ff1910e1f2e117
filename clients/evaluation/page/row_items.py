"""Where the images of a table are: files, members of tar archives, and rows of Parquet tables."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from camserve.clients.scoring.inputs.find import find_items
from camserve.clients.scoring.inputs.named import is_url
from camserve.clients.scoring.inputs.sources import UnreadableSource
from camserve.clients.scoring.items import Item, item_of_file
from camserve.errors import CamserveError
from camserve.images.left_out import LeftOut
from camserve.text import printable

__all__ = ["items_of_rows"]

_CONTAINER = re.compile(r"(.+?\.tar)/.|(.+\.parquet):[0-9]+\Z", re.DOTALL | re.IGNORECASE)
"""The start of the path of an image in an archive or a table, as `camserve score` writes it."""


def items_of_rows(paths: Sequence[str], folder: Path | None) -> list[Item]:
    """Return the image of each row. URLs are not read, as the table may come from someone else.

    Args:
        paths: The paths of the table.
        folder: Where relative paths start (default: the current folder).
    """
    located = [path if folder is None else os.fspath(folder / path) for path in paths]
    containers: dict[str, set[str]] = {}
    for path in located:
        container = _container_of(path)
        if container is not None:
            containers.setdefault(container, set()).add(path)
    found: dict[str, Item] = {}
    for container, wanted in containers.items():
        found.update((item.path, item) for item in _within(container, wanted))
    return [
        _not_read(path) if is_url(path) else found.get(place) or item_of_file(place)
        for path, place in zip(paths, located, strict=True)
    ]


def _not_read(url: str) -> Item:
    return Item(
        url,
        url,
        UnreadableSource(f"{printable(url)} is a URL, which pages do not read", "Download it, and score the file"),
    )


def _container_of(path: str) -> str | None:
    match = _CONTAINER.match(path)
    if match is None:
        return None
    container = match[1] or match[2]
    return container if os.path.isfile(container) and not os.path.lexists(path) else None  # noqa: PTH113


def _within(container: str, wanted: Collection[str]) -> Iterator[Item]:
    missing = set(wanted)
    try:
        for item in find_items([container], left_out=LeftOut(), report=lambda _: None):
            if item.path in missing:
                missing.remove(item.path)
                yield item
            if not missing:
                return
    except CamserveError as error:
        for path in missing:
            yield Item(path, path, UnreadableSource(error.message, error.hint or ""))
