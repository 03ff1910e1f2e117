"""`camserve score`: classify folders of images into one table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camserve.cli import client_options, reading_options
from camserve.cli.console import exit_code, print_json, print_line, print_warning
from camserve.cli.help_layout import Command
from camserve.cli.image_sources import print_left_out
from camserve.cli.progress_view import track
from camserve.cli.shared_options import Json, check_choice, one_of
from camserve.errors import UsageError
from camserve.text import count, printable

if TYPE_CHECKING:
    from camserve.clients import ScoredRow, TableSummary

__all__ = ["register"]

_EPILOG = """Example:  camserve score photos/ --model resnet50 --output answers.csv

Example:  camserve score test/ --model camera --crops 10 --format camera --output submission.csv
"""
_CAMERA = "camera"
_FORMATS = ("table", _CAMERA)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=Command, epilog=_EPILOG)(score)


def score(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Image files, folders to search for images, and patterns such as 'photos/*.jpg'.",
            show_default=False,
        ),
    ],
    model: client_options.Model,
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Table to write: a .csv or .parquet file. An existing one is replaced when the new one is complete, "
            "which keeps its owner and permissions.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Number of classes in each row.")] = 5,
    concurrency: Annotated[int, typer.Option(min=1, metavar="N", help="Number of concurrent requests.")] = 8,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="table|camera",
            autocompletion=one_of(_FORMATS),
            help="camera: write the submission of the camera identification competition, a .csv file with the columns "
            "fname and camera: the name of each file, and its best class, whatever --top is.",
        ),
    ] = "table",
    all_probabilities: Annotated[
        bool,
        typer.Option(
            "--all-probabilities",
            help="Append a column for each class with its probability, in class order: probability_of_ and the label.",
        ),
    ] = False,
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="Write an apostrophe before paths, labels and errors in a .csv file that a spreadsheet would run as a "
            "formula (they start with =, +, - or @). Without it texts are exact, for programs.",
        ),
    ] = False,
    as_json: Json = False,
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
    """Classify many images into a table with one row each: its classes, or its error.

    Images in folders are recognized by extension or content. Hidden files and files of other content are left out, and
    counted at the end.

    Exit codes: 0 success; 3 some images failed; 1 all images failed.
    """
    from camserve.clients import (
        DecodeOptions,
        LeftOut,
        check_table,
        find_images,
        write_camera_submission,
        write_table,
    )
    from camserve.clients import score as score_images
    from camserve.clients.tables.camera_submission import distinct_names

    _check_exist(inputs)
    check_choice(format_, _FORMATS, "--format")
    camera = format_ == _CAMERA
    if camera:
        _check_camera(output, all_probabilities=all_probabilities, spreadsheet_safe=spreadsheet_safe)
    else:
        check_table(output, spreadsheet_safe=spreadsheet_safe)
    decode_options = DecodeOptions(exif=exif, fast_jpeg=fast_jpeg, max_pixels=max_pixels, max_bytes=max_bytes)
    replaced = output.exists()
    # Counted first rather than listed, so that a million paths need not be in memory; and before the unfinished table
    # is in one of the folders.
    left_out = LeftOut()
    found = find_images(inputs, left_out=left_out)
    total = sum(1 for _ in (distinct_names(found) if camera else found))
    started = time.monotonic()
    with client_options.open_classifier(
        url,
        model,
        version=version,
        pin_version=pin_version,
        timeout=timeout,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        token_file=token_file,
        decode_options=decode_options,
    ) as classifier:
        top = min(top, len(classifier.labels))
        rows = score_images(
            classifier,
            find_images(inputs, left_out=LeftOut()),
            top=top,
            concurrency=concurrency,
            crops=reading_options.crops_of(crops),
            all_probabilities=all_probabilities,
        )
        if camera:
            summary = write_camera_submission(output, _with_errors_printed(track(rows, total)))
        else:
            classes = classifier.labels if all_probabilities else ()
            summary = write_table(
                output, track(rows, total), top=top, classes=classes, spreadsheet_safe=spreadsheet_safe
            )
    seconds = time.monotonic() - started
    if as_json:
        metrics = {"rows": summary.rows, "errors": summary.errors, "seconds": round(seconds, 3)}
        table = {"replaced": replaced, "access_kept": summary.access_kept, "versions": summary.versions}
        print_json({"output": str(output), **metrics, **table, "left_out": left_out.document()})
    else:
        rate = f"{count(summary.rows, 'image')} in {seconds:.1f} s ({summary.rows / seconds:,.0f} per second)"
        print_line(f"{rate}: {output}{' (replaced)' if replaced else ''}")
    print_left_out(left_out)
    _print_warnings(summary, output, model, "the camera is empty there" if camera else "see the column 'error'")
    if summary.errors:
        raise typer.Exit(exit_code(summary.errors, summary.rows))


def _print_warnings(summary: TableSummary, output: Path, model: str, effect_of_errors: str) -> None:
    if not summary.access_kept:
        print_warning(
            f"{printable(output)}: owner, group or access control list of the replaced table could not be kept"
        )
    if len(summary.versions) > 1:
        print_warning(_several_versions(model, summary.versions))
    if summary.errors:
        contain = "contains" if summary.errors == 1 else "contain"
        rows = f"{summary.errors:,} of {count(summary.rows, 'row')}"
        print_warning(f"{rows} {contain} an error; {effect_of_errors}")


def _check_camera(output: Path, *, all_probabilities: bool, spreadsheet_safe: bool) -> None:
    """Check that a submission can be written, and that no option requires a table."""
    from camserve.clients.tables.camera_submission import check_submission

    for option, is_given in (("--all-probabilities", all_probabilities), ("--spreadsheet-safe", spreadsheet_safe)):
        if is_given:
            raise UsageError(f"{option} does not apply to --format camera", hint=f"Leave out {option}")
    check_submission(output)


def _with_errors_printed(rows: Iterable[ScoredRow]) -> Iterator[ScoredRow]:
    """Print the error of each row, as a submission has no column for it."""
    for row in rows:
        if row.error is not None:
            path = printable(row.path)
            print_warning(row.error if path in row.error else f"{path}: {row.error}")
        yield row


def _several_versions(model: str, versions: Mapping[str, int]) -> str:
    """Return the message for a table whose rows are from several versions of the model."""
    rows = ", ".join(f"version {version or '(not reported)'} in {count(n, 'row')}" for version, n in versions.items())
    return (
        f"{count(len(versions), 'version')} of model {model!r} answered: {rows}; for answers of one version, score "
        "again with --pin-version"
    )


def _check_exist(inputs: list[Path]) -> None:
    """Check that the inputs exist, so that a misspelled path does not replace the table of an earlier run."""
    from camserve.images.folders import expand

    for path in (each for given in inputs for each in expand(given)):
        if not os.path.exists(path):  # noqa: PTH110  (Path.exists raises where a folder on the way cannot be read)
            raise UsageError(f"{path} does not exist or cannot be read", hint="Check the path; no table was written")
