"""Which columns of a table contain the images and their identifiers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from camserve.errors import UsageError
from camserve.text import listed, printable, suggest

__all__ = ["Choice", "ColumnNames", "choose"]

_NAMES_OF_PATHS = frozenset(
    {"path", "paths", "file", "filename", "file_name", "filepath", "file_path", "fname", "image", "image_path"}
    | {"imagepath", "img", "img_path", "url", "image_url", "uri"}
)
"""Names, in lower case, that columns of paths usually have."""


@dataclass(frozen=True, kw_only=True)
class ColumnNames:
    """The columns that were requested; None for those to find.

    Attributes:
        path: Column of the paths or URLs.
        bytes: Column of the bytes of image files.
        id: Column of the identifiers.

    Raises:
        UsageError: If both `path` and `bytes` are given.
    """

    path: str | None = None
    bytes: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        if self.path is not None and self.bytes is not None:
            raise UsageError(
                "--path-column and --bytes-column cannot be combined: images are read from one column",
                hint="Leave out one of them",
            )

    @property
    def options(self) -> tuple[str, ...]:
        """The options that were given, as the command line calls them."""
        given = (("--path-column", self.path), ("--bytes-column", self.bytes), ("--id-column", self.id))
        return tuple(option for option, name in given if name is not None)


@dataclass(frozen=True)
class Choice:
    """The columns to read.

    Attributes:
        images: The column of paths or bytes.
        holds_bytes: Whether it contains bytes.
        id: The column of identifiers; None for the numbers of rows.
    """

    images: str
    holds_bytes: bool
    id: str | None

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [self.images] if self.id in {None, self.images} else [self.images, str(self.id)]


def choose(
    table: str,
    columns: Sequence[str],
    requested: ColumnNames,
    *,
    bytes_columns: Sequence[str] = (),
    report: Callable[[str], None],
) -> Choice:
    """Choose the columns of a table. The column of images is found if only one can contain them.

    Args:
        table: The table, for messages.
        columns: Its columns.
        requested: The requested ones.
        bytes_columns: Those of its columns that can contain the bytes of files.
        report: Takes the message about a column that was found.

    Raises:
        UsageError: If a requested column is missing or ambiguous, or it is not clear which one contains the images.
    """
    for option, name in (("--path-column", requested.path), ("--id-column", requested.id)):
        if name is not None:
            _check(table, name, columns, option)
    if requested.bytes is not None:
        _check(table, requested.bytes, columns, "--bytes-column")
        if requested.bytes not in bytes_columns:
            raise UsageError(
                f"{printable(table)}: column {requested.bytes!r} does not contain the bytes of files",
                hint=f"Pass its paths: --path-column NAME{_columns_with(bytes_columns)}",
            )
        return Choice(requested.bytes, holds_bytes=True, id=requested.id)
    if requested.path is not None:
        return Choice(requested.path, holds_bytes=False, id=requested.id)
    return _found(table, columns, requested, bytes_columns, report)


def _found(
    table: str,
    columns: Sequence[str],
    requested: ColumnNames,
    bytes_columns: Sequence[str],
    report: Callable[[str], None],
) -> Choice:
    candidates = [name for name in columns if name in bytes_columns or name.lower() in _NAMES_OF_PATHS]
    candidates = candidates or (list(columns) if len(columns) == 1 else [])
    if len(candidates) != 1:
        which = f"{listed(candidates)} can" if candidates else f"there are {listed(columns) or 'none'}"
        raise UsageError(
            f"{printable(table)}: it is not clear which column contains the images: {which}",
            hint="Select it: --path-column NAME or --bytes-column NAME",
        )
    (name,) = candidates
    _check(table, name, columns, "--path-column")
    holds_bytes = name in bytes_columns
    kind, option = ("bytes", "--bytes-column") if holds_bytes else ("paths", "--path-column")
    report(f"The {kind} of images are read from column {name!r} of {printable(table)}; {option} selects another")
    return Choice(name, holds_bytes=holds_bytes, id=requested.id)


def _check(table: str, name: str, columns: Sequence[str], option: str) -> None:
    times = Counter(columns)[name]
    if times > 1:
        raise UsageError(f"{printable(table)}: {times} columns are named {name!r}", hint="Rename one of them")
    if not times:
        raise UsageError(
            f"{printable(table)}: there is no column {printable(name)!r}; there are {listed(columns) or 'none'}",
            hint=suggest(name, columns) or f"Pass the name of a column: {option} NAME",
        )


def _columns_with(bytes_columns: Sequence[str]) -> str:
    return f", or a column of bytes: --bytes-column {printable(bytes_columns[0])}" if bytes_columns else ""
