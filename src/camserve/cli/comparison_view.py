"""How the comparison of two tables is printed: as tables, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from camserve.cli.console import print_json, print_line
from camserve.cli.evaluation_view import part_text, percent
from camserve.cli.evaluation_warnings import warn_of_comparison
from camserve.cli.tables import print_table
from camserve.text import count

if TYPE_CHECKING:
    from camserve.clients import Comparison

__all__ = ["show_comparison"]

_SIGNIFICANT = 0.05


def show_comparison(comparison: Comparison, *, as_json: bool) -> None:
    """Print a comparison to stdout, and warnings of what is not part of it to stderr."""
    if as_json:
        print_json(_document(comparison))
    else:
        _print(comparison)
    warn_of_comparison(comparison)


def _document(comparison: Comparison) -> dict[str, Any]:
    document = asdict(comparison)
    document["unknown"] = [{"label": label, "images": images} for label, images in comparison.unknown]
    return {**document, "images": comparison.images, "accuracies": list(comparison.accuracies)}


def _print(comparison: Comparison) -> None:
    first, second = comparison.accuracies
    print_line(f"{comparison.table} against {comparison.against}: {count(comparison.images, 'image')} compared")
    print_table(
        ("metric", "value"),
        [
            (f"Accuracy of {comparison.table}", percent(first)),
            (f"Accuracy of {comparison.against}", f"{percent(second)} ({100 * (second - first):+.2f} points)"),
            ("Both correct", f"{comparison.both_correct:,}"),
            (f"Only {comparison.table} correct", f"{comparison.only_table:,}"),
            (f"Only {comparison.against} correct", f"{comparison.only_against:,}"),
            ("Both wrong", f"{comparison.both_wrong:,}"),
            ("Changed answers", f"{comparison.changed:,} ({percent(comparison.changed / comparison.images)})"),
            ("Sign test", f"p = {comparison.p_value:.3g}: {_verdict(comparison)}"),
        ],
    )
    if comparison.changes:
        shown = len(comparison.changes)
        print_line(f"Changed answers, {part_text(shown, comparison.changed, '--first N lists more')}:")
        print_table(
            ("true", "before", "after", "image"),
            [(each.truth, each.before, each.after, each.path) for each in comparison.changes],
        )


def _verdict(comparison: Comparison) -> str:
    if comparison.p_value >= _SIGNIFICANT:
        return "these images do not show which table is better"
    better = comparison.table if comparison.only_table > comparison.only_against else comparison.against
    return f"{better} is better, with 95 % confidence"
