"""The classes that a file of the user names: numbers or labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from camserve.errors import UsageError
from camserve.text import printable

__all__ = ["ClassNumbers"]


class ClassNumbers:
    """Finds the numbers of the classes that a file names.

    Args:
        path: The file, for messages.
        option: The option that takes the file, such as `--expect`.
        classes: Number of classes.
        labels: The label of each class, or None. Where it has an identifier before a tab, each names the class.
    """

    def __init__(self, path: Path, option: str, classes: int, labels: Sequence[str] | None) -> None:
        self._path, self._option, self._classes = path, option, classes
        self._labels: dict[str, int] = {}
        self._repeated: dict[str, int] = {}
        for number, line in enumerate(labels or ()):
            for name in {part.strip() for part in (line, *line.split("\t", 1))}:
                if self._labels.setdefault(name, number) != number:
                    self._repeated[name] = number

    def of(self, names: Sequence[str], lines: Sequence[int] | None = None) -> list[int]:
        """Return the class number of each name; they are all labels or all numbers.

        Args:
            names: The names.
            lines: The line of the file that each is in, for messages (default: none is named).

        Raises:
            UsageError: If one is neither, both readings are possible and differ, or a label is that of several classes.
        """
        self._check_unique(names, lines)
        as_labels = [self._labels[name] for name in names if name in self._labels]
        as_numbers = [int(name) for name in names if name.isdecimal() and int(name) < self._classes]
        all_labels, all_numbers = len(as_labels) == len(names), len(as_numbers) == len(names)
        if all_labels and all_numbers and as_labels != as_numbers:
            raise UsageError(
                f"the classes of {printable(self._path)} can be numbers or labels, which differ",
                hint="Use labels that are not numbers of other classes: --labels FILE",
            )
        if all_labels or all_numbers:
            return as_labels if all_labels else as_numbers
        known = {*self._labels, *map(str, range(self._classes))}
        unknown = next((place for place, name in enumerate(names) if name not in known), None)
        if unknown is None:
            raise UsageError(
                f"the classes of {printable(self._path)} are numbers in some lines and labels in others",
                hint=f"Use one of them for all: {self._option} FILE",
            )
        raise UsageError(
            f"{self._place(lines, unknown)} names the class {printable(names[unknown])!r}, which the model does not "
            "have",
            hint=f"Use numbers from 0 to {self._classes - 1}, or pass the labels: --labels FILE",
        )

    def _check_unique(self, names: Sequence[str], lines: Sequence[int] | None) -> None:
        """Refuse a label of several classes, such as `crane` of ImageNet."""
        for place, name in enumerate(names):
            if name in self._repeated:
                raise UsageError(
                    f"{self._place(lines, place)} names the class {printable(name)!r}, which is the label of classes "
                    f"{self._labels[name]} and {self._repeated[name]}",
                    hint=f"Use class numbers instead of labels: {self._option} FILE",
                )

    def _place(self, lines: Sequence[int] | None, place: int) -> str:
        return f"{'' if lines is None else f'line {lines[place]} of '}{printable(self._path)}"
