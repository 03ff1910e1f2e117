"""`camserve evaluate`: how good the answers of a table are, and how two tables differ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from camserve.cli.console import exit_code
from camserve.cli.help_layout import Command
from camserve.cli.reading_options import MAX_BYTES, MAX_PIXELS, Exif, MaxBytes, MaxPixels
from camserve.cli.shared_options import Json, check_choice, one_of

__all__ = ["register"]

_MATCHES = ("label", "class")
_PAGE = "Page"
_EPILOG = """Example:  camserve evaluate answers.csv

Example:  camserve evaluate answers.csv --truth labels.csv --json

Example:  camserve evaluate answers.csv --html answers.html

Example:  camserve evaluate fp32.parquet --against int8.parquet
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(evaluate)


def evaluate(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="Table of camserve score: a .csv, .jsonl or .parquet file, or a folder of Parquet files.",
            show_default=False,
        ),
    ],
    truth: Annotated[
        str,
        typer.Option(
            metavar="folder|FILE",
            help="True labels: the name of each image's folder, or a CSV file with the columns path and label. A path "
            "in it may be the end of one in the table: cat/1.jpg matches photos/cat/1.jpg.",
        ),
    ] = "folder",
    truth_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column of the table with the true labels.", show_default=False),
    ] = None,
    match: Annotated[
        str,
        typer.Option(
            metavar="label|class",
            help="Whether true labels are labels, or numbers of classes.",
            autocompletion=one_of(_MATCHES),
        ),
    ] = "label",
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Compare with this table of the same images: which answers changed, and a sign test.",
            show_default=False,
        ),
    ] = None,
    first: Annotated[
        int, typer.Option(min=0, metavar="N", help="Number of mistakes, or of changed answers, to list.")
    ] = 10,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="PAGE",
            help="Also write one page with the metrics and the images, which can be filtered by class, answer and "
            "probability. It needs no network.",
            show_default=False,
            rich_help_panel=_PAGE,
        ),
    ] = None,
    html_images: Annotated[
        int | None,
        typer.Option(
            "--html-images",
            min=0,
            metavar="N",
            help="The most rows that the page shows (default: 500). Of more, half are the worst mistakes, a tenth rows "
            "without an answer or true label, the others correct answers of each class.",
            show_default=False,
            rich_help_panel=_PAGE,
        ),
    ] = None,
    images_from: Annotated[
        Path | None,
        typer.Option(
            "--images-from",
            metavar="DIR",
            help="Folder where relative paths of the table start (default: the current folder).",
            show_default=False,
            rich_help_panel=_PAGE,
        ),
    ] = None,
    exif: Exif = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    max_bytes: MaxBytes = MAX_BYTES,
    as_json: Json = False,
) -> None:
    """Compare the answers of a table with the true labels: accuracy, confusion matrix, calibration, worst mistakes.

    Rows with an error, and rows without a true label, are counted, but not part of any metric.

    Exit codes: 0 success; 3 some rows could not be evaluated; 2 none could be.
    """
    from typing import cast

    from camserve.cli.comparison_view import show_comparison
    from camserve.cli.evaluation_page import PageOptions
    from camserve.cli.evaluation_view import show_evaluation
    from camserve.clients import compare_tables
    from camserve.clients import evaluate as evaluate_table
    from camserve.clients.evaluation.answers import Match

    page = PageOptions(html, html_images, images_from, exif, max_pixels, max_bytes)
    page.check(against)
    check_choice(match, _MATCHES, "--match")
    by = cast(Match, match)
    if against is None:
        evaluation = evaluate_table(table, truth=truth, truth_column=truth_column, match=by, mistakes=first)
        show_evaluation(evaluation, as_json=as_json, page=page.write(evaluation))
        left_out, images = evaluation.errors.rows + evaluation.unmatched.rows, evaluation.images
    else:
        comparison = compare_tables(table, against, truth=truth, truth_column=truth_column, match=by, changes=first)
        show_comparison(comparison, as_json=as_json)
        parts = (
            comparison.missing_in_table,
            comparison.missing_in_against,
            comparison.errors,
            comparison.unmatched,
        )
        left_out, images = sum(part.rows for part in parts), comparison.images
    if left_out:
        raise typer.Exit(exit_code(left_out, left_out + images))
