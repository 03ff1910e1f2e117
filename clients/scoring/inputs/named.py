"""The item of a path or URL that a list or a table contains."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from camserve.clients.scoring.inputs.remote import UrlSource
from camserve.clients.scoring.items import Item, item_of_file

__all__ = ["is_url", "item_of_name", "local_path"]

_FILE = "file://"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_url(text: str) -> bool:
    """Return whether a text is a URL; `file:/a` and names of drives are not."""
    return _URL.match(text) is not None


def item_of_name(text: str, id_: str | None = None) -> Item:
    """Return the item of an image, given by its path or URL.

    Args:
        text: The path or URL.
        id_: Its identifier (default: the path or URL).
    """
    if not text.startswith(_FILE) and is_url(text):
        return Item(text, text if id_ is None else id_, UrlSource(text))
    return item_of_file(local_path(text), id_)


def local_path(text: str) -> str:
    """Return the path of a URL of the scheme `file`; other URLs and paths as they are."""
    if not text.startswith(_FILE):
        return text
    parts = urlsplit(text)
    return unquote(parts.path) if parts.netloc in {"", "localhost"} else text
