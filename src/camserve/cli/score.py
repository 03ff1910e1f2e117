"""`camserve score`: folders of images in, one table out."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from camserve.cli import client_options
from camserve.cli.console import exit_code, note, print_json, say, track
from camserve.cli.grouped import GroupedCommand
from camserve.cli.options import Json
from camserve.errors import UsageError

__all__ = ["register"]

_EPILOG = "Example:  camserve score photos/ --model resnet50 --output answers.csv"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(cls=GroupedCommand, epilog=_EPILOG)(score)


def score(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Image files, and folders to search for images.", show_default=False),
    ],
    model: client_options.Model,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Table to write, ending in .csv or .parquet.")],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many classes each row names.")] = 5,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="How many requests are under way at once.")] = 8,
    as_json: Json = False,
    version: client_options.Version = "",
    url: client_options.Url = "localhost:8001",
    timeout: client_options.Timeout = 30.0,
    tls_ca: client_options.TlsCa = None,
    tls_certificate: client_options.TlsCertificate = None,
    tls_key: client_options.TlsKey = None,
    token_file: client_options.TokenFile = None,
) -> None:
    """Classify many images into a table. Each gets a row, with its classes or its error.

    Exit codes: 0 all images have their answer; 3 some have an error instead; 1 all have.
    """
    from camserve.clients import check_table, find_images, write_table
    from camserve.clients import score as score_images

    _check_exist(inputs)
    check_table(output)
    # Counted first rather than listed: a million paths need not be held to know how many there are.
    total = sum(1 for _ in find_images(inputs))
    began = time.monotonic()
    with client_options.open_classifier(
        url,
        model,
        version=version,
        timeout=timeout,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
    ) as classifier:
        top = min(top, len(classifier.labels))
        rows = score_images(classifier, find_images(inputs), top=top, concurrency=concurrency)
        summary = write_table(output, track(rows, total), top=top)
    seconds = time.monotonic() - began
    if as_json:
        figures = {"rows": summary.rows, "errors": summary.errors, "seconds": round(seconds, 3)}
        print_json({"output": str(output), **figures})
    else:
        say(f"{summary.rows:,} images in {seconds:.1f} s ({summary.rows / seconds:,.0f} a second): {output}")
    if summary.errors:
        note(f"{summary.errors:,} of {summary.rows:,} rows carry an error instead of classes, see the column 'error'")
        raise typer.Exit(exit_code(summary.errors, summary.rows))


def _check_exist(inputs: list[Path]) -> None:
    """A misspelt name must not replace the table of an earlier run by one without answers."""
    for given in inputs:
        if not os.path.exists(given):  # noqa: PTH110  (Path.exists raises where a folder on the way cannot be read)
            raise UsageError(
                f"{given} does not exist, or cannot be reached", hint="Check the path; nothing was written"
            )
