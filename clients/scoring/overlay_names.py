"""The file of an image's overlay: `cats/1.jpg` has `cats/1.jpg.png`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from camserve.clients.scoring.items import Item
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["SUFFIX", "check_distinct", "overlay_name"]

SUFFIX = ".png"
_MAX_NAME = 255 - len(SUFFIX)
"""Most bytes of a name in a path, before the suffix; file systems allow 255."""

_DIGEST = 16
_ESCAPED = "%\\"


def overlay_name(id_: str) -> str:
    """Return the path of an overlay within its folder, from the `id` of its row: the folders of the id, and `.png`.

    Names that a folder cannot contain safely are escaped as in URLs: `..`, `.` and empty names, control characters,
    backslashes, percent signs and bytes that are not UTF-8. Names of more than 251 bytes are cut, and end in a
    checksum.

    Laws: ids that differ have paths that differ; no path leaves the folder; no file is where another id needs a folder.
    """
    *folders, name = id_.split("/")
    return "/".join([*map(_folder, folders), _limited(_name(name)) + SUFFIX])


def check_distinct(items: Iterable[Item]) -> None:
    """Check that no two images have one overlay.

    Raises:
        UsageError: If two images have one id.
    """
    known: dict[int, int] = {}  # hashes rather than texts, of which there may be a million
    for item in items:
        path = hash(item.path)
        if known.setdefault(hash(item.id), path) != path:
            raise UsageError(
                f"two images have the id {printable(item.id)!r}, the second is {printable(item.path)}, and overlays "
                "are named after ids",
                hint="Pass the folder that contains both as the only input, after extracting them from an archive, or "
                "score them with a folder of overlays for each: --overlays DIR",
            )


def _folder(name: str) -> str:
    escaped = _name(name)
    if escaped.endswith(SUFFIX):
        escaped = f"{escaped.removesuffix(SUFFIX)}%2Epng"
    return _limited(escaped)


def _name(name: str) -> str:
    if not name:
        return "%2F"
    if name in (".", ".."):
        return name.replace(".", "%2E")
    return "".join(map(_character, name))


def _character(character: str) -> str:
    if character.isprintable() and character not in _ESCAPED:
        return character
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))


def _limited(name: str) -> str:
    data = os.fsencode(name)
    if len(data) <= _MAX_NAME:
        return name
    start = data[: _MAX_NAME - _DIGEST - 2].decode(errors="ignore")
    return f"{start}%~{hashlib.sha256(data).hexdigest()[:_DIGEST]}"  # a percent sign of a name precedes two digits
