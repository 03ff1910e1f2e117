"""The names of a model's classes as text: one a line, in class order, in `labels.txt` and in `config.pbtxt`."""

from __future__ import annotations

__all__ = ["label_lines"]


def label_lines(text: str) -> tuple[str, ...]:
    """The label of each class, without blanks at its end; empty lines at the end of the text do not count.

    Only a line feed ends a label, so that a label may hold any other separator that Unicode knows.
    """
    text = text.rstrip()
    return tuple(line.rstrip() for line in text.split("\n")) if text else ()
