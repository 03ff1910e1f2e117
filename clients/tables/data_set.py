"""Write rows as a data set: a folder of Parquet files, which appears when it is complete."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path

from camserve.access import Access, read_access
from camserve.atomic import replace_file, replace_folder, sync
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.columns import Columns
from camserve.clients.tables.data_set_folder import SUCCESS, is_own_name, part_name
from camserve.clients.tables.parquet_file import write_parquet

__all__ = ["write_data_set"]

_FIRST = part_name(0)
_ROWS_PER_PART = 100_000
_PROBABILITIES_PER_PART = 40_000_000
"""Most probabilities of a part, in columns of classes: 160 MB."""

_TEMPORARY = re.compile(r"\.camserve-[0-9a-f]{16}\.tmp")
"""Name of a part that is being written; see `camserve.atomic`."""

_ACCESS_LISTS = "system."


def write_data_set(path: str | Path, rows: Iterable[ScoredRow], columns: Columns) -> bool:
    """Write rows as Parquet files of about 100,000 rows each into a new folder, which replaces an existing data set.

    Each part is complete as soon as it has its name. The folder gets its name at the end. What earlier runs left that
    were killed is removed.

    Returns:
        Whether owner, group, mode and access control lists are those of the replaced data set.

    Raises:
        OSError: If a file cannot be written; an existing data set remains.
        Exception: Every exception of `rows`, unchanged; an existing data set remains.
    """
    target = Path(os.path.realpath(path))
    before = [_access(each) for each in (target, target / _FIRST)]
    _remove_abandoned(target)
    remaining = iter(rows)
    most = max(1, min(_ROWS_PER_PART, _PROBABILITIES_PER_PART // max(1, len(columns.classes))))
    with replace_folder(target, example=_FIRST) as folder, _in_use(folder):
        number = 0
        while (first := next(remaining, None)) is not None or number == 0:
            part = chain([] if first is None else [first], islice(remaining, most - 1))
            with replace_file(folder / part_name(number)) as file:
                write_parquet(file.stream, part, columns)
            number += 1
        (folder / SUCCESS).touch()
        sync(folder)
    after = [_access(each) for each in (target, target / _FIRST)]
    return all(one is None or _may_use(one) == _may_use(other) for one, other in zip(before, after, strict=True))


@contextmanager
def _in_use(folder: Path) -> Iterator[None]:
    """Lock a folder as long as it is written.

    Raises:
        BlockingIOError: If it is locked.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """Remove what killed runs left beside a data set: folders that nobody writes, and retired data sets."""
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}(\.old)?")
    with os.scandir(target.parent) as entries:
        found = [match for each in entries if (match := name.fullmatch(each.name))]
    for match in found:
        is_last = match[1] is not None and not target.exists()  # killed while it was replaced
        with suppress(OSError), _in_use(target.parent / match[0]):
            if not is_last and _is_abandoned(target.parent / match[0]):
                shutil.rmtree(target.parent / match[0])


def _is_abandoned(folder: Path) -> bool:
    return all(is_own_name(each.name) or _TEMPORARY.fullmatch(each.name) for each in folder.iterdir())


def _access(path: Path) -> Access | None:
    try:
        return read_access(path)
    except OSError:
        return None


def _may_use(access: Access | None) -> object:
    if access is None:
        return None
    lists = {name: value for name, value in access.attributes.items() if name.startswith(_ACCESS_LISTS)}
    return access.owner, access.group, access.mode, lists
