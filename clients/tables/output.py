"""What a run writes: a table of one of the formats, or a camera submission."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from camserve.choices import OUTPUT_FORMATS, OutputFormat
from camserve.clients.answers.predictions import check_top
from camserve.clients.scoring.inputs import Items
from camserve.clients.scoring.rows import ScoredRow
from camserve.clients.tables.camera_submission import check_submission, distinct_names, write_camera_submission
from camserve.clients.tables.checks import check_table
from camserve.clients.tables.table import write_table
from camserve.clients.tables.table_file import TableSummary
from camserve.errors import UsageError

__all__ = ["Output"]

_TOP = 5


@dataclass(frozen=True, kw_only=True)
class Output:
    """A table or a camera submission.

    Attributes:
        path: The file, or the folder of a data set.
        format: `table` or `camera`.
        top: Number of classes in each row of a table (default: 5).
        all_probabilities: Whether a table has a column with the probability of each class.
        maps: Whether a table has the columns of maps.
        spreadsheet_safe: See `write_table`.

    Raises:
        UsageError: If it cannot be written, or an option is invalid or does not apply to the format.
    """

    path: str | Path
    format: OutputFormat = "table"
    top: int | None = None
    all_probabilities: bool = False
    maps: bool = False
    spreadsheet_safe: bool = False

    def __post_init__(self) -> None:
        if self.format not in OUTPUT_FORMATS:
            raise UsageError(f"format must be table or camera, got {self.format!r}", hint='Pass format="table"')
        if self.top is not None:
            check_top(self.top)
        if self.format == "table":
            check_table(self.path, spreadsheet_safe=self.spreadsheet_safe)
        else:
            self._check_camera()

    @property
    def ranks(self) -> int:
        """Number of classes that its rows must contain."""
        if self.format == "camera":
            return 1
        return _TOP if self.top is None else self.top

    def count(self, items: Items) -> int:
        """Count the images, and check that their rows can be written.

        Raises:
            UsageError: If there are none, or a camera submission would contain a name twice.
        """
        if self.format == "camera":
            return sum(1 for _ in distinct_names(item.path for item in items))
        return items.count()

    def write(self, rows: Iterable[ScoredRow], labels: Sequence[str]) -> TableSummary:
        """Write the rows.

        Args:
            rows: The rows.
            labels: The label of each class of the model.

        Raises:
            CamserveError: As `write_table` or `write_camera_submission`.
            Exception: Every exception of `rows`, unchanged; an existing file remains.
        """
        if self.format == "camera":
            return write_camera_submission(self.path, rows)
        return write_table(
            self.path,
            rows,
            top=min(self.ranks, len(labels)),
            classes=labels if self.all_probabilities else (),
            maps=self.maps,
            spreadsheet_safe=self.spreadsheet_safe,
        )

    def _check_camera(self) -> None:
        """Check that a submission can be written, and that no option requires a table."""
        options = {
            "--top": self.top is not None,
            "--all-probabilities": self.all_probabilities,
            "--maps": self.maps,
            "--spreadsheet-safe": self.spreadsheet_safe,
        }
        for option in (name for name, is_given in options.items() if is_given):
            raise UsageError(f"{option} does not apply to --format camera", hint=f"Leave out {option}")
        check_submission(self.path)
