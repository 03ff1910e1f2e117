"""What `camserve export` prints when it is done."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camserve.cli.console import note, print_json, print_table, say
from camserve.cli.publish import publication_document, say_published

if TYPE_CHECKING:
    from camserve.bundle import Bundle
    from camserve.serving import Publication

__all__ = ["publish_command", "report", "worst_metrics"]


def report(bundle: Bundle, publication: Publication | None, *, as_json: bool) -> None:
    """Print warnings, the metrics of the gate and the next command, or all of it as JSON."""
    parity: list[dict[str, Any]] = bundle.report["parity"]
    for warning in bundle.report["warnings"]:
        note(f"warning: {warning}")
    if as_json:
        document: dict[str, Any] = {
            "bundle": str(bundle.path),
            "name": bundle.contract.name,
            "warnings": bundle.report["warnings"],
            "parity": parity,
        }
        if publication is not None:
            document["published"] = publication_document(publication)
        print_json(document)
        return
    say("Parity with Keras, the worst of all batches:")
    print_table(("format", "metric", "worst ", "tolerance ", "margin ", "images"), worst_metrics(parity))
    say(f"Bundle:    {bundle.path}")
    if publication is None:
        say(f"Next:      {publish_command(bundle.path)}")
    else:
        say_published(publication)


def publish_command(bundle: Path) -> str:
    """What to type to publish a bundle, fit to be pasted into a shell."""
    return f"camserve publish {shlex.quote(str(bundle))} --repository model_repository"


def worst_metrics(parity: list[dict[str, Any]]) -> list[tuple[str, str, str, str, str, str]]:
    """Return a row for each format and metric: its worst value in all batches, tolerance, margin, and the batches."""
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
