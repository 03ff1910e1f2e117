"""`camserve score`: classify folders of images into one table."""

from __future__ import annotations

import typer

from camserve.choices import ENGINES, OUTPUT_FORMATS
from camserve.cli import client_options, reading_options, score_options
from camserve.cli.answerer_options import answerer_arguments
from camserve.cli.console import exit_code, print_logged_warnings, print_note
from camserve.cli.help_layout import CommandWithUrls
from camserve.cli.score_report import print_summary
from camserve.cli.scoring_progress import track_rows, track_with_errors
from camserve.cli.shared_options import Json, check_choice
from camserve.errors import UsageError

__all__ = ["register"]

_EPILOG = """Example:  camserve score photos/ --model resnet50 --output answers.csv

Example:  find photos -name '*.jpg' | camserve score --files-from - --model resnet50 --output answers.parquet --resume

Example:  camserve score photos/ --bundle bundles/resnet50 --output answers.csv

Example:  camserve score test/ --model camera --crops 10 --format camera --output submission.csv
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=CommandWithUrls, epilog=_EPILOG)(score)


def score(
    context: typer.Context,
    output: score_options.Output,
    inputs: score_options.Inputs = None,
    model: score_options.Model = None,
    bundle: score_options.Bundle = None,
    as_json: Json = False,
    files_from: score_options.FilesFrom = None,
    path_column: score_options.PathColumn = None,
    bytes_column: score_options.BytesColumn = None,
    id_column: score_options.IdColumn = None,
    format_: score_options.Format = "table",
    top: score_options.Top = None,
    all_probabilities: score_options.AllProbabilities = False,
    maps: score_options.Maps = False,
    overlays: score_options.Overlays = None,
    spreadsheet_safe: score_options.SpreadsheetSafe = False,
    resume: score_options.Resume = None,
    patience: score_options.Patience = 300.0,
    workers: score_options.Workers = None,
    concurrency: score_options.Concurrency = None,
    engine: score_options.Engine = "local",
    ray_address: score_options.RayAddress = None,
    exif: reading_options.Exif = False,
    fast_jpeg: reading_options.FastJpeg = False,
    crops: reading_options.CropCount = None,
    max_pixels: reading_options.MaxPixels = reading_options.MAX_PIXELS,
    max_bytes: reading_options.MaxBytes = reading_options.MAX_BYTES,
    version: client_options.Version = "",
    pin_version: client_options.PinVersion = False,
    url: client_options.Url = "localhost:8001",
    timeout: client_options.Timeout = 30.0,
    send: client_options.Send = "pixels",
    tls_ca: client_options.TlsCa = None,
    tls_certificate: client_options.TlsCertificate = None,
    tls_key: client_options.TlsKey = None,
    token_file: client_options.TokenFile = None,
) -> None:
    """Classify many images into a table with one row each: its classes, or its error.

    Images in folders are recognized by extension or content. Hidden files and files of other content are left out, and
    counted at the end. Finished rows are recorded, so that a run that is interrupted can go on with --resume.

    Exit codes: 0 success; 3 some images failed; 1 all images failed.
    """
    check_choice(format_, OUTPUT_FORMATS, "--format")
    check_choice(engine, ENGINES, "--engine")
    check_choice(send, ("pixels", "files"), "--send")
    if not inputs and files_from is None:
        raise UsageError("an INPUT or --files-from is required", hint="Pass a folder, or files")
    answerer = answerer_arguments(
        context,
        model=model,
        bundle=bundle,
        url=url,
        version=version,
        pin_version=pin_version,
        timeout=timeout,
        send=send,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
    )
    from camserve.clients import DecodeOptions, score_table

    print_logged_warnings("camserve.clients", below=False)  # not each attempt of a request
    is_table = format_ == "table"
    summary = score_table(
        inputs or (),
        output,
        files_from=files_from,
        path_column=path_column,
        bytes_column=bytes_column,
        id_column=id_column,
        format="table" if is_table else "camera",
        top=top,
        all_probabilities=all_probabilities,
        maps=maps,
        overlays=overlays,
        spreadsheet_safe=spreadsheet_safe,
        crops=reading_options.crops_of(crops),
        decode_options=DecodeOptions(exif=exif, fast_jpeg=fast_jpeg, max_pixels=max_pixels, max_bytes=max_bytes),
        resume=resume,
        workers=workers,
        concurrency=concurrency,
        patience=patience,
        engine="ray" if engine == "ray" else "local",
        ray_address=ray_address,
        progress=track_rows if is_table else track_with_errors,
        report=print_note,
        **answerer,
    )
    effect = "see the column 'error'" if is_table else "the camera is empty there"
    print_summary(summary, output, as_json=as_json, effect_of_errors=effect)
    if summary.errors:
        raise typer.Exit(exit_code(summary.errors, summary.rows))
