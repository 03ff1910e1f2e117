"""The confusion matrix of the page, whose cells filter the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from camserve.clients.evaluation.results import Confusion, Evaluation
from camserve.pages.markup import Html, join, section, tag
from camserve.text import count, shortened

__all__ = ["choose_classes", "confusion_section", "is_small"]


_ALL_CLASSES = 24
"""The most classes of a complete matrix."""
_SOME_CLASSES = 16
_MOST_PAIRS = 12
_LEVELS = 5
_FEW, _SHORT = 10, 8


def confusion_section(evaluation: Evaluation, numbers: Mapping[str, int]) -> Html:
    """Return the matrix, and the most frequent confusions.

    Args:
        evaluation: The evaluation.
        numbers: The number of each class in the page's data.
    """
    wrong = [cell for cell in evaluation.confusion if cell.truth != cell.predicted]
    classes = choose_classes(evaluation)
    return section(
        "Confusion matrix",
        tag("p", _scope(evaluation, classes, wrong), class_="faint"),
        tag("div", _matrix(evaluation, classes, numbers), class_="scroll"),
        _pairs(wrong, numbers),
        class_="confusion",
    )


def choose_classes(evaluation: Evaluation) -> list[str]:
    """Return the classes of the matrix: all in the order of the labels, or those of the most frequent confusions.

    Classes that are confused with each other are then next to each other.
    """
    labels = [each.label for each in evaluation.classes]
    if len(labels) <= _ALL_CLASSES:
        return labels
    wrong = _most_frequent(cell for cell in evaluation.confusion if cell.truth != cell.predicted)
    confused = dict.fromkeys(label for cell in wrong for label in (cell.truth, cell.predicted))
    return [*dict.fromkeys((*confused, *labels))][:_SOME_CLASSES]


def _most_frequent(cells: Iterable[Confusion]) -> list[Confusion]:
    return sorted(cells, key=lambda cell: -cell.images)


def _scope(evaluation: Evaluation, classes: Sequence[str], wrong: Sequence[Confusion]) -> str:
    text = "Rows: true class; columns: best class. Select a cell to see its images."
    if len(classes) == len(evaluation.classes):
        return text
    shown = set(classes)
    inside = sum(cell.images for cell in wrong if cell.truth in shown and cell.predicted in shown)
    return (
        f"{text} Shown are the {len(classes)} of {len(evaluation.classes):,} classes that are confused most often; "
        f"they contain {inside:,} of {count(sum(cell.images for cell in wrong), 'mistake')}."
    )


def _matrix(evaluation: Evaluation, classes: Sequence[str], numbers: Mapping[str, int]) -> Html:
    cells = {(cell.truth, cell.predicted): cell.images for cell in evaluation.confusion}
    support = {each.label: each.support for each in evaluation.classes}
    corner = tag("td", tag("span", "true \\ best", class_="faint"))
    head = tag(
        "tr",
        corner,
        *(tag("th", tag("span", shortened(name, 24)), scope="col", title=shortened(name)) for name in classes),
    )
    rows = (
        tag(
            "tr",
            tag("th", shortened(truth, 24), scope="row", title=shortened(truth)),
            *(
                _cell(truth, predicted, cells.get((truth, predicted), 0), support[truth], numbers)
                for predicted in classes
            ),
        )
        for truth in classes
    )
    return tag(
        "table",
        tag("thead", head),
        tag("tbody", *rows),
        class_="matrix" if is_small(evaluation) else "matrix vertical",
        aria_label="Confusion matrix",
    )


def is_small(evaluation: Evaluation) -> bool:
    """Return whether the matrix needs little space: it has few columns, with short labels."""
    labels = [each.label for each in evaluation.classes]
    return len(labels) <= _FEW and max(map(len, labels)) <= _SHORT


def _cell(truth: str, predicted: str, images: int, support: int, numbers: Mapping[str, int]) -> Html:
    if not images:
        return tag("td", tag("span", "·", class_="faint", aria_hidden="true"))
    level = min(_LEVELS, 1 + int(_LEVELS * (images / support) ** 0.5))
    kind = "correct" if truth == predicted else "wrong"
    button = tag(
        "button",
        f"{images:,}",
        type="button",
        class_=f"{kind} level{level}",
        title=f"{truth} → {predicted}",
        aria_label=f"true class {truth}, best class {predicted}: {count(images, 'image')}",
        aria_pressed="false",
        **_data(numbers, truth, predicted),
    )
    return tag("td", button)


def _pairs(wrong: Sequence[Confusion], numbers: Mapping[str, int]) -> Html:
    shown = _most_frequent(wrong)[:_MOST_PAIRS]
    if not shown:
        return join()
    buttons = (
        tag(
            "button",
            tag("bdi", shortened(cell.truth, 40)),
            " → ",
            tag("bdi", shortened(cell.predicted, 40)),
            tag("b", f"{cell.images:,}"),
            type="button",
            aria_label=f"true class {cell.truth}, best class {cell.predicted}: {count(cell.images, 'image')}",
            aria_pressed="false",
            **_data(numbers, cell.truth, cell.predicted),
        )
        for cell in shown
    )
    part = f", {len(shown)} of {len(wrong):,}" if len(shown) < len(wrong) else ""
    return join(tag("h3", f"Most frequent confusions{part}"), tag("div", *buttons, class_="pairs"))


def _data(numbers: Mapping[str, int], truth: str, predicted: str) -> dict[str, str]:
    return {"data_truth": str(numbers[truth]), "data_predicted": str(numbers[predicted])}
