"""`camserve evaluate`: how good the answers of a table are, and how two tables differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from camserve.choices import MATCHES
from camserve.cli import client_options, evaluate_options, reading_options, score_options
from camserve.cli.console import exit_code
from camserve.cli.evaluated_answers import answers_of, scoring_arguments
from camserve.cli.help_layout import CommandWithUrls
from camserve.cli.shared_options import Json, check_choice

if TYPE_CHECKING:
    from camserve.choices import Match
    from camserve.cli.evaluation_page import PageOptions

__all__ = ["register"]

_EPILOG = """Example:  camserve evaluate answers.csv

Example:  camserve evaluate answers.csv --truth labels.csv --json

Example:  camserve evaluate answers.csv --html answers.html

Example:  camserve evaluate fp32.parquet --against int8.parquet

Example:  camserve evaluate photos/ --bundle bundles/resnet50
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=CommandWithUrls, epilog=_EPILOG)(evaluate)


def evaluate(
    context: typer.Context,
    inputs: evaluate_options.Inputs,
    truth: evaluate_options.Truth = "folder",
    truth_column: evaluate_options.TruthColumn = None,
    match: evaluate_options.Match = "label",
    against: evaluate_options.Against = None,
    first: evaluate_options.First = 10,
    as_json: Json = False,
    html: evaluate_options.Html = None,
    html_images: evaluate_options.HtmlImages = None,
    images_from: evaluate_options.ImagesFrom = None,
    model: score_options.Model = None,
    bundle: score_options.Bundle = None,
    output: evaluate_options.Output = None,
    top: score_options.Top = None,
    maps: score_options.Maps = False,
    resume: score_options.Resume = None,
    patience: score_options.Patience = 300.0,
    workers: score_options.Workers = None,
    concurrency: score_options.Concurrency = None,
    exif: reading_options.Exif = False,
    fast_jpeg: reading_options.FastJpeg = False,
    crops: reading_options.CropCount = None,
    max_pixels: reading_options.MaxPixels = reading_options.MAX_PIXELS,
    max_bytes: reading_options.MaxBytes = reading_options.MAX_BYTES,
    version: client_options.Version = "",
    pin_version: client_options.PinVersion = False,
    url: client_options.Url = "localhost:8001",
    timeout: client_options.Timeout = 30.0,
    tls_ca: client_options.TlsCa = None,
    tls_certificate: client_options.TlsCertificate = None,
    tls_key: client_options.TlsKey = None,
    token_file: client_options.TokenFile = None,
) -> None:
    """Compare the answers of a table with the true labels: accuracy, confusion matrix, calibration, worst mistakes.

    With --model or --bundle, images are scored first, and no table remains unless --output names one. Rows with an
    error, and rows without a true label, are counted, but not part of any metric.

    Exit codes: 0 success; 3 some rows could not be evaluated; 2 none could be.
    """
    from typing import cast

    from camserve.cli.evaluation_page import PageOptions

    check_choice(match, MATCHES, "--match")
    page = PageOptions(html, html_images, images_from, exif, max_pixels, max_bytes)
    page.check(against, scored=model is not None or bundle is not None)
    scoring = scoring_arguments(
        context,
        inputs,
        {
            "model": model,
            "bundle": bundle,
            "url": url,
            "version": version,
            "pin_version": pin_version,
            "timeout": timeout,
            "tls_ca": tls_ca,
            "tls_certificate": tls_certificate,
            "tls_key": tls_key,
            "token_file": token_file,
        },
        top=top,
        maps=maps,
        resume=resume,
        patience=patience,
        workers=workers,
        concurrency=concurrency,
    )
    if scoring is not None:
        from camserve.clients import DecodeOptions

        decoding = DecodeOptions(exif=exif, fast_jpeg=fast_jpeg, max_pixels=max_pixels, max_bytes=max_bytes)
        scoring |= {"crops": reading_options.crops_of(crops), "decode_options": decoding}
    judging = {"truth": truth, "truth_column": truth_column, "match": cast("Match", match)}
    with answers_of(inputs, output, scoring) as (table, name):
        if against is None:
            left_out, images = _evaluate(table, name, page, mistakes=first, as_json=as_json, **judging)
        else:
            left_out, images = _compare(table, name, against, changes=first, as_json=as_json, **judging)
    if left_out:
        raise typer.Exit(exit_code(left_out, left_out + images))


def _evaluate(table: Path, name: str, page: PageOptions, *, as_json: bool, **judging: Any) -> tuple[int, int]:
    """Print an evaluation, and return how many rows are not part of it, and how many are."""
    from camserve.cli.evaluation_view import show_evaluation
    from camserve.clients import evaluate as evaluate_table

    evaluation = replace(evaluate_table(table, **judging), table=name)
    show_evaluation(evaluation, as_json=as_json, page=page.write(evaluation))
    return evaluation.errors.rows + evaluation.unmatched.rows, evaluation.images


def _compare(table: Path, name: str, against: Path, *, as_json: bool, **judging: Any) -> tuple[int, int]:
    """Print a comparison, and return how many rows are not part of it, and how many are."""
    from camserve.cli.comparison_view import show_comparison
    from camserve.clients import compare_tables

    found = compare_tables(table, against, **judging)
    show_comparison(replace(found, table=name), as_json=as_json)
    left_out = (found.missing_in_table, found.missing_in_against, found.errors, found.unmatched)
    return sum(part.rows for part in left_out), found.images
