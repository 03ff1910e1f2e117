"""What `camserve export` prints at the end."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camserve.cli.console import print_json, print_line, print_note, print_warning
from camserve.cli.publish import print_publication, publication_document
from camserve.cli.tables import print_table

if TYPE_CHECKING:
    from camserve.bundle import Bundle
    from camserve.serving import Publication

__all__ = ["publish_command", "report", "worst_metrics"]

_COLUMNS = ("format", "metric", "worst ", "Keras fp32 ", "tolerance ", "margin ", "images")


def report(bundle: Bundle, publication: Publication | None, *, replaced: bool, as_json: bool) -> None:
    """Print warnings, notes, the metrics of the parity gate and the next command; or all of it as JSON.

    Args:
        bundle: The bundle.
        publication: Its publication, if it was published too.
        replaced: Whether it replaced an earlier bundle.
        as_json: Print JSON.
    """
    parity: list[dict[str, Any]] = bundle.report["parity"]
    for warning in bundle.report["warnings"]:
        print_warning(warning)
    for note in bundle.report["notes"]:
        print_note(f"note: {note}")
    for warning in () if publication is None else publication.warnings:
        print_warning(warning)
    if as_json:
        document: dict[str, Any] = {
            "bundle": str(bundle.path),
            "name": bundle.contract.name,
            "replaced": replaced,
            "warnings": bundle.report["warnings"],
            "reference": bundle.report["reference"],
            "notes": bundle.report["notes"],
            "parity": parity,
            "map_quality": bundle.report["map_quality"],
        }
        if publication is not None:
            document["published"] = publication_document(publication)
        print_json(document)
        return
    from camserve.export.report.measured import parity_title

    print_line(f"{parity_title(bundle.report)} (worst of all batches):")
    print_table(_COLUMNS, worst_metrics(parity), optional=("images", "margin "))
    for line in _shares(parity):
        print_line(line)
    _print_quality(bundle.report)
    print_line(f"Bundle:    {bundle.path}{' (replaced the previous bundle)' if replaced else ''}")
    if publication is None:
        print_line(f"Next:      {publish_command(bundle.path)}")
    else:
        print_publication(publication)


def _print_quality(export_report: dict[str, Any]) -> None:
    """Print how good the maps are, if that was measured."""
    quality = export_report["map_quality"]
    if quality is None:
        return
    from camserve.export.report.quality_text import QUALITY_COLUMNS, curve_images, quality_rows, weights_text

    print_line(f"Maps (area under the curves, measured on {curve_images(quality)}):")
    print_table(QUALITY_COLUMNS, quality_rows(export_report))
    print_line(f"Maps, {weights_text(quality)}")


def publish_command(bundle: Path) -> str:
    """Return the command that publishes a bundle, quoted for a shell."""
    return f"camserve publish {shlex.quote(str(bundle))} --repository model_repository"


def worst_metrics(parity: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a row per format and metric: the worst value, Keras's own, the tolerance, the margin, the batch sizes."""
    from camserve.export.report.metric_text import (
        default_text,
        format_title,
        margin,
        noise_text,
        title,
        tolerance_text,
        value_text,
        worst_batch,
    )

    table: list[tuple[str, ...]] = []
    for rows in _groups(parity):
        worst = worst_batch(rows)
        batches = ", ".join(str(row["batch"]) for row in rows if row["batch"]) or "-"
        default = f" (default {default_text(worst)})" if default_text(worst) else ""
        texts = (title(worst), value_text(worst), noise_text(worst), tolerance_text(worst) + default, margin(worst))
        table.append((format_title(worst["format"]), *texts, batches))
    return table


def _shares(parity: list[dict[str, Any]]) -> list[str]:
    """Return a line for each share of the images, with its interval."""
    from camserve.export.report.metric_text import format_title, remarks, title

    shares = [row for row in parity if row["interval"] is not None]
    return [f"{title(row)}, {format_title(row['format'])}: {'; '.join(remarks(row))}" for row in shares]


def _groups(parity: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in parity:
        groups.setdefault((row["format"], row["figure"]), []).append(row)
    return list(groups.values())
