"""What `score` prints at the end: the table, what was left out, and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from camserve.cli.console import print_json, print_line, print_warning
from camserve.cli.image_sources import print_left_out
from camserve.text import count, printable

if TYPE_CHECKING:
    from camserve.clients import TableSummary

__all__ = ["print_summary", "summary_line", "warn_access"]


def print_summary(summary: TableSummary, output: str, *, as_json: bool, effect_of_errors: str) -> None:
    """Print what a table contains and how it came about.

    Args:
        summary: What it contains.
        output: The table.
        as_json: Whether to print JSON.
        effect_of_errors: What the table contains in rows with an error.
    """
    if as_json:
        print_json(_document(summary, output))
    else:
        print_line(summary_line(summary, output))
    if summary.left_out is not None:
        print_left_out(summary.left_out)
    warn_access(summary, output)
    if len(summary.versions) > 1:
        print_warning(_several_versions(summary.versions))
    if summary.errors:
        contain = "contains" if summary.errors == 1 else "contain"
        rows = f"{summary.errors:,} of {count(summary.rows, 'row')}"
        print_warning(f"{rows} {contain} an error; {effect_of_errors}")


def warn_access(summary: TableSummary, output: str) -> None:
    """Warn of a table with another owner, group or access control list than the one that it replaced."""
    if not summary.access_kept:
        print_warning(
            f"{printable(output)}: owner, group or access control list of the replaced table could not be kept"
        )


def summary_line(summary: TableSummary, output: str) -> str:
    """Return in one line how many images were scored, how fast, and into what."""
    rate = f" ({summary.scored / summary.seconds:,.0f} per second)" if summary.scored else ""
    images = f"{count(summary.rows, 'image')} in {summary.seconds:.1f} s{rate}"
    kept = f"; {summary.kept:,} kept from the interrupted run, {summary.scored:,} scored" if summary.kept else ""
    return f"{images}: {output}{' (replaced)' if summary.replaced else ''}{kept}"


def _document(summary: TableSummary, output: str) -> dict[str, object]:
    return {
        "output": output,
        "rows": summary.rows,
        "errors": summary.errors,
        "kept": summary.kept,
        "scored": summary.scored,
        "seconds": round(summary.seconds, 3),
        "replaced": summary.replaced,
        "access_kept": summary.access_kept,
        "versions": summary.versions,
        "left_out": {} if summary.left_out is None else summary.left_out.document(),
    }


def _several_versions(versions: Mapping[str, int]) -> str:
    """Return the message for a table whose rows are from several versions of the model."""
    rows = ", ".join(f"version {version or '(not reported)'} in {count(n, 'row')}" for version, n in versions.items())
    return (
        f"{count(len(versions), 'version')} of the model answered: {rows}; for answers of one version, score "
        "again with --pin-version"
    )
