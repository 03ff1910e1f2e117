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
    if as_json:
        document: dict[str, Any] = {
            "bundle": str(bundle.path),
            "name": bundle.contract.name,
            "replaced": replaced,
            "warnings": bundle.report["warnings"],
            "notes": bundle.report["notes"],
            "parity": parity,
        }
        if publication is not None:
            document["published"] = publication_document(publication)
        print_json(document)
        return
    print_line("Parity with Keras (worst of all batches):")
    columns = ("format", "metric", "worst ", "tolerance ", "margin ", "images")
    print_table(columns, worst_metrics(parity), optional=("images", "margin "))
    print_line(f"Bundle:    {bundle.path}{' (replaced the previous bundle)' if replaced else ''}")
    if publication is None:
        print_line(f"Next:      {publish_command(bundle.path)}")
    else:
        print_publication(publication)


def publish_command(bundle: Path) -> str:
    """Return the command that publishes a bundle, quoted for a shell."""
    return f"camserve publish {shlex.quote(str(bundle))} --repository model_repository"


def worst_metrics(parity: list[dict[str, Any]]) -> list[tuple[str, str, str, str, str, str]]:
    """Return a row per format and metric: the worst value, its tolerance, its margin, the batch sizes."""
    from camserve.export.report.metric_text import (
        format_title,
        margin,
        title,
        tolerance_text,
        value_text,
        worst_batch,
    )

    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in parity:
        groups.setdefault((row["format"], row["figure"]), []).append(row)
    table = []
    for (format_name, _), rows in groups.items():
        worst = worst_batch(rows)
        batches = ", ".join(str(row["batch"]) for row in rows if row["batch"]) or "-"
        texts = (title(worst), value_text(worst), tolerance_text(worst), margin(worst))
        table.append((format_title(format_name), *texts, batches))
    return table
