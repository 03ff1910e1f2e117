"""Write rows to a table: a CSV, JSON Lines or Parquet file, or a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.checks import check_table
from camserve.clients.tables.columns import Columns
from camserve.clients.tables.csv_file import write_csv, write_spreadsheet
from camserve.clients.tables.data_set import write_data_set
from camserve.clients.tables.data_set_folder import is_data_set
from camserve.clients.tables.json_lines import write_json_lines
from camserve.clients.tables.parquet_file import write_parquet
from camserve.clients.tables.table_file import TableSummary, count_rows, write_rows
from camserve.errors import UsageError

__all__ = ["write_table"]


def write_table(
    path: str | Path,
    rows: Iterable[ScoredRow],
    *,
    top: int = 5,
    classes: Sequence[str] = (),
    maps: bool = False,
    spreadsheet_safe: bool = False,
) -> TableSummary:
    """Write a table with one line per row.

    The columns are path; class, label and probability of each rank; error; model, version; id, and sha256 of the image
    file. With `maps` follow peak and box of the map of the best class, in pixels of the image, and its values, which
    `read_map_grid` reads. With `classes` a column for each class follows, in class order: `probability_of_` and its
    label, and its number where several classes have the label, as in `probability_of_crane (class 134)`.

    CSV files are encoded in UTF-8; file names that are not valid UTF-8 keep their bytes (read the table with
    `errors="surrogateescape"`). In JSON Lines and Parquet, whose text must be UTF-8, such names are escaped, and their
    bytes are in the column `path_bytes`, in JSON Lines in Base64.

    Args:
        path: The table, with the extension .csv, .jsonl or .parquet; or, if it ends in a slash or is a folder, a data
            set: Parquet files of about 100,000 rows each, and `_SUCCESS`. An existing table is replaced when the new
            one is complete, which gets its owner, group, mode and access control list. If it is a symbolic link, what
            it points to is replaced.
        rows: The rows.
        top: Number of ranks with columns of their own.
        classes: The label of each class, such as `classifier.labels`, for a column with the probability of each. The
            rows must contain them: `score(..., all_probabilities=True)`.
        maps: Whether to write the map of the best class. The rows must contain it: `score(..., maps=True)`.
        spreadsheet_safe: Write an apostrophe before texts of a CSV file that a spreadsheet may read as a formula
            (they start with =, +, -, @, a tab or a line break), and quote all texts. By default, texts are exact.

    Raises:
        UsageError: See `check_table`; or a row does not contain all probabilities, or a map, that it must contain.
        ContractError: If a row has other classes than `classes`.
        ClientError: If the table cannot be written; an existing table remains.
        Exception: Every exception of `rows`, unchanged; an existing table remains.
    """
    check_table(path, spreadsheet_safe=spreadsheet_safe)
    data_set, suffix = is_data_set(path), Path(path).suffix.lower()
    columns = Columns(top, _checked(classes), maps, in_unicode=data_set or suffix != ".csv")
    if data_set:
        return count_rows(path, rows, lambda counted: write_data_set(path, counted, columns))
    write = write_spreadsheet if spreadsheet_safe else _WRITERS[suffix]
    return write_rows(path, rows, lambda stream, counted: write(stream, counted, columns))


def _checked(classes: Sequence[str]) -> tuple[str, ...]:
    """Refuse a single label, which is a sequence of letters."""
    if isinstance(classes, str) or not all(isinstance(label, str) for label in classes):
        raise UsageError("classes must be a list of labels", hint="Pass classes=classifier.labels")
    return tuple(classes)


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[ScoredRow], Columns], None]] = {
    ".csv": write_csv,
    ".jsonl": write_json_lines,
    ".parquet": write_parquet,
}
