"""The version numbers that were ever used, so that no number is used twice.

A running Triton, its caches and its clients identify a version by its number alone. This file also remembers versions
that were rolled back or pruned, or whose model was deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.regular_file import read_regular_file
from camserve.serving.repository.durable import replace_text
from camserve.serving.repository.seal import is_sealed, seal, without_seal
from camserve.text import reason

__all__ = ["NUMBERS_NAME", "Allocated", "allocate_version", "read_numbers"]

NUMBERS_NAME = ".camserve.versions"
_LINE = re.compile(r"(\S+) ([1-9][0-9]{0,17}) ([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Allocated:
    """The highest version number of a model that was allocated.

    Attributes:
        number: The version number.
        manifest: SHA-256 of the manifest of the version that it was allocated for.
    """

    number: int
    manifest: str


def read_numbers(root: Path) -> dict[str, Allocated]:
    """Read the allocated numbers of a repository, by model.

    Raises:
        RepositoryError: If the file is damaged.
    """
    path = root / NUMBERS_NAME
    try:
        text = read_regular_file(path).decode("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, reason(error, path)) from None
    matches = [_LINE.fullmatch(line) for line in without_seal(text).splitlines()]
    if not is_sealed(text) or not all(matches):
        raise _damaged(path, "it was changed after camserve wrote it")
    return {match[1]: Allocated(int(match[2]), match[3]) for match in matches if match}


def allocate_version(root: Path, stage: Path, model: str, allocated: Allocated) -> None:
    """Record a version number before it is used.

    Args:
        root: The repository's folder; the caller holds its lock.
        stage: Folder to write in before the rename.
        model: Name of the model.
        allocated: The number, and the manifest of the version that it is for.
    """
    numbers = {**read_numbers(root), model: allocated}
    lines = "".join(f"{name} {each.number} {each.manifest}\n" for name, each in sorted(numbers.items()))
    replace_text(root / NUMBERS_NAME, seal(lines), stage=stage)


def _damaged(path: Path, why: str) -> RepositoryError:
    return RepositoryError(
        f"{path}, which records the version numbers in use, is damaged: {why}",
        hint="Restore it from a backup, or remove it: numbering then continues after the existing versions",
    )
