"""Warnings of what is not part of an evaluation, a comparison or a page, and of what makes them doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camserve.cli.console import print_warning
from camserve.text import count, printable, suggest

if TYPE_CHECKING:
    from camserve.clients import AnsweringVersion, Comparison, Evaluation, PageSummary, SkippedRows

__all__ = ["warn_of_comparison", "warn_of_evaluation", "warn_of_page"]

_FIRST = 3
"""The most paths or labels that a warning names."""


def warn_of_evaluation(evaluation: Evaluation) -> None:
    """Warn of what is not part of an evaluation."""
    _warn_left_out(evaluation.errors, "an error instead of an answer")
    _warn_left_out(evaluation.unmatched, "no true label")
    _warn_unknown(evaluation.unknown, [each.label for each in evaluation.classes], evaluation.table)
    _warn_versions(evaluation.versions, evaluation.table)
    if evaluation.repeated:
        print_warning(f"{count(evaluation.repeated, 'row')} of paths that are in earlier rows too; each row is counted")
    if evaluation.shared:
        print_warning(
            f"several classes have the label {_listed(evaluation.shared)}; they are evaluated as one. "
            "Use --match class for numbers of classes"
        )


def warn_of_comparison(comparison: Comparison) -> None:
    """Warn of what is not part of a comparison."""
    _warn_left_out(comparison.missing_in_against, f"a path that is not in {comparison.against}")
    _warn_left_out(comparison.missing_in_table, f"a path that is not in {comparison.table}")
    _warn_left_out(comparison.errors, "an error in at least one table")
    _warn_left_out(comparison.unmatched, "no true label")
    _warn_unknown(comparison.unknown, [], "one of the tables")
    _warn_versions(comparison.versions, comparison.table)
    _warn_versions(comparison.versions_against, comparison.against)


def warn_of_page(page: PageSummary) -> None:
    """Warn of images and maps that a page lacks."""
    if page.missing:
        print_warning(
            f"the page lacks {count(page.missing, 'image')} of {page.rows:,}: {page.first_missing}. "
            "Use --images-from DIR if paths of the table start in another folder"
        )
    if page.misplaced:
        print_warning(
            f"the page lacks {count(page.misplaced, 'map')}, whose area is not inside the image. "
            "Use --exif if the images were scored with it"
        )


def _warn_left_out(left_out: SkippedRows, what: str) -> None:
    """Warn of rows that are not part of any metric."""
    if left_out.rows:
        print_warning(
            f"not evaluated: {count(left_out.rows, 'row')} with {what}: {_listed(left_out.first, left_out.rows)}"
        )


def _warn_unknown(unknown: Sequence[tuple[str, int]], labels: Sequence[str], table: str) -> None:
    """Warn of true labels that no row contains."""
    if not unknown:
        return
    label, _ = unknown[0]
    known = set(labels) - {name for name, _ in unknown}
    images = sum(number for _, number in unknown)
    hint = suggest(label, known) or "Check how they are written"
    print_warning(
        f"{count(len(unknown), 'true label')} in no row of {table}, so that {count(images, 'image')} "
        f"{'counts' if images == 1 else 'count'} as wrong: {_listed([name for name, _ in unknown])}. {hint}"
    )


def _warn_versions(versions: Sequence[AnsweringVersion], table: str) -> None:
    """Warn of a table that contains answers of several versions, of which the metrics are an average."""
    if len(versions) > 1:
        rows = ", ".join(f"{each.name} in {count(each.rows, 'row')}" for each in versions)
        print_warning(
            f"{count(len(versions), 'version')} answered the rows of {table}: {rows}; for the metrics of one version, "
            "score again with --pin-version"
        )


def _listed(names: Sequence[str], total: int | None = None) -> str:
    """Return the first names of many."""
    shown = ", ".join(printable(name) for name in names[:_FIRST])
    more = (len(names) if total is None else total) - min(_FIRST, len(names))
    return f"{shown} and {more:,} more" if more else shown
