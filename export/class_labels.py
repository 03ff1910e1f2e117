"""The labels of an export's classes: from the options, or else from the source, or else their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from camserve.contract import Activation, ModelContract
from camserve.export.option_checks import check_label_count
from camserve.export.options import ExportOptions
from camserve.export.source.downloads import imagenet_labels
from camserve.export.source.load import Source
from camserve.labels import parse_labels
from camserve.text import count

__all__ = ["ClassLabels", "has_two_labels", "resolve_labels"]

_SHOWN = 3
_WITHOUT_LABELS = (
    "no labels: answers contain class numbers; pass the labels in the order of training with --labels FILE (text with "
    "one per line, or Keras's class_indices as JSON)"
)
_SINGLE_VALUE: dict[Activation, str] = {
    "sigmoid": "the model has one sigmoid, served as class 0 with p; two labels make it two classes, with 1 - p and p",
    "softmax": "softmax over a single class is 1 for every image; use sigmoid, or 2 units",
    "linear": "the model returns one value without sigmoid, which is not a probability; if it was trained with "
    "from_logits=True, append keras.layers.Activation('sigmoid')",
}


@dataclass(frozen=True)
class ClassLabels:
    """Labels, and what the user should know about them.

    Attributes:
        lines: One line per class, as in `labels.txt`.
        notes: Sentences for the report, without full stops.
    """

    lines: tuple[str, ...]
    notes: tuple[str, ...]


def has_two_labels(options: ExportOptions) -> bool:
    """Return whether two labels are given, which make two classes of a single sigmoid."""
    return options.labels is not None and len(parse_labels(options.labels)) == 2


def resolve_labels(
    source: Source, contract: ModelContract, options: ExportOptions, *, one_sigmoid: bool
) -> ClassLabels:
    """Return the requested label of each class, or else that of the source, or else the class's number.

    Args:
        source: The loaded classifier.
        contract: The contract of its export.
        options: The options.
        one_sigmoid: Whether two classes were made of a single sigmoid.

    Raises:
        UsageError: If the number of labels is not the number of classes.
    """
    if options.labels is not None:
        labels = parse_labels(options.labels)
        check_label_count(labels, contract.classes, options.labels, contract.activation)
        notes = (*_two_classes(labels if one_sigmoid else ()), *_duplicates(labels), *_single_value(contract))
        return ClassLabels(labels, notes)
    known = imagenet_labels() if source.imagenet else source.labels
    if known is not None and len(known) == contract.classes:
        return ClassLabels(known, ())
    return ClassLabels(tuple(map(str, range(contract.classes))), (_WITHOUT_LABELS, *_single_value(contract)))


def _two_classes(labels: Sequence[str]) -> Iterator[str]:
    if labels:
        zero, one = map(_name, labels)
        yield f"one sigmoid is served as two classes: {zero} (class 0) with 1 - p, {one} (class 1) with p"


def _duplicates(labels: Sequence[str]) -> Iterator[str]:
    names = Counter(labels)
    repeated = [label for label, times in names.items() if times > 1]
    if repeated:
        first = [str(number) for number, label in enumerate(labels) if label == repeated[0]]
        yield (
            f"{count(len(repeated), 'label')} of several classes; the first is {_name(repeated[0])}, of the classes "
            f"{', '.join(first[:_SHOWN])}{', …' if len(first) > _SHOWN else ''}: select such a class by its number"
        )


def _single_value(contract: ModelContract) -> Iterator[str]:
    """Yield what a single value means; one sigmoid has no labels here, since two would make two classes of it."""
    if contract.classes == 1:
        yield _SINGLE_VALUE[contract.activation]


def _name(line: str) -> str:
    return repr(line.rpartition("\t")[2])
