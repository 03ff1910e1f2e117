"""`camserve load`: how fast a server answers, and how long each answer takes, at one or several loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from camserve.cli import client_options
from camserve.cli.console import exit_code, print_json, print_warning
from camserve.cli.help_layout import Command
from camserve.cli.shared_options import Json, check_choice, one_of
from camserve.errors import UsageError
from camserve.text import count

if TYPE_CHECKING:
    from camserve.clients import LoadOptions, LoadPoint, LoadResult
    from camserve.clients.load.options import Arrivals

__all__ = ["register"]

_EPILOG = """Example:  camserve load --model resnet50 --concurrency 1,4,16

Example:  camserve load --model resnet50 --rate 20,40,80 --window 5 --output load.csv

Example:  camserve load --model resnet50 --url gpu1:8001 --concurrency 64 --batch 8 --processes 4 --json

With --concurrency, each answer is followed by the next request (closed loop): what a server can do at most, and how
long requests of so many callers take. With --rate, requests start by a schedule, whatever the answers do (open loop):
what independent callers experience, stalls of the server included. docs/load.md explains both.
"""
_ARRIVALS = ("poisson", "constant")
_LOADS, _MEASUREMENT = "Loads", "Measurement"
_SUFFIXES = (".csv", ".json")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(load)


def load(
    model: client_options.Model,
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N...]",
            rich_help_panel=_LOADS,
            help="Requests that are always in flight, measured in turn.  [default: 1]",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="R[,R...]",
            rich_help_panel=_LOADS,
            help="Requests to start per second, measured in turn, instead of --concurrency.",
            show_default=False,
        ),
    ] = None,
    arrivals: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            rich_help_panel=_LOADS,
            help=f"When requests of --rate start: one of {', '.join(_ARRIVALS)} (at random, or at equal intervals).",
            autocompletion=one_of(_ARRIVALS),
        ),
    ] = "poisson",
    batch: Annotated[int, typer.Option(metavar="N", rich_help_panel=_LOADS, help="Images per request.")] = 1,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=_LOADS,
            help="Send images of this file or folder, at most 64; may be repeated.  [default: random pixels]",
            show_default=False,
        ),
    ] = None,
    outputs: Annotated[
        str, typer.Option(metavar="NAME[,NAME...]", rich_help_panel=_LOADS, help="Outputs to request.")
    ] = "probabilities",
    shared_memory: Annotated[
        bool,
        typer.Option(
            "--shared-memory",
            rich_help_panel=_LOADS,
            help="Pass images in shared memory; the server must be on this host and allow it.",
        ),
    ] = False,
    window: Annotated[
        float, typer.Option(metavar="SECONDS", rich_help_panel=_MEASUREMENT, help="Length of a window.")
    ] = 2.0,
    max_windows: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=_MEASUREMENT, help="Windows after which a load is reported as not stable."
        ),
    ] = 10,
    stability: Annotated[
        str,
        typer.Option(
            metavar="PERCENT",
            rich_help_panel=_MEASUREMENT,
            help="Largest difference of the rates, and of the mean latencies, of three successive windows from their "
            "mean, at which a load is stable.",
        ),
    ] = "5%",
    warm_up: Annotated[
        float,
        typer.Option(metavar="SECONDS", rich_help_panel=_MEASUREMENT, help="Load before the first window."),
    ] = 1.0,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_MEASUREMENT,
            help="Processes that send requests.  [default: half of the cores, at most 8]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the table into this file: .csv, or .json with every window."),
    ] = None,
    version: client_options.Version = "",
    url: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", rich_help_panel=client_options.PANEL, help="gRPC address of the server."),
    ] = "localhost:8001",
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            rich_help_panel=client_options.PANEL,
            help="End a measurement if the server answers nothing for so long.",
        ),
    ] = 30.0,
    tls_ca: client_options.TlsCa = None,
    tls_certificate: client_options.TlsCertificate = None,
    tls_key: client_options.TlsKey = None,
    token_file: client_options.TokenFile = None,
) -> None:
    """Measure how fast a server answers under load, and how long each answer takes.

    A load is measured in windows until three successive ones agree, after a warm-up. Failed requests are counted by
    reason, and never as answers.

    Ctrl-C keeps the loads that were measured so far.

    Exit codes: 0 success, even if a load is not stable; 3 some measurements ended early, because no request was
    answered any more; 1 all of them.
    """
    check_choice(arrivals, _ARRIVALS, "--arrivals")
    if output is not None and output.suffix not in _SUFFIXES:
        raise UsageError(
            f"--output must end in {' or '.join(_SUFFIXES)}, got '{output}'", hint="Pass for example --output load.csv"
        )
    numbers = [int(each) for each in _numbers(concurrency, "--concurrency", whole=True)]
    rates, largest_difference = _numbers(rate, "--rate"), _share(stability)
    from camserve.clients import ConnectionOptions, LoadOptions

    options = LoadOptions(
        concurrency=numbers,
        rate=rates,
        arrivals=cast("Arrivals", arrivals),
        batch=batch,
        outputs=[name.strip() for name in outputs.split(",") if name.strip()],
        window=window,
        max_windows=max_windows,
        stability=largest_difference,
        warm_up=warm_up,
        processes=processes,
        images=_found(images or []),
        version=version,
        connection=ConnectionOptions(
            timeout=timeout,
            shared_memory=shared_memory,
            **client_options.security(tls_ca, tls_certificate, tls_key, token_file),
        ),
    )
    result = _measured(url, model, options, lambda partial: _show(partial, output, as_json=as_json))
    failed = sum(point.stopped is not None or not point.answers for point in result.points)
    raise typer.Exit(exit_code(failed, len(result.points)))


def _measured(url: str, model: str, options: LoadOptions, show: Callable[[LoadResult], None]) -> LoadResult:
    """Measure every load and show the result; at a signal, that of the loads whose measurement was complete."""
    from camserve.cli.load_view import LoadDisplay
    from camserve.cli.signals import Signaled
    from camserve.clients.load.measure import LoadMeter

    points: list[LoadPoint] = []
    with LoadMeter(url, model, options) as meter:
        try:
            with LoadDisplay(options.max_windows) as display:
                for level in options.levels:
                    points.append(meter.measure(level, on_window=display))
        except Signaled:
            if points:
                print_warning(f"only {count(len(points), 'load')} of {len(options.levels)} measured")
                show(meter.result(points))
            raise
    result = meter.result(points)
    show(result)
    return result


def _show(result: LoadResult, output: Path | None, *, as_json: bool) -> None:
    """Write a result into the file, and print it."""
    from camserve.cli.load_view import print_points, write_points

    if output is not None:
        write_points(result, output)
    if as_json:
        print_json(result.document())
    else:
        print_points(result)


def _numbers(text: str | None, option: str, *, whole: bool = False) -> list[float]:
    """Return numbers that are separated by commas.

    Raises:
        UsageError: If one is no number.
    """
    try:
        return [int(each) if whole else float(each) for each in text.split(",")] if text is not None else []
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise UsageError(
            f"{option} must be {kind} separated by commas, got {text!r}", hint=f"Pass for example {option} 1,4,16"
        ) from None


def _share(text: str) -> float:
    """Return a percentage such as `5%` as a share."""
    try:
        return float(text.removesuffix("%")) / 100
    except ValueError:
        raise UsageError(
            f"--stability must be a percentage, got {text!r}", hint="Pass for example --stability 5%"
        ) from None


def _found(paths: list[Path]) -> list[str]:
    """Return the first images of files and folders."""
    if not paths:
        return []
    from itertools import islice

    from camserve.clients import find_images

    return [str(path) for path in islice(find_images([str(path) for path in paths]), 64)]
