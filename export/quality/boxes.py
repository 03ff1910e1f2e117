"""Read a file of boxes around objects in images, without a framework.

It is CSV with the columns `path` (relative to its folder), `class` or `label` (a number or label), `xmin`, `ymin`,
`xmax` and `ymax` in pixels of the image file, and one line for each box. Other columns are ignored.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.errors import UsageError
from camserve.text import listed, printable, reason

__all__ = ["BoxFile", "BoxLine", "box_error", "read_boxes"]

_PATH, _CLASS = "path", ("class", "label")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_LAYOUT = (
    f"Use a CSV file with the columns {_PATH}, {_CLASS[0]}, {', '.join(_SIDES)}, in pixels of the image files: "
    "--boxes FILE"
)


@dataclass(frozen=True)
class BoxLine:
    """A box around an object.

    Attributes:
        line: The line of the file.
        name: The path of the image as it is written.
        image: The path of the image.
        label: The class, a number or label.
        box: Left, top, right and bottom in pixels of the image file, whose first pixel extends from 0 to 1.
    """

    line: int
    name: str
    image: Path
    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxFile:
    """The boxes of a file.

    Attributes:
        path: The file.
        lines: Its boxes, at least one.
    """

    path: Path
    lines: tuple[BoxLine, ...]


def read_boxes(path: str | Path) -> BoxFile:
    """Read boxes.

    Raises:
        UsageError: If the file cannot be read or has another layout, a box is empty or in another unit than pixels, or
            an image does not exist; the message names the line.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UsageError(f"{printable(path)} is not a file", hint=_LAYOUT)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = _read(path, csv.DictReader(stream, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"cannot read {printable(path)}: {reason(error, path)}", hint=_LAYOUT) from None
    if not lines:
        raise UsageError(f"{printable(path)} contains no boxes", hint=_LAYOUT)
    if all(max(each.box) <= 1 for each in lines):
        raise UsageError(
            f"no coordinate in {printable(path)} is above 1, as if they were shares of the image",
            hint="Multiply them by the width and height of each image file, in pixels: --boxes FILE",
        )
    return BoxFile(path, lines)


def box_error(path: Path, line: int, problem: str, hint: str = _LAYOUT) -> UsageError:
    """Return the error of a line.

    Args:
        path: The file.
        line: The line.
        problem: What is wrong with it, to follow `line 3 of boxes.csv`.
        hint: What to do.
    """
    return UsageError(f"line {line} of {printable(path)} {problem}", hint=hint)


def _read(path: Path, reader: csv.DictReader[str]) -> tuple[BoxLine, ...]:
    names = [name.strip() for name in reader.fieldnames or ()]
    label = next((name for name in _CLASS if name in names), None)
    missing = [name for name in (_PATH, *_SIDES) if name not in names] + ([] if label else [_CLASS[0]])
    if missing:
        separated = "; its columns are separated by semicolons, expected commas" if ";" in "".join(names) else ""
        raise UsageError(
            f"{printable(path)} has no {'column' if len(missing) == 1 else 'columns'} {listed(missing)}{separated}",
            hint=_LAYOUT,
        )
    reader.fieldnames = names
    return tuple(_line(path, reader.line_num, row, str(label)) for row in reader)


def _line(path: Path, line: int, row: Mapping[str | None, Any], label: str) -> BoxLine:
    if None in row:  # as with decimal commas
        raise box_error(path, line, "has more values than there are columns")
    name, class_ = ((row[column] or "").strip() for column in (_PATH, label))
    if not name or not class_:
        raise box_error(path, line, f"has no {label if name else _PATH}")
    image = path.parent / name
    if not image.is_file():
        raise box_error(
            path,
            line,
            f"names {printable(name)}, which is not a file in {printable(path.parent)}",
            "Write the paths of the images relative to the folder of the file: --boxes FILE",
        )
    left, top, right, bottom = (_number(path, line, side, row[side]) for side in _SIDES)
    _check_order(path, line, ("xmin", left), ("xmax", right))
    _check_order(path, line, ("ymin", top), ("ymax", bottom))
    return BoxLine(line, name, image, class_, (left, top, right, bottom))


def _number(path: Path, line: int, side: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise box_error(path, line, f"has {side} {printable(text or '')!r}, expected a number of at least 0")
    return value


def _check_order(path: Path, line: int, *sides: tuple[str, float]) -> None:
    (low, first), (high, second) = sides
    if first >= second:
        raise box_error(
            path,
            line,
            f"has {low} {first:g} and {high} {second:g}, which is no box",
            f"Write the smaller coordinate as {low}; if the file has width and height, {high} is {low} plus them: "
            "--boxes FILE",
        )
