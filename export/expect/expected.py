"""Expected answers by class number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camserve.errors import UsageError
from camserve.expected_answers import ExpectedAnswers, both_classes
from camserve.export.expect.expected_file import ExpectedFile
from camserve.text import count, printable

__all__ = ["Expected", "resolve_expected"]


@dataclass(frozen=True, eq=False)
class Expected:
    """Image files with the expected answers.

    Attributes:
        names: The path of each image as the user wrote it.
        images: The path of each image.
        answers: The expected answers.
    """

    names: tuple[str, ...]
    images: tuple[Path, ...]
    answers: ExpectedAnswers

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, most: int) -> Expected:
        """Return at most so many of the images, evenly spaced, the first and the last included."""
        if len(self) <= most:
            return self
        chosen = [int(number) for number in np.linspace(0, len(self) - 1, most).round()]
        names, images = tuple(self.names[number] for number in chosen), tuple(self.images[number] for number in chosen)
        return Expected(names, images, self.answers.take(chosen))


def resolve_expected(file: ExpectedFile, outputs: int, labels: Sequence[str] | None) -> Expected:
    """Return expected answers by class number.

    Args:
        file: The answers as they are written.
        outputs: Number of values that the model returns for an image.
        labels: The label of each class, or None.

    Raises:
        UsageError: If a class is unknown, or the columns of probabilities are not the classes of the model.
    """
    classes = max(outputs, 2)
    names = _Names(file, classes, labels)
    probabilities = file.probabilities
    if probabilities is None:
        numbers = names.numbers(file.classes or ())
        return Expected(file.names, file.images, ExpectedAnswers(np.array(numbers, np.int64)))
    if probabilities.shape[1] not in {outputs, classes}:
        raise UsageError(
            f"{printable(file.path)} has {count(probabilities.shape[1], 'column')} of probabilities, but the model has "
            f"{count(outputs, 'class')}",
            hint="Write one column of probabilities for each class: --expect FILE",
        )
    if file.columns is not None and probabilities.shape[1] > 1:
        numbers = names.numbers(file.columns)
        if sorted(numbers) != list(range(classes)):
            raise UsageError(
                f"the columns of {printable(file.path)} name a class twice",
                hint="Write one column of probabilities for each class: --expect FILE",
            )
        probabilities = probabilities[:, np.argsort(numbers)]
    probabilities = both_classes(probabilities)
    return Expected(file.names, file.images, ExpectedAnswers(probabilities.argmax(axis=1), probabilities))


class _Names:
    """The names of the classes of a file: numbers or labels."""

    def __init__(self, file: ExpectedFile, classes: int, labels: Sequence[str] | None) -> None:
        self._file, self._classes = file, classes
        self._labels: dict[str, int] = {}
        self._repeated: dict[str, int] = {}
        for number, line in enumerate(labels or ()):
            for name in {part.strip() for part in (line, *line.split("\t", 1))}:
                if self._labels.setdefault(name, number) != number:
                    self._repeated[name] = number

    def numbers(self, names: Sequence[str]) -> list[int]:
        """Return the class number of each name; they are all labels or all numbers.

        Raises:
            UsageError: If one is neither, or both readings are possible and differ.
        """
        self._check_unique(names)
        as_labels = [self._labels[name] for name in names if name in self._labels]
        as_numbers = [int(name) for name in names if name.isdecimal() and int(name) < self._classes]
        all_labels, all_numbers = len(as_labels) == len(names), len(as_numbers) == len(names)
        if all_labels and all_numbers and as_labels != as_numbers:
            raise UsageError(
                f"the classes of {printable(self._file.path)} can be numbers or labels, which differ",
                hint="Use labels that are not numbers of other classes: --labels FILE",
            )
        if all_labels or all_numbers:
            return as_labels if all_labels else as_numbers
        known = {*self._labels, *map(str, range(self._classes))}
        unknown = next((name for name in names if name not in known), names[0])
        raise UsageError(
            f"{printable(self._file.path)} names the class {printable(unknown)!r}, which the model does not have",
            hint=f"Use numbers from 0 to {self._classes - 1}, or pass the labels: --labels FILE",
        )

    def _check_unique(self, names: Sequence[str]) -> None:
        """Refuse a label of several classes, such as `crane` of ImageNet."""
        for name in names:
            if name in self._repeated:
                raise UsageError(
                    f"{printable(self._file.path)} names the class {printable(name)!r}, which is the label of classes "
                    f"{self._labels[name]} and {self._repeated[name]}",
                    hint="Use class numbers instead of labels: --expect FILE",
                )
