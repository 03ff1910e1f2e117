"""Expected answers by class number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camserve.errors import UsageError
from camserve.expected_answers import ExpectedAnswers, both_classes
from camserve.export.class_numbers import ClassNumbers
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
    names = ClassNumbers(file.path, "--expect", classes, labels)
    probabilities = file.probabilities
    if probabilities is None:
        numbers = names.of(file.classes or ())
        return Expected(file.names, file.images, ExpectedAnswers(np.array(numbers, np.int64)))
    if probabilities.shape[1] not in {outputs, classes}:
        raise UsageError(
            f"{printable(file.path)} has {count(probabilities.shape[1], 'column')} of probabilities, but the model has "
            f"{count(outputs, 'class')}",
            hint="Write one column of probabilities for each class: --expect FILE",
        )
    if file.columns is not None and probabilities.shape[1] > 1:
        numbers = names.of(file.columns)
        if sorted(numbers) != list(range(classes)):
            raise UsageError(
                f"the columns of {printable(file.path)} name a class twice",
                hint="Write one column of probabilities for each class: --expect FILE",
            )
        probabilities = probabilities[:, np.argsort(numbers)]
    probabilities = both_classes(probabilities)
    return Expected(file.names, file.images, ExpectedAnswers(probabilities.argmax(axis=1), probabilities))
