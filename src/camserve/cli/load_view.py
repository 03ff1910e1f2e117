"""How `camserve load` shows a measurement: a live line, a table, and files."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from camserve.atomic import replace_file
from camserve.cli.console import print_note, print_warning, settings
from camserve.cli.tables import print_table
from camserve.errors import CamserveError
from camserve.text import count, printable, reason

if TYPE_CHECKING:
    from camserve.clients import LoadPoint, LoadProgress, LoadResult

__all__ = ["LoadDisplay", "points_rows", "print_points", "write_points"]

_NONE = "-"
_LENGTHEN = "Lengthen --window, or raise --max-windows"
_REDUCE = "Reduce the load until no request fails, or publish the model with a longer --queue"
_MOST_REASONS = 3


class LoadDisplay:
    """Shows each window: a line that is replaced on a terminal, else a line for each.

    Args:
        max_windows: The most windows of a load.
    """

    def __init__(self, max_windows: int) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr, quiet=settings.quiet)
        self._status = self._console.status("")
        self._most = max_windows

    def __enter__(self) -> LoadDisplay:
        return self

    def __call__(self, progress: LoadProgress) -> None:
        """Show a window."""
        from rich.text import Text

        line = self._line(progress)
        if self._console.is_terminal and not settings.quiet:
            self._status.update(Text(line, overflow="ellipsis", no_wrap=True))
            self._status.start()
        else:
            print_note(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def _line(self, progress: LoadProgress) -> str:
        if progress.window is None:
            return f"{progress.level}: warm-up"
        window = progress.window
        errors = f" | {count(window.errors, 'error')}" if window.errors else ""
        latency = "no answer" if not window.answers else f"p99 {_ms(window.p99)} ms"
        return (
            f"{progress.level}: window {progress.number} of at most {self._most} | "
            f"{_rate(window.images_per_second)} images/s | {latency}{errors}"
        )


def print_points(result: LoadResult) -> None:
    """Print the table of a measurement, and warnings about what limits what it means."""
    kind = "Concurrency " if result.points[0].level.concurrency is not None else "Requests/s due "
    headings = (kind, "Images/s ", "± 95 % ", "p50 ms ", "p90 ", "p95 ", "p99 ", "Max ", "Mean ", "Queue ", "Compute ",
                "Client CPU ", "Errors ", "Stable")  # fmt: skip
    optional = ("Max ", "p95 ", "p90 ", "± 95 % ", "Client CPU ", "Compute ", "Queue ", "Mean ")
    print_table(headings, [_cells(point) for point in result.points], optional=optional)
    for point in result.points:
        _warn(point, result)
    if result.same_host and result.cores <= 8:
        print_note(
            f"Server and load generator share the {count(result.cores, 'core')} of this host: "
            f"the load generator took up to {max(point.host_share for point in result.points):.0%} of them"
        )


def _cells(point: LoadPoint) -> list[str]:
    latency, server = point.latency, point.server
    load = point.level.concurrency if point.level.rate is None else f"{point.level.rate:g}"
    low, high = point.interval
    return [
        str(load),
        _rate(point.images_per_second),
        _NONE if math.isinf(high) else _rate((high - low) / 2),
        *(_ms(each) for each in (latency.p50, latency.p90, latency.p95, latency.p99, latency.maximum, latency.mean)),
        _NONE if server is None else _ms(server.queue),
        _NONE if server is None else _ms(server.compute),
        f"{point.client_cpu:.0%}",
        f"{point.error_count:,}",
        "yes" if point.stable else "no",
    ]


def _warn(point: LoadPoint, result: LoadResult) -> None:
    """Print what a reader of a row must know."""
    if point.stopped is not None:
        print_warning(f"{point.level}: {point.stopped}")
    elif point.errors:
        reasons = sorted(point.errors.items(), key=lambda item: -item[1])
        shown = "; ".join(
            f"{number:,} of {reason}" if len(reasons) > 1 else reason for reason, number in reasons[:_MOST_REASONS]
        )
        print_warning(f"{point.level}: {count(point.error_count, 'request')} failed, not counted as answers: {shown}")
    if not point.stable and point.stopped is None:
        print_warning(
            f"{point.level}: not stable after {count(len(point.windows), 'window')}; the row is the mean of all of "
            f"them. {_REDUCE if point.errors else _LENGTHEN}"
        )
    if point.late:
        print_warning(
            f"{point.level}: {count(point.late, 'request')} started more than 10 ms late; latencies count from the "
            "scheduled time. Raise --processes, or run camserve load on another host"
        )
    if point.level.rate is not None and point.stopped is None and _falls_behind(point, result):
        print_warning(
            f"{point.level}: the server answered {point.requests_per_second:.4g} requests/s, less than were due; "
            f"{count(point.unanswered, 'request')} waited at the end, the oldest for {point.oldest:.2g} s"
        )
    if point.client_limited:
        print_warning(
            f"{point.level}: the load generator used {point.client_cpu:.0%} of a core per process and may be the "
            f"limit. Raise --processes above {result.processes}, or run it on another host"
        )


def _falls_behind(point: LoadPoint, result: LoadResult) -> bool:
    due = point.level.rate or 0.0
    seconds = point.answers / point.requests_per_second if point.requests_per_second else math.inf
    return point.requests_per_second < due - 3 * math.sqrt(due / seconds) and point.unanswered > result.processes


def points_rows(result: LoadResult) -> list[dict[str, object]]:
    """Return one row for each load, with times in milliseconds."""
    rows: list[dict[str, object]] = []
    for point in result.points:
        times = {f"{name}_ms": _milliseconds(value) for name, value in vars(point.latency).items()}
        server = {"queue_ms": None, "compute_ms": None}
        if point.server is not None:
            server = {f"{name}_ms": _milliseconds(value) for name, value in vars(point.server).items()}  # type: ignore[misc]
        rows.append(
            {
                "model": result.model,
                "version": result.version,
                "batch": result.batch,
                "concurrency": point.level.concurrency,
                "rate": point.level.rate,
                "images_per_second": round(point.images_per_second, 3),
                "low": round(point.interval[0], 3),
                "high": None if math.isinf(point.interval[1]) else round(point.interval[1], 3),
                "requests_per_second": round(point.requests_per_second, 3),
                **times,
                **server,
                "answers": point.answers,
                "errors": point.error_count,
                "late": point.late,
                "unanswered": point.unanswered,
                "client_cpu": round(point.client_cpu, 3),
                "client_limited": point.client_limited,
                "stable": point.stable,
                "windows": len(point.windows),
                "stopped": point.stopped,
            }
        )
    return rows


def write_points(result: LoadResult, path: Path) -> None:
    """Write the table: CSV, or JSON with every window.

    Raises:
        CamserveError: If it cannot be written.
    """
    text = json.dumps(result.document(), indent=2) + "\n" if path.suffix == ".json" else _csv(result)
    try:
        with replace_file(path) as file:
            file.stream.write(text.encode())
    except OSError as error:
        raise CamserveError(
            f"the table {printable(path)} cannot be written: {reason(error, path)}",
            hint="Pass a file in a writable folder to --output",
        ) from None


def _csv(result: LoadResult) -> str:
    text = io.StringIO(newline="")
    rows = points_rows(result)
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _milliseconds(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds * 1000, 4)


def _ms(seconds: float) -> str:
    return _NONE if math.isnan(seconds) else f"{seconds * 1000:,.1f}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"
