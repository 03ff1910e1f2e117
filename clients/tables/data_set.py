"""Write rows as a data set: a folder of Parquet files, which appears when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from camserve.access import Access, read_access
from camserve.atomic import replace_file, replace_folder, sync
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.columns import Columns
from camserve.clients.tables.data_set_folder import SUCCESS, part_name
from camserve.clients.tables.parquet_file import write_parquet

__all__ = ["write_data_set"]

_FIRST = part_name(0)
_ROWS_PER_PART = 100_000
_PROBABILITIES_PER_PART = 40_000_000
"""Most probabilities of a part, in columns of classes: 160 MB."""

_ACCESS_LISTS = "system."


def write_data_set(path: str | Path, rows: Iterable[ScoredRow], columns: Columns) -> bool:
    """Write rows as Parquet files of about 100,000 rows each into a new folder, which replaces an existing data set.

    Each part is complete as soon as it has its name. The folder gets its name at the end.

    Returns:
        Whether owner, group, mode and access control lists are those of the replaced data set.

    Raises:
        OSError: If a file cannot be written; an existing data set remains.
        Exception: Every exception of `rows`, unchanged; an existing data set remains.
    """
    target = Path(os.path.realpath(path))
    before = [_access(each) for each in (target, target / _FIRST)]
    remaining = iter(rows)
    most = max(1, min(_ROWS_PER_PART, _PROBABILITIES_PER_PART // max(1, len(columns.classes))))
    with replace_folder(target, example=_FIRST) as folder:
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
