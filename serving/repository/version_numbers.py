"""Numbers of versions, as they may stand in a repository."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["claimed_number", "claimed_numbers", "parse_version", "version_folders"]

_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_LEADING_NUMBER = re.compile(r"\s*\+?0*([0-9]{1,18})", re.ASCII)


def parse_version(text: str) -> int | None:
    """The version that a folder of this name is, or None: `1`, `2`, `10` are versions, `0`, `01`, `1.0` are not."""
    return int(text) if _VERSION.fullmatch(text) else None


def version_folders(model: Path) -> dict[int, Path]:
    """The version folders of a model's folder, by number, lowest first."""
    found = {parse_version(path.name): path for path in model.iterdir() if path.is_dir()}
    return {number: found[number] for number in sorted(n for n in found if n is not None)}


def claimed_number(name: str) -> int | None:
    """The version number that Triton could read out of a name, or None.

    Triton reads names as the C function `stoll` does, so that `3.tmp` counts as version 3.
    """
    match = _LEADING_NUMBER.match(name)
    return int(match.group(1)) if match else None


def claimed_numbers(model: Path) -> set[int]:
    """Every version number that Triton could read out of the entries of a model's folder.

    A number that is taken in this wider sense is not given out again.
    """
    numbers = (claimed_number(path.name) for path in model.iterdir())
    return {number for number in numbers if number is not None}
