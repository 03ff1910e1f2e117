"""`camserve tune`: which backend, precision and serving options answer the most images per second on this host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli.console import print_json
from camserve.cli.help_layout import Command
from camserve.cli.shared_options import Json

if TYPE_CHECKING:
    from camserve.tune.result import TuneResult

__all__ = ["register"]

_EPILOG = """Example:  camserve tune bundles/pets-fp32 bundles/pets-int8 --p99 50

Example:  camserve tune bundles/pets --concurrency 16 --time 120 --out tuned

Then publish the winner, with the command that is printed:

Example:  camserve publish bundles/pets-int8 --repository model_repository --options tuned/options.toml

Run it when nothing else runs on this host. docs/tuning.md explains what is measured, and when to measure again.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(tune)


def tune(
    bundles: Annotated[
        list[Path],
        typer.Argument(metavar="BUNDLE_DIR", help="Bundles of one network, such as one for each precision."),
    ],
    p99: Annotated[
        float | None,
        typer.Option(
            "--p99",
            metavar="MS",
            help="Limit of the 99th percentile of latencies in milliseconds, which the winner holds.  [default: none]",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Requests in flight, of one image each.  [default: how many give the most images per second]",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--time", metavar="SECONDS", help="Measure at most so long; the best until then is the winner."),
    ] = 300.0,
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder for options.toml, result.json and, with matplotlib, plot.png.", file_okay=False
        ),
    ] = Path("tuned"),
    as_json: Json = False,
) -> None:
    """Find the serving options with the most images per second on this host.

    Serves the bundles with the embedded Triton on the CPU and measures backend, instances, threads, largest batch,
    delay and fixed batch sizes. Candidates that are certainly slower are dropped early. Those that fail to load or give
    other answers than at export are listed with the reason. Writes the winner as a file for camserve publish --options.

    Exit codes: 0 success; 1 no candidate holds the limit, or nothing could be measured. Ctrl-C writes what was
    measured so far.
    """
    from camserve.cli.signals import Signaled
    from camserve.cli.tune_view import TuneDisplay
    from camserve.tune.run import Tuning

    with TuneDisplay() as display:
        tuning = Tuning(bundles, limit=p99, concurrency=concurrency, seconds=seconds, report=display)
        try:
            result = tuning.run()
        except Signaled:
            display.stop()
            interrupted = tuning.result()
            if interrupted.candidates:
                _show(interrupted, out, as_json=as_json)
            raise
    _show(result, out, as_json=as_json)
    raise typer.Exit(0 if result.winner is not None else 1)


def _show(result: TuneResult, out: Path, *, as_json: bool) -> None:
    """Write a result into a folder and print it."""
    from camserve.cli.tune_view import print_result, write_result

    written = write_result(result, out)
    if as_json:
        print_json(result.to_json())
    else:
        print_result(result, written)
