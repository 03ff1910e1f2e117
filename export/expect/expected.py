"""Expected answers by class number, and how far answers are from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.errors import UsageError
from camserve.export.expect.expected_file import ExpectedFile
from camserve.text import count, printable

__all__ = ["Expected", "Score", "resolve_expected"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Score:
    """How far answers are from the expected ones.

    Attributes:
        differences: The largest difference of a probability, `[images]`; for expected classes, by how much the
            probability of the expected class is below that of the best one.
        squares: The sum of the squared differences of the probabilities, `[images]`; zeros for expected classes.
    """

    differences: Array
    squares: Array


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected answers; one sigmoid counts as two classes, 1 - p and p.

    Attributes:
        names: The path of each image as the user wrote it.
        images: The path of each image.
        classes: The expected class of each image, `[images]`.
        probabilities: Float64 `[images, classes]`; None if only classes are expected.
    """

    names: tuple[str, ...]
    images: tuple[Path, ...]
    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.images)

    def score(self, answers: Array, images: slice = slice(None)) -> Score:
        """Compare answers with the expected ones.

        Args:
            answers: Probabilities `[images, classes]`, or `[images, 1]` of one sigmoid.
            images: The images that they are of.
        """
        found = _both_classes(np.asarray(answers, np.float64))
        if self.probabilities is None:
            own = np.take_along_axis(found, self.classes[images, np.newaxis], axis=1)[:, 0]
            return Score(_finite(found.max(axis=1) - own), np.zeros(len(found)))
        scale = max(1.0, float(np.abs(self.probabilities).max()))  # larger only for answers that are logits
        differences = np.abs(found - self.probabilities[images]) / scale
        return Score(_finite(differences.max(axis=1)), _finite((differences**2).sum(axis=1)))


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
        return Expected(file.names, file.images, np.array(numbers, np.int64), None)
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
    probabilities = _both_classes(probabilities)
    return Expected(file.names, file.images, probabilities.argmax(axis=1), probabilities)


class _Names:
    """The names of the classes of a file: numbers or labels."""

    def __init__(self, file: ExpectedFile, classes: int, labels: Sequence[str] | None) -> None:
        self._file, self._classes = file, classes
        self._labels: dict[str, int] = {}
        for number, line in enumerate(labels or ()):
            for name in (line, *line.split("\t", 1)):
                self._labels.setdefault(name.strip(), number)

    def numbers(self, names: Sequence[str]) -> list[int]:
        """Return the class number of each name; they are all labels or all numbers.

        Raises:
            UsageError: If one is neither, or both readings are possible and differ.
        """
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


def _both_classes(probabilities: Array) -> Array:
    if probabilities.shape[1] > 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], axis=1)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.inf)
