"""Check that a table can be written, before any work is done for it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from camserve.clients.arrow import import_pyarrow
from camserve.clients.tables.data_set_folder import foreign_name, is_data_set
from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["check_table"]

_EXTENSIONS = (".csv", ".jsonl", ".parquet")
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_table(path: str | Path, *, spreadsheet_safe: bool = False) -> None:
    """Check that a table can be written, before any file is scored.

    Args:
        path: The table.
        spreadsheet_safe: As for `write_table`.

    Raises:
        UsageError: If the extension is not .csv, .jsonl or .parquet; the path is a pipe, a device or a socket, or
            links to one, or a folder with anything but a data set of camserve; the folder that contains the table is
            missing, not writable, or sticky with a table of another user; pyarrow is not installed; or
            `spreadsheet_safe` is set for another file than CSV.
    """
    target = Path(path)
    data_set, suffix = is_data_set(path), target.suffix.lower()
    if not data_set and suffix not in _EXTENSIONS:
        raise UsageError(
            f"the extension of {printable(target)} must be .csv, .jsonl or .parquet",
            hint="Rename the table, e.g. scores.csv, or end its name in a slash for a folder of Parquet files",
        )
    if spreadsheet_safe and (data_set or suffix != ".csv"):
        raise UsageError(
            "spreadsheet_safe applies to .csv files only: spreadsheets do not run text of other files",
            hint="Leave out --spreadsheet-safe, or write a .csv file",
        )
    if data_set:
        _check_data_set(target)
    else:
        _check_regular(target)
    _check_folder(target)
    if data_set or suffix == ".parquet":
        import_pyarrow(printable(target))


def _check_folder(target: Path) -> None:
    """Check that the folder of a table exists, and that the table can be replaced in it."""
    folder = Path(os.path.realpath(target)).parent  # Path.resolve fails on links that form a cycle
    if not os.path.isdir(folder):  # noqa: PTH112  (Path.is_dir raises an error without permission)
        raise UsageError(
            f"folder {printable(folder)} does not exist", hint=f"Create it: mkdir -p {shlex.quote(str(folder))}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"folder {printable(folder)} is not writable", hint="Choose a folder that you can write to: --output FILE"
        )
    if not _may_replace(Path(os.path.realpath(target)), folder.stat()):
        raise UsageError(
            f"{printable(target)} cannot be replaced: it belongs to another user, and its folder is sticky, like /tmp",
            hint="Choose another file: --output FILE",
        )


def _check_data_set(target: Path) -> None:
    """Refuse a folder that cannot be replaced by another one, or that contains anything but a data set of camserve."""
    hint = f"Choose a new folder, e.g. --output {shlex.quote(str(target / 'answers'))}/"
    try:
        kind = stat.S_IFMT(target.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{printable(target)} cannot be written: {error.strerror}", hint=hint) from None
    if not stat.S_ISDIR(kind):
        raise UsageError(
            f"{printable(target)} is a file, and {printable(target)}/ the name of a folder",
            hint=f"Leave out the slash, or choose another name: --output {shlex.quote(str(target))}.parts/",
        )
    try:
        foreign = foreign_name(target)
    except OSError as error:
        raise UsageError(f"folder {printable(target)} cannot be read: {error.strerror}", hint=hint) from None
    if foreign is not None:
        raise UsageError(
            f"folder {printable(target)} contains {printable(foreign)!r}, and a data set, which is replaced as a "
            "whole, requires a folder of its own",
            hint=hint,
        )
    if os.path.ismount(target) or target.samefile(Path.cwd()):
        raise UsageError(
            f"folder {printable(target)} is the working folder or a mounted file system, and cannot be replaced",
            hint=hint,
        )


def _may_replace(table: Path, folder: os.stat_result) -> bool:
    """Check the owners of a table and its folder: in a sticky folder, only they and root may replace it."""
    user = os.geteuid()
    if not folder.st_mode & stat.S_ISVTX or user in (0, folder.st_uid):
        return True
    return not os.path.lexists(table) or table.lstat().st_uid == user


def _check_regular(target: Path) -> None:
    """Refuse what is not a regular file, without opening it."""
    try:
        kind = stat.S_IFMT(target.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:  # such as a link in a public folder that another user made
        raise UsageError(
            f"{printable(target)} cannot be written: {error.strerror}", hint="Choose another file: --output FILE"
        ) from None
    if stat.S_ISDIR(kind):
        raise UsageError(f"{printable(target)} is a folder", hint="Pass the path of a file in it, e.g. scores.csv")
    if not stat.S_ISREG(kind):
        raise UsageError(
            f"{printable(target)} is {_KINDS.get(kind, 'not a regular file')}; a table replaces a regular file",
            hint="Choose another file: --output FILE",
        )
