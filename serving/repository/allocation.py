"""The version numbers that were ever handed out, so that none is handed out again.

A running Triton, its caches and its clients know a version by its number alone. The file remembers those of versions
that were put back, pruned, or whose model's folder is gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import RepositoryError
from camserve.serving.repository.durable import rename, write_text
from camserve.serving.repository.seal import is_sealed, seal, without_seal

__all__ = ["NUMBERS_NAME", "Allocated", "allocate_version", "read_numbers"]

NUMBERS_NAME = ".camserve.versions"
_LINE = re.compile(r"(\S+) ([1-9][0-9]{0,17}) ([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Allocated:
    """The highest number of a model that was handed out, and the SHA-256 of the manifest of the version it was for."""

    number: int
    manifest: str


def read_numbers(root: Path) -> dict[str, Allocated]:
    """What was handed out, by model.

    Raises:
        RepositoryError: If the file is damaged.
    """
    path = root / NUMBERS_NAME
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    lines = without_seal(text).splitlines()
    found = [_LINE.fullmatch(line) for line in lines]
    if not is_sealed(text) or not all(found):
        raise _damaged(path, "it was changed since camserve wrote it")
    return {match[1]: Allocated(int(match[2]), match[3]) for match in found if match}


def allocate_version(root: Path, stage: Path, model: str, handed: Allocated) -> None:
    """Notes a number before it is used.

    Args:
        root: The repository's folder; its lock is held.
        stage: Folder to write in before the rename.
        model: Name of the model.
        handed: The number.
    """
    numbers = {**read_numbers(root), model: handed}
    lines = "".join(f"{name} {each.number} {each.manifest}\n" for name, each in sorted(numbers.items()))
    write_text(stage / NUMBERS_NAME, seal(lines))
    rename(stage / NUMBERS_NAME, root / NUMBERS_NAME)


def _damaged(path: Path, why: str) -> RepositoryError:
    return RepositoryError(
        f"{path}, which remembers the version numbers that were used, cannot be trusted: {why}",
        hint="Restore it from a copy, or remove it: numbers then count on from the versions that stand",
    )
