"""The page's head: metrics, what they do not contain, and the metrics of each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from camserve.clients.evaluation.results import Evaluation, SkippedRows
from camserve.pages.markup import Html, join, section, tag
from camserve.text import count, printable, shortened

__all__ = ["class_section", "notes", "tiles"]

_FIRST = 3


def tiles(evaluation: Evaluation) -> Html:
    """Return the metrics of all images."""
    return tag(
        "div",
        *(
            tag("div", tag("small", name), tag("b", value), tag("small", more))
            for name, value, more in _tiles(evaluation)
        ),
        class_="tiles",
    )


def notes(evaluation: Evaluation) -> Html:
    """Return what is part of no metric, and what may be a misunderstanding."""
    return join(*(tag("p", f"{text}.", class_="note") for text in _notes(evaluation)))


def class_section(evaluation: Evaluation, numbers: Mapping[str, int]) -> Html:
    """Return the metrics of each class, as a table that can be sorted.

    Args:
        evaluation: The evaluation.
        numbers: The number of each class in the page's data.
    """
    rows = (
        tag(
            "tr",
            tag("th", _class_button(each.label, numbers), scope="row", data_value=each.label),
            _cell(each.support, f"{each.support:,}"),
            _cell(each.precision, _percent(each.precision)),
            _cell(each.recall, _percent(each.recall)),
            _cell(each.f1, _percent(each.f1)),
        )
        for each in evaluation.classes
    )
    head = tag("tr", *_headings(("Class", "Images", "Precision", "Recall", "F1")))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="classes")
    title = f"Classes: {len(evaluation.classes):,}"
    return section(title, tag("div", table, class_="scroll tall", tabindex="0", role="group", aria_label=title))


def _tiles(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    best, *others = evaluation.top
    low, high = best.interval
    yield "Accuracy", _percent(best.accuracy), f"95 %: {low:.2%} to {high:.2%}"
    if others:
        last = others[-1]
        further = ", ".join(f"top-{each.top} {each.accuracy:.2%}" for each in others[:-1])
        low, high = last.interval
        yield f"Top-{last.top} accuracy", _percent(last.accuracy), further or f"95 %: {low:.2%} to {high:.2%}"
    yield "Balanced accuracy", _percent(evaluation.balanced_accuracy), "mean recall of the classes"
    yield "Macro F1", _percent(evaluation.macro_f1), f"mean of {count(len(evaluation.classes), 'class')}"
    if evaluation.calibration is not None:
        error, probability = evaluation.calibration.expected_error, evaluation.calibration.probability
        yield "Calibration error", _percent(error), f"mean probability {probability:.2%}"
    wrong = evaluation.images - best.correct
    yield "Images", f"{evaluation.images:,}", f"{wrong:,} wrong, {evaluation.errors.rows:,} with an error"


def _notes(evaluation: Evaluation) -> Iterator[str]:
    for skipped, what in (
        (evaluation.errors, "an error instead of an answer"),
        (evaluation.unmatched, "no true label"),
    ):
        if skipped.rows:
            yield f"Not evaluated: {count(skipped.rows, 'row')} with {what}: {_first(skipped)}"
    if evaluation.unknown:
        images = sum(number for _, number in evaluation.unknown)
        names = tuple(name for name, _ in evaluation.unknown)
        yield (
            f"{count(len(names), 'true label')} in no row of the table, so that {count(images, 'image')} "
            f"{'counts' if images == 1 else 'count'} as wrong: {_first(SkippedRows(len(names), names))}"
        )
    if len(evaluation.versions) > 1:
        versions = (f"{each.name} in {count(each.rows, 'row')}" for each in evaluation.versions)
        yield f"The metrics are an average of {count(len(evaluation.versions), 'version')}: {', '.join(versions)}"
    if evaluation.repeated:
        yield f"{count(evaluation.repeated, 'row')} of paths that are in earlier rows too; each row is counted"
    if evaluation.shared:
        names = evaluation.shared
        yield f"Several classes have the label {_first(SkippedRows(len(names), names))}; they are evaluated as one"


def _first(skipped: SkippedRows) -> str:
    names = [shortened(printable(name)) for name in skipped.first[:_FIRST]]
    more = skipped.rows - len(names)
    return f"{', '.join(names)} and {more:,} more" if more else ", ".join(names)


def _headings(names: Sequence[str]) -> Iterator[Html]:
    for place, name in enumerate(names):
        order = "ascending" if place == 0 else "none"
        yield tag("th", tag("button", name, type="button"), scope="col", aria_sort=order)


def _class_button(label: str, numbers: Mapping[str, int]) -> Html:
    return tag(
        "button",
        tag("bdi", shortened(label, 60)),
        type="button",
        title="Show the images of this true class",
        data_truth=str(numbers[label]),
        aria_pressed="false",
    )


def _cell(value: float | None, text: str) -> Html:
    return tag("td", text, class_="number", data_value="-1" if value is None else f"{value:.6f}")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
