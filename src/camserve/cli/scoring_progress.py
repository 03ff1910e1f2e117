"""The progress of scoring, on stderr: how many images, how fast, how long still, and what limits it."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from camserve.cli.console import print_note, print_warning, settings
from camserve.text import count, printable

if TYPE_CHECKING:
    from camserve.clients import ScoredRow
    from camserve.clients.scoring.engine import RowsInProgress

__all__ = ["ScoringProgress", "track_rows", "track_with_errors"]

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_UPDATES = 0.25
_SECONDS_BETWEEN_SAMPLES = 1.0
_SAMPLES = 30
_WIDE = 100
"""Columns of a terminal from which on there is room for a bar."""

_BAR = 20
_WHOLE = 10
"""Images per second from which on the rate has no decimals."""


class ScoringProgress:
    """Counts rows, and describes how far the work is.

    Args:
        total: Number of images.
        limited_by: Returns what limits the run.
        clock: Returns the time in seconds.
    """

    def __init__(
        self, total: int, limited_by: Callable[[], str | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._limited_by = limited_by
        self._clock = clock
        self._samples = deque([(clock(), 0)], _SAMPLES)
        self._limit = limited_by()
        self.done = 0
        self.errors = 0

    def add(self, row: ScoredRow) -> None:
        """Count a row."""
        self.done += 1
        self.errors += row.error is not None

    def line(self, width: int = sys.maxsize) -> str:
        """Return the state in one line, which is shortened if it is wider than a number of columns.

        Example:
            1,234 of 10,000 | 12% | 638/s | 2 errors | 0:14 left | limited by decoding
        """
        rate = self._rate()
        speed = f"{rate:,.0f}/s" if rate >= _WHOLE else f"{rate:.2g}/s"
        left = _clock_text((self._total - self.done) / rate) if rate else "?"
        errors = count(self.errors, "error")
        full = [f"{self.done:,} of {self._total:,}", f"{self.share:.0%}", speed, errors, f"{left} left"]
        line = " | ".join([*full, *([f"limited by {self._limit}"] if self._limit else [])])
        if len(line) <= width:
            return line
        return "  ".join([f"{self.done:,}/{self._total:,}", speed, errors, left, self._limit or ""]).rstrip()

    def _rate(self) -> float:
        """Return the images per second of the last seconds."""
        now = self._clock()
        if now - self._samples[-1][0] >= _SECONDS_BETWEEN_SAMPLES:
            self._samples.append((now, self.done))
            self._limit = self._limited_by()
        began, before = self._samples[0]
        return (self.done - before) / (now - began) if now > began else 0.0

    @property
    def share(self) -> float:
        """The part of the images that is done."""
        return min(1.0, self.done / self._total) if self._total else 1.0


def track_rows(rows: RowsInProgress, total: int) -> Iterator[ScoredRow]:
    """Yield the rows, and show how far the work is: a line on a terminal, else a line from time to time.

    Args:
        rows: The rows.
        total: Their number.
    """
    from rich.console import Console

    if settings.quiet:
        yield from rows
        return
    console = Console(file=sys.stderr)
    progress = ScoringProgress(total, rows.limited_by)
    shown = _on_terminal(rows, progress, console.width) if console.is_terminal else _in_lines(rows, progress)
    yield from shown


def track_with_errors(rows: RowsInProgress, total: int) -> Iterator[ScoredRow]:
    """Show the progress as `track_rows` does, and print the error of each row, where no table will contain it."""
    for row in track_rows(rows, total):
        if row.error is not None:
            path = printable(row.path)
            print_warning(row.error if path in row.error else f"{path}: {row.error}")
        yield row


def _on_terminal(rows: Iterable[ScoredRow], progress: ScoringProgress, width: int) -> Iterator[ScoredRow]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def text() -> Text:
        filled = round(progress.share * _BAR)
        bar = f"{'━' * filled}{' ' * (_BAR - filled)} " if width >= _WIDE else ""
        return Text(f"{bar}{progress.line(width)}", overflow="ellipsis", no_wrap=True)

    # With redirect_stdout, results printed meanwhile would go to stderr, even where stdout is a file.
    live = Live(text(), console=Console(file=sys.stderr), transient=True, redirect_stdout=False, auto_refresh=False)
    with live:
        updated = time.monotonic()
        for row in rows:
            progress.add(row)
            yield row
            if time.monotonic() - updated >= _SECONDS_BETWEEN_UPDATES:
                updated = time.monotonic()
                live.update(text(), refresh=True)


def _in_lines(rows: Iterable[ScoredRow], progress: ScoringProgress) -> Iterator[ScoredRow]:
    printed = time.monotonic()
    for row in rows:
        progress.add(row)
        yield row
        if time.monotonic() - printed >= _SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            print_note(progress.line())


def _clock_text(seconds: float) -> str:
    """Return a time as `0:14` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
