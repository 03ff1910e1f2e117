"""Class labels: in text files with one label per line, as JSON, and as Python lists and dictionaries.

The text form, in class order, is that of `labels.txt` and `config.pbtxt`. A line is a label, or an identifier of the
data set, a tab and the label.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from camserve.errors import UsageError
from camserve.text import control_character, printable, reason

__all__ = ["LabelSource", "label_fault", "label_lines", "label_origin", "parse_labels", "read_label_lines"]

LabelSource = str | Path | Collection[str] | Mapping[str, int] | Mapping[int, str]
"""The path of a file, the labels in class order, Keras's `class_indices`, or the label of each class number."""

_FORMS = 'Use {"cat": 0, "dog": 1} as Keras\'s class_indices, {"0": "cat", "1": "dog"}, or ["cat", "dog"]'
_MOST_DIGITS = 18
_MOST_CHARACTERS = 10_000

_NUMBERING = "Number the classes from 0 without gaps, as Keras's class_indices"


class _JsonObject(tuple[tuple[str, Any], ...]):
    """The pairs of a JSON object, of which a dictionary would keep only the last with a name."""

    __slots__ = ()


def label_lines(text: str) -> tuple[str, ...]:
    """Split text into labels, without trailing whitespace; empty lines at the end are ignored.

    Only a line feed separates labels: a label may contain any other separator of Unicode.
    """
    text = text.rstrip()
    return tuple(line.rstrip() for line in text.split("\n")) if text else ()


def label_fault(line: str) -> str | None:
    """Return why a line is not a label, such as `is empty`; None if it is one.

    Control characters would change what a terminal shows of other labels. Export, publishing and the clients refuse the
    same labels.
    """
    if not line:
        return "is empty"
    if len(line) > _MOST_CHARACTERS:
        return f"has {len(line):,} characters, more than {_MOST_CHARACTERS:,}"
    control = control_character(line.replace("\t", " "))
    return None if control is None else f"contains the control character {control}"


def read_label_lines(path: Path) -> tuple[str, ...]:
    """Read a text file: one label per line, in class order; empty lines at the end are ignored.

    Raises:
        UsageError: If the file cannot be read, is not UTF-8, or a line before the last label is empty, too long or
            contains control characters.
    """
    return _check_lines(label_lines(_read(path)), path)


def parse_labels(labels: LabelSource) -> tuple[str, ...]:
    """Return the label of each class, in class order.

    A file is read as JSON if its name ends in `.json`, or if it contains a JSON list or object.

    Args:
        labels: A path, a list, or a dictionary; in lists and dictionaries a label may be `[identifier, label]`, as in
            Keras's index of ImageNet.

    Raises:
        UsageError: If the file cannot be read, a label is not one line of text, a class has no label or several, or
            `labels` is a set, which has no order, or an iterator, which can be read only once.
    """
    if not isinstance(labels, Collection | Path) or isinstance(labels, set | frozenset):
        raise UsageError(f"labels must be a path, a list or a dictionary, got {type(labels).__name__}", hint=_FORMS)
    if not isinstance(labels, str | Path):
        return _labels_of(labels, label_origin(labels))
    path = Path(labels).expanduser()
    text = _read(path)
    named_json = path.suffix.lower() == ".json"
    if named_json or text.lstrip().startswith(("[", "{")):
        try:
            document = json.loads(text, object_pairs_hook=_JsonObject)
        except (ValueError, RecursionError) as error:
            if named_json:
                raise UsageError(f"{printable(path)} is not valid JSON: {error}", hint=_FORMS) from None
        else:
            return _labels_of(document, printable(path))
    return _check_lines(label_lines(text), path)


def label_origin(labels: LabelSource) -> str:
    """Return what messages call the labels: the path of their file, `the dictionary` or `the list`."""
    if isinstance(labels, str | Path):
        return printable(labels)
    return "the dictionary" if isinstance(labels, Mapping) else "the list"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read labels from {printable(path)}: {reason(error, path)}",
            hint="Use a UTF-8 file: text with one label per line, or JSON",
        ) from None


def _check_lines(lines: tuple[str, ...], path: Path) -> tuple[str, ...]:
    for number, line in enumerate(lines, 1):
        fault = label_fault(line)
        if fault is not None:
            raise UsageError(
                f"line {number} of {printable(path)} {fault}",
                hint=f"Use one label of at most {_MOST_CHARACTERS:,} characters per line, in class order",
            )
    return lines


def _labels_of(document: Any, origin: str) -> tuple[str, ...]:
    if isinstance(document, Mapping):
        document = _JsonObject(document.items())
    if isinstance(document, _JsonObject):
        return _in_order(_numbered(document, origin), origin)
    if isinstance(document, str) or not isinstance(document, Iterable):
        raise UsageError(f"{origin} contains neither a list nor a dictionary of labels", hint=_FORMS)
    return tuple(_line(label, index, origin) for index, label in enumerate(document))


def _numbered(pairs: _JsonObject, origin: str) -> list[tuple[int, str]]:
    """Return class numbers with labels, from either order of the two."""
    if pairs and all(_is_number(value) for _, value in pairs):
        _check_distinct(pairs, origin)
        return [(int(number), _line(label, number, origin)) for label, number in pairs]
    neither = next((pair for pair in pairs if not _is_number(pair[1]) and not _is_class(pair[0])), None)
    if neither is not None:
        raise UsageError(
            f"{origin} has the entry {neither[0]!r}: {neither[1]!r}, which is neither a label with a class number nor "
            "a class number with a label",
            hint=_FORMS,
        )
    if not all(_is_class(key) for key, _ in pairs):
        raise UsageError(
            f"{origin} has entries of both forms, labels with class numbers and class numbers with labels", hint=_FORMS
        )
    return [(int(number), _line(label, number, origin)) for number, label in pairs]


def _check_distinct(pairs: _JsonObject, origin: str) -> None:
    numbers: dict[object, int] = {}
    for label, number in pairs:
        if label in numbers:
            raise UsageError(f"label {label!r} has two classes in {origin}: {numbers[label]} and {number}", hint=_FORMS)
        numbers[label] = number


def _in_order(entries: list[tuple[int, str]], origin: str) -> tuple[str, ...]:
    labels: dict[int, str] = {}
    for number, label in entries:
        if number in labels:
            raise UsageError(
                f"class {number} has two labels in {origin}: {labels[number]!r} and {label!r}", hint=_NUMBERING
            )
        labels[number] = label
    missing = next((number for number in range(len(labels)) if number not in labels), None)
    if missing is not None:
        raise UsageError(
            f"class {missing} has no label in {origin}, whose class numbers are {min(labels)} to {max(labels)}",
            hint=_NUMBERING,
        )
    return tuple(labels[number] for number in range(len(labels)))


def _line(label: Any, number: Any, origin: str) -> str:
    parts = list(label) if isinstance(label, list | tuple) else [label]
    if len(parts) > 2 or not all(isinstance(part, str) for part in parts) or not parts:
        raise UsageError(f"the label of class {number} in {origin} is not text: {label!r}", hint=_FORMS)
    line = "\t".join(part.strip() for part in parts)
    if len(line) > _MOST_CHARACTERS:
        raise UsageError(f"the label of class {number} in {origin} {label_fault(line)}", hint="Use shorter labels")
    invalid = next((part for part in parts if label_fault(part.strip()) or len(part.splitlines()) > 1), None)
    if invalid is not None:
        raise UsageError(
            f"invalid label {invalid!r} of class {number} in {origin}",
            hint="Use one non-empty line of text for each label",
        )
    return line


def _is_class(key: object) -> bool:
    """Return whether a key is a class number, which is text in JSON."""
    return _is_number(key) or (str(key).isdecimal() and len(str(key)) <= _MOST_DIGITS)


def _is_number(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
