"""The text format of class labels: one label per line, in class order, in `labels.txt` and in `config.pbtxt`."""

from __future__ import annotations

__all__ = ["label_lines"]


def label_lines(text: str) -> tuple[str, ...]:
    """Split text into labels, without trailing whitespace; empty lines at the end are ignored.

    Only a line feed separates labels: a label may contain any other separator of Unicode.
    """
    text = text.rstrip()
    return tuple(line.rstrip() for line in text.split("\n")) if text else ()
