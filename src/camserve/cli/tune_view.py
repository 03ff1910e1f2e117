"""How `camserve tune` shows a search: a live line, a table, and files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from camserve.atomic import replace_file
from camserve.cli.console import print_line, print_note, print_warning, settings
from camserve.cli.tables import print_table
from camserve.errors import CamserveError, UsageError
from camserve.text import count, printable, reason

if TYPE_CHECKING:
    from camserve.tune.result import TunedCandidate, TunedPoint, TuneResult
    from camserve.tune.rounds import TuneProgress

__all__ = ["TuneDisplay", "print_result", "write_result"]

_OPTIONS, _RESULT, _PLOT = "options.toml", "result.json", "plot.png"
_MOST_ROWS = 12
_SPINNER = 3
"""Columns of the spinner before the line."""


class TuneDisplay:
    """Shows each reading: a line that is replaced on a terminal, else a line for each stage."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr, quiet=settings.quiet)
        self._status = self._console.status("")
        self._stage = ""

    def __enter__(self) -> TuneDisplay:
        self._show("start the embedded Triton")
        return self

    def __call__(self, progress: TuneProgress) -> None:
        """Show a reading."""
        stage = f"{progress.stage}: {count(progress.competing, 'candidate')}"
        best = f"best so far {_rate(progress.best)} images/s" if progress.best else "none within the limit yet"
        if not self._live and stage != self._stage:
            print_note(f"{stage} | {best} | at most {max(0.0, progress.left):.0f} s left")
        self._stage = stage
        if self._live:
            candidate = progress.candidate
            self._show(
                f"{stage} | {best} | {max(0.0, progress.left):.0f} s left | {candidate.backend} {candidate.precision} "
                f"{candidate.instances}x{candidate.threads} batch {candidate.max_batch_size} "
                f"at {progress.concurrency}: {_rate(progress.reading.rate)}"
            )

    def stop(self) -> None:
        """Remove the line."""
        self._status.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _live(self) -> bool:
        return self._console.is_terminal and not settings.quiet

    def _show(self, line: str) -> None:
        from rich.text import Text

        if self._live:
            text = Text(line)
            text.truncate(max(1, self._console.width - _SPINNER), overflow="ellipsis")  # a status wraps what is longer
            self._status.update(text)
            self._status.start()


def write_result(result: TuneResult, folder: Path) -> Path | None:
    """Write the evidence, and the options of the winner.

    Returns:
        The file of options; None without a winner.

    Raises:
        CamserveError: If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(folder / _RESULT) as file:
            file.stream.write((json.dumps(result.to_json(), indent=2) + "\n").encode())
    except OSError as error:
        raise CamserveError(
            f"the result cannot be written into {printable(folder)}: {reason(error, folder)}",
            hint="Pass a writable folder to --out",
        ) from None
    _write_plot(result, folder / _PLOT)
    if result.winner is None or result.winner_point is None:
        (folder / _OPTIONS).unlink(missing_ok=True)  # that of an earlier run is not this run's
        return None
    from camserve.serving import write_option_file

    write_option_file(
        folder / _OPTIONS,
        backend=result.winner.backend,
        options=result.winner.options,
        comments=_comments(result, result.winner, result.winner_point),
    )
    return folder / _OPTIONS


def _write_plot(result: TuneResult, path: Path) -> None:
    from camserve.tune.plot import plot

    if not any(candidate.points for candidate in result.candidates):
        return
    try:
        plot(result, path)
    except UsageError as error:
        print_note(f"No plot was written: {error.message}. {error.hint}")


def _comments(result: TuneResult, winner: TunedCandidate, point: TunedPoint) -> list[str]:
    from datetime import datetime
    from platform import node

    from camserve.cores import host_cores

    return [
        f"camserve tune on {node()}, {count(host_cores(), 'core')}, {datetime.now().astimezone():%Y-%m-%d}:",
        f"{_reached(result, point)}; {winner.precision} bundle {winner.bundle}",
    ]


def print_result(result: TuneResult, options: Path | None) -> None:
    """Print the table, the winner, how to publish it, and what limits what it means."""
    _print_candidates(result)
    failed = [each for each in result.candidates if each.dropped and each.dropped.startswith("failed")]
    for candidate in failed:
        print_warning(f"{_name(candidate)} {candidate.dropped}")
    for each in result.left_out:
        print_note(f"Left out: {each}")
    for note in result.notes:
        print_warning(note)
    if result.winner is None or result.winner_point is None:
        lowest = result.lowest_p99
        reached = "" if lowest is None else f"; the lowest is {lowest[1].p99_ms:.3g} ms, of {_name(lowest[0])}"
        print_line(f"No candidate holds a p99 of {result.p99_limit_ms:g} ms{reached}")
        return
    winner, point = result.winner, result.winner_point
    print_line(f"Winner:   {_name(winner)}")
    print_line(f"          {_reached(result, point)}")
    if options is not None:
        from camserve.tune.result import publish_command

        print_line(f"Evidence: {printable(options.parent)} ({', '.join(_files(options.parent))})")
        print_line(f"Next:     {publish_command(winner, options)}")


def _files(folder: Path) -> list[str]:
    return [name for name in (_OPTIONS, _RESULT, _PLOT) if (folder / name).exists()]


def _print_candidates(result: TuneResult) -> None:
    headings = ("Backend", "Precision", "Instances ", "Threads ", "Batch ", "Delay µs ", "Batch sizes", "In flight ",
                "Images/s ", "± 95 % ", "p50 ms ", "p99 ms ", "Bundle")  # fmt: skip
    measured = [each for each in result.candidates if each.points]
    ranked = sorted(measured, key=lambda each: (each is not result.winner, *_rank(each, result.p99_limit_ms)))
    rows = [_cells(each, result) for each in ranked[:_MOST_ROWS]]
    optional = ("Bundle", "p50 ms ", "± 95 % ", "Batch sizes", "Delay µs ", "Threads ", "Instances ")
    print_table(headings, rows, optional=optional)
    if len(ranked) > _MOST_ROWS:
        print_note(f"{count(len(ranked) - _MOST_ROWS, 'further candidate')} in {_RESULT}")


def _rank(candidate: TunedCandidate, limit: float | None) -> tuple[bool, float]:
    point = candidate.best_point(limit)
    lowest = min(each.p99_ms for each in candidate.points)
    return (point is None, lowest if point is None else -point.images_per_second)


def _cells(candidate: TunedCandidate, result: TuneResult) -> Sequence[str]:
    point = result.winner_point if candidate is result.winner else candidate.best_point(result.p99_limit_ms)
    point = point or min(candidate.points, key=lambda each: each.p99_ms)
    low, high = point.interval
    options = candidate.options
    return [
        candidate.backend,
        candidate.precision,
        *(str(options[name]) for name in ("instances", "threads", "max_batch_size", "max_queue_delay_us")),
        _text(options["batch_sizes"]),
        str(point.concurrency),
        _rate(point.images_per_second),
        "-" if math.isinf(high) else _rate((high - low) / 2),
        f"{point.p50_ms:,.1f}",
        f"{point.p99_ms:,.1f}",
        Path(candidate.bundle).name,
    ]


def _name(candidate: TunedCandidate) -> str:
    """Return what a candidate is, in one line."""
    options = candidate.options
    sizes = _text(options["batch_sizes"])
    return (
        f"{candidate.backend} {candidate.precision} ({Path(candidate.bundle).name}), "
        f"{count(options['instances'], 'instance')} of {count(options['threads'], 'thread')}, batches of at most "
        f"{options['max_batch_size']}, delay {options['max_queue_delay_us']} µs"
        f"{f', batch sizes {sizes}' if sizes != 'auto' else ''}"
    )


def _reached(result: TuneResult, point: TunedPoint) -> str:
    low, high = point.interval
    interval = "" if math.isinf(high) else f" ± {_rate((high - low) / 2)}"
    limit = "" if result.p99_limit_ms is None else f" (limit {result.p99_limit_ms:g} ms)"
    return (
        f"{_rate(point.images_per_second)}{interval} images/s with {point.concurrency} in flight, "
        f"p50 {point.p50_ms:.3g} ms, p99 {point.p99_ms:.3g} ms{limit}"
    )


def _text(value: Any) -> str:
    """Return the value of an option as `--set` takes it."""
    from camserve.serving.config.named_options import format_value as text

    return text(value)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"
