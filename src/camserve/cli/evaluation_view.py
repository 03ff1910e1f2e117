"""How an evaluation is printed: as tables, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from camserve.cli.console import print_json, print_line
from camserve.cli.evaluation_warnings import warn_of_evaluation, warn_of_page
from camserve.cli.tables import print_table, table_fits
from camserve.text import count

if TYPE_CHECKING:
    from camserve.clients import Calibration, ClassMetrics, Evaluation, PageSummary

__all__ = ["part_text", "percent", "show_evaluation"]

_MOST_CLASSES = 20
_MOST_CONFUSIONS = 10


def show_evaluation(evaluation: Evaluation, *, as_json: bool, page: PageSummary | None = None) -> None:
    """Print an evaluation to stdout, and warnings of what is not part of it to stderr."""
    if as_json:
        print_json({**_document(evaluation), "page": None if page is None else asdict(page)})
    else:
        _print(evaluation)
        if page is not None:
            print_line(f"Page: {_page_text(page)}")
    warn_of_evaluation(evaluation)
    if page is not None:
        warn_of_page(page)


def percent(share: float | None) -> str:
    """Return a share as a percentage; a dash for None."""
    return "–" if share is None else f"{share:.2%}"


def part_text(shown: int, total: int, how: str) -> str:
    """Return how many of all are shown, and how to list more."""
    return f"{shown:,} of {total:,}; {how}" if shown < total else f"all {total:,}"


def _document(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "table": evaluation.table,
        "rows": evaluation.rows,
        "images": evaluation.images,
        "errors": asdict(evaluation.errors),
        "unmatched": asdict(evaluation.unmatched),
        "repeated": evaluation.repeated,
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.top[0].interval),
        "top": [asdict(each) for each in evaluation.top],
        "balanced_accuracy": evaluation.balanced_accuracy,
        "macro_f1": evaluation.macro_f1,
        "classes": [
            {**asdict(each), "precision": each.precision, "recall": each.recall, "f1": each.f1}
            for each in evaluation.classes
        ],
        "confusion": [asdict(each) for each in evaluation.confusion],
        "calibration": None if evaluation.calibration is None else asdict(evaluation.calibration),
        "mistakes": [asdict(each) for each in evaluation.mistakes],
        "unknown": [{"label": label, "images": images} for label, images in evaluation.unknown],
        "shared": list(evaluation.shared),
        "versions": [asdict(each) for each in evaluation.versions],
    }


def _print(evaluation: Evaluation) -> None:
    print_line(f"{evaluation.table}: {count(evaluation.images, 'image')} evaluated")
    print_table(("metric", "value", "95 % interval"), _summary(evaluation))
    _print_classes(evaluation)
    _print_confusion(evaluation)
    if evaluation.calibration is not None:
        _print_calibration(evaluation.calibration)
    _print_mistakes(evaluation)


def _summary(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    rows = [
        (
            "Accuracy" if each.top == 1 else f"Top-{each.top} accuracy",
            f"{percent(each.accuracy)} ({each.correct:,} of {evaluation.images:,})",
            " to ".join(map(percent, each.interval)),
        )
        for each in evaluation.top
    ]
    rows.append(("Balanced accuracy", percent(evaluation.balanced_accuracy), ""))
    rows.append(("Macro F1", percent(evaluation.macro_f1), ""))
    if evaluation.calibration is not None:
        rows.append(("Mean probability", percent(evaluation.calibration.probability), ""))
        rows.append(("Expected calibration error", percent(evaluation.calibration.expected_error), ""))
    return rows


def _print_classes(evaluation: Evaluation) -> None:
    classes: Sequence[ClassMetrics] = evaluation.classes
    if len(classes) > _MOST_CLASSES:
        classes = sorted(classes, key=lambda each: each.f1)[:_MOST_CLASSES]
        print_line(f"The {_MOST_CLASSES} of {len(evaluation.classes):,} classes with the lowest F1; --json lists all:")
    else:
        print_line("Classes:")
    print_table(
        ("label", "images ", "precision ", "recall ", "F1 "),
        [
            (each.label, f"{each.support:,}", percent(each.precision), percent(each.recall), percent(each.f1))
            for each in classes
        ],
    )


def _print_confusion(evaluation: Evaluation) -> None:
    columns = ("true \\ best class", *(f"{each.label} " for each in evaluation.classes))
    if len(evaluation.classes) <= _MOST_CLASSES:
        matrix = evaluation.confusion_matrix()
        rows = [
            (each.label, *(f"{number:,}" if number else "·" for number in line))
            for each, line in zip(evaluation.classes, matrix.tolist(), strict=True)
        ]
        if table_fits(columns, rows):
            print_line("Confusion matrix:")
            print_table(columns, rows)
            return
    wrong = sorted(
        (cell for cell in evaluation.confusion if cell.truth != cell.predicted), key=lambda cell: -cell.images
    )
    if wrong:
        shown = wrong[:_MOST_CONFUSIONS]
        print_line(f"Most frequent confusions, {part_text(len(shown), len(wrong), '--json lists all')}:")
        print_table(
            ("images ", "true", "best class"), [(f"{cell.images:,}", cell.truth, cell.predicted) for cell in shown]
        )


def _print_calibration(calibration: Calibration) -> None:
    print_line("Calibration:")
    print_table(
        ("probability", "images ", "mean ", "accuracy "),
        [
            (
                f"{each.low:.0%} to {each.high:.0%}",
                f"{each.images:,}",
                percent(each.probability),
                percent(each.accuracy),
            )
            for each in calibration.bins
            if each.images
        ],
    )


def _print_mistakes(evaluation: Evaluation) -> None:
    if not evaluation.mistakes:
        return
    wrong = evaluation.images - evaluation.top[0].correct
    print_line(f"Worst mistakes, {part_text(len(evaluation.mistakes), wrong, '--first N lists more')}:")
    print_table(
        ("probability ", "best class", "true", "rank ", "image"),
        [
            (percent(each.probability), each.predicted, each.truth, each.rank or "–", each.path)
            for each in evaluation.mistakes
        ],
        optional=("rank ",),
    )


def _page_text(page: PageSummary) -> str:
    maps = f", {count(page.maps, 'map')}" if page.maps else ""
    return f"{page.path} ({page.bytes / 1e6:.1f} MB), {page.rows:,} of {count(page.total, 'row')}{maps}"
