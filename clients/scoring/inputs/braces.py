"""Expand braces as the shell does, in patterns such as `shard-{000..009}.tar`, which are quoted or under URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["expand_braces"]

_BRACES = re.compile(r"\{(?:(?P<first>\d+)\.\.(?P<last>\d+)|(?P<names>[^{}]*,[^{}]*))\}")


def expand_braces(text: str) -> Iterator[str]:
    """Yield what a text stands for: `a{1,2}` for `a1` and `a2`, `a{08..11}` for `a08` to `a11`.

    Ranges have as many digits as their first or last number if one of them starts with 0. Braces with neither a range
    nor a comma are text.
    """
    found = _BRACES.search(text)
    if found is None:
        yield text
        return
    before, after = text[: found.start()], text[found.end() :]
    for choice in _choices(found):
        for rest in expand_braces(after):
            yield f"{before}{choice}{rest}"


def _choices(braces: re.Match[str]) -> Iterator[str]:
    if braces["names"] is not None:
        yield from braces["names"].split(",")
        return
    first, last = braces["first"], braces["last"]
    padded = any(len(number) > 1 and number.startswith("0") for number in (first, last))
    width = max(len(first), len(last)) if padded else 0
    step = 1 if int(first) <= int(last) else -1
    for number in range(int(first), int(last) + step, step):
        yield f"{number:0{width}d}"
