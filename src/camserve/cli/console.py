"""What the command line says and where: results to stdout, all else to stderr, and how it went as its exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from types import TracebackType
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table
from rich.text import Text

from camserve.text import printable

__all__ = ["Phases", "exit_code", "fail", "note", "print_json", "print_table", "say", "track"]

_WIDTH_OF_FILES = 160
_SECONDS_BETWEEN_LINES = 10.0
_DONE, _ALL_FAILED, _SOME_FAILED = 0, 1, 3

Item = TypeVar("Item")


def say(line: str) -> None:
    """Prints a line of the result to stdout."""
    sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Prints a line that is no part of the result to stderr."""
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()


def fail(message: str, hint: str | None = None) -> None:
    """Prints an error and what to do about it to stderr; a message may have lines of its own, such as a log's end."""
    for number, line in enumerate(message.splitlines() or [""]):
        note(f"error: {line}" if number == 0 else f"  {line}")
    if hint is not None:
        note(f"hint: {hint}")


def print_json(value: Any) -> None:
    """Prints a JSON document to stdout, in ASCII, so that any file name survives."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table to stdout; columns whose name ends in a blank are figures and stand on the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.strip(), justify="right" if column.endswith(" ") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    width = None if sys.stdout.isatty() else _WIDTH_OF_FILES
    Console(file=sys.stdout, width=width).print(table)


def track(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Hands the items on and shows on stderr how many have passed: a bar on a terminal, else a line now and then."""
    console = Console(file=sys.stderr)
    if console.is_terminal:
        columns = (*Progress.get_default_columns()[1:], MofNCompleteColumn())
        # Redirected, what is printed to stdout meanwhile would land on stderr, even where stdout is a file.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
            yield from progress.track(items, total=total)
        return
    told = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if time.monotonic() - told >= _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            note(f"{number:,} of {total:,}")


def exit_code(failed: int, total: int) -> int:
    """How work on many images went: 0 all have their answer, 3 some have an error instead, 1 all have."""
    if not failed:
        return _DONE
    return _ALL_FAILED if failed == total else _SOME_FAILED


class Phases:
    """Shows which phase a long work is in, and since when, on stderr: a spinner on a terminal, else a line per phase.

    While it is open, what libraries print to stdout goes to stderr: stdout is for the result alone.

    Example:
        >>> with Phases() as phases:
        ...     phases("fold BatchNorm")
    """

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._status = self._console.status("")
        self._resources = ExitStack()
        self._began = time.monotonic()
        self._phase: tuple[str, float] | None = None

    def __enter__(self) -> Phases:
        self._resources.enter_context(redirect_stdout(sys.stderr))
        return self

    def __call__(self, phase: str) -> None:
        """Begins a phase and so ends the one before."""
        self._end_phase()
        self._phase = (printable(phase), time.monotonic())
        if self._console.is_terminal:
            self._status.update(Text(f"{self._phase[0]} …"))
            self._status.start()
        else:
            note(f"[{time.monotonic() - self._began:6.1f} s] {phase}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_phase()
        self._status.stop()
        self._resources.close()

    def _end_phase(self) -> None:
        if self._phase is not None and self._console.is_terminal:
            name, began = self._phase
            self._console.print(Text(f"{time.monotonic() - began:7.1f} s  {name}"))
        self._phase = None
