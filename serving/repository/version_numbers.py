"""Version numbers and the names of version folders."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["claimed_number", "claimed_numbers", "parse_version", "version_folders"]

_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_LEADING_NUMBER = re.compile(r"\s*\+?0*([0-9]{1,18})", re.ASCII)


def parse_version(text: str) -> int | None:
    """Parse the name of a version folder: `1`, `2` and `10` are versions; for `0`, `01` and `1.0` return None."""
    return int(text) if _VERSION.fullmatch(text) else None


def version_folders(model: Path) -> dict[int, Path]:
    """Return the version folders of a model by number, lowest first."""
    found = {parse_version(path.name): path for path in model.iterdir() if path.is_dir()}
    return {number: found[number] for number in sorted(n for n in found if n is not None)}


def claimed_number(name: str) -> int | None:
    """Return the version number that Triton would read from the name of a folder, or None.

    Triton parses names like the C function `stoll`, so `3.tmp` counts as version 3.
    """
    match = _LEADING_NUMBER.match(name)
    return int(match.group(1)) if match else None


def claimed_numbers(model: Path) -> set[int]:
    """Return every version number that Triton would read from the entries of a model's folder.

    None of these is allocated again.
    """
    numbers = (claimed_number(path.name) for path in model.iterdir())
    return {number for number in numbers if number is not None}
