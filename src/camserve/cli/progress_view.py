"""The progress of long work, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, redirect_stdout
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from camserve.cli.console import print_note, settings
from camserve.text import printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Phases", "track"]

_SECONDS_BETWEEN_LINES = 10.0

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield the items, and show how many were processed: a bar on a terminal, else a line from time to time."""
    from rich.console import Console

    console = Console(file=sys.stderr)
    if settings.quiet:
        yield from items
    elif console.is_terminal:
        from rich.progress import MofNCompleteColumn, Progress

        columns = (*Progress.get_default_columns()[1:], MofNCompleteColumn())
        # With redirect_stdout, results printed meanwhile would go to stderr, even where stdout is a file.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
            yield from progress.track(items, total=total)
    else:
        printed = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - printed >= _SECONDS_BETWEEN_LINES:
                printed = time.monotonic()
                print_note(f"{number:,} of {total:,}")


class Phases:
    """Show the current phase and the time since the start: a spinner on a terminal, else a line per phase.

    While it is open, what libraries print to stdout goes to stderr, because stdout is for the result.

    Example:
        >>> with Phases() as phases:
        ...     phases("fold BatchNorm")
    """

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr, quiet=settings.quiet)
        self._status = self._console.status("")
        self._resources = ExitStack()
        self._started = time.monotonic()
        self._phase: tuple[str, float] | None = None

    def __enter__(self) -> Phases:
        self._resources.enter_context(redirect_stdout(sys.stderr))
        return self

    def __call__(self, phase: str) -> None:
        """Begin a phase, which ends the one before."""
        self._end_phase()
        self._phase = (printable(phase), time.monotonic())
        if settings.quiet:
            return
        if self._console.is_terminal:
            self._status.update(_literal(f"{self._phase[0]} …"))
            self._status.start()
        else:
            print_note(f"[{time.monotonic() - self._started:6.1f} s] {phase}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_phase()
        self._status.stop()
        self._resources.close()

    def _end_phase(self) -> None:
        if self._phase is not None and self._console.is_terminal:
            name, started = self._phase
            self._console.print(_literal(f"{time.monotonic() - started:7.1f} s  {name}"))
        self._phase = None


def _literal(text: str) -> Text:
    """Return the text for Rich, with its brackets unchanged."""
    from rich.text import Text

    return Text(text)
