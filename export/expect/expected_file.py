"""Read a file of expected answers, without a framework: CSV or `.npz`.

A CSV file has a column `path` and then either a column `class` (class numbers or labels) or one column of probabilities
for each class, named by its number or label. An `.npz` file has the arrays `paths` and `classes`, or `paths` and
`probabilities` `[images, classes]`. Paths are relative to the file's folder.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.errors import UsageError
from camserve.text import printable, reason

__all__ = ["ExpectedFile", "read_expected"]

_PATH, _CLASS = "path", "class"
_LAYOUT = (
    "Use a CSV file with the columns path and class, or path and one column of probabilities for each class, named by "
    "its number or label: --expect FILE"
)
_NO_INDEX = "Write it without the index: answers.to_csv(FILE, index=False), and pass it: --expect FILE"
_SHOWN = 8  # columns
_ARRAYS = "Save it with numpy.savez(FILE, paths=[...], probabilities=...) or classes=...: --expect FILE"


@dataclass(frozen=True, eq=False)
class ExpectedFile:
    """Expected answers as they are written in a file.

    Attributes:
        path: The file.
        names: The path of each image as it is written.
        images: The path of each image.
        classes: The class of each image, a number or a label; None if the file has probabilities.
        columns: The number or label of the class of each column of probabilities; None if they are in class order.
        probabilities: Float64 `[images, columns]`; None if the file has classes.
    """

    path: Path
    names: tuple[str, ...]
    images: tuple[Path, ...]
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    probabilities: npt.NDArray[np.float64] | None = None


def read_expected(path: str | Path) -> ExpectedFile:
    """Read expected answers.

    Raises:
        UsageError: If the file cannot be read, has another layout, or names an image that does not exist.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UsageError(f"{printable(path)} is not a file", hint=_LAYOUT)
    try:
        expected = _read_npz(path) if path.suffix == ".npz" else _read_csv(path)
    except (OSError, ValueError, KeyError, EOFError, csv.Error, zipfile.BadZipFile) as error:
        raise UsageError(f"cannot read {printable(path)}: {reason(error, path)}", hint=_LAYOUT) from None
    values = expected.probabilities
    if values is not None and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UsageError(
            f"{printable(path)} has a value for {expected.names[row]!r} that is not a number", hint=_LAYOUT
        )
    return expected


def _read_csv(path: Path) -> ExpectedFile:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream, strict=True) if row]
    if not rows:
        raise _layout_error(path, "is empty")
    header = [name.strip() for name in rows[0]]
    if _PATH not in header or len(header) < 2:
        raise _layout_error(path, _header_problem(header))
    if "" in header:
        raise _layout_error(path, "has a column without a name, such as the index of a DataFrame", _NO_INDEX)
    if uneven := [number for number, row in enumerate(rows, 1) if len(row) != len(header)]:
        raise _layout_error(path, f"has {len(rows[uneven[0] - 1])} values in row {uneven[0]}, expected {len(header)}")
    place = header.index(_PATH)
    names = tuple(row[place] for row in rows[1:])
    others = header[:place] + header[place + 1 :]
    cells = [[cell.strip() for cell in row[:place] + row[place + 1 :]] for row in rows[1:]]
    if others == [_CLASS]:
        return ExpectedFile(path, names, _locate(path, names), classes=tuple(cell for (cell,) in cells))
    if _CLASS in others:
        raise _layout_error(path, f"has the column {_CLASS} and others: {', '.join(others)}")
    probabilities = np.array([[_number(path, cell) for cell in row] for row in cells], np.float64)
    return ExpectedFile(path, names, _locate(path, names), columns=tuple(others), probabilities=probabilities)


def _read_npz(path: Path) -> ExpectedFile:
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, npt.NDArray[Any]] = {name: stored[name] for name in stored.files}
    if "paths" not in arrays or len({"classes", "probabilities"} & arrays.keys()) != 1:
        found = ", ".join(arrays) or "none"
        raise UsageError(
            f"{printable(path)} has the arrays {found}; expected paths, and classes or probabilities", hint=_ARRAYS
        )
    names = tuple(str(name) for name in arrays["paths"].ravel())
    answers = arrays.get("classes", arrays.get("probabilities"))
    if answers is None or not answers.ndim or len(answers) != len(names):
        raise UsageError(f"{printable(path)} has {len(names)} paths and another number of answers", hint=_ARRAYS)
    if "classes" in arrays and answers.size != len(names):
        raise UsageError(
            f"{printable(path)} has {answers.size:,} values in classes, expected one for each of {len(names)} paths",
            hint="Save answers to every class as probabilities: numpy.savez(FILE, paths=[...], probabilities=...), and "
            "pass it: --expect FILE",
        )
    images = _locate(path, names)
    if "classes" in arrays:
        return ExpectedFile(path, names, images, classes=tuple(str(each) for each in answers.ravel()))
    return ExpectedFile(path, names, images, probabilities=np.asarray(answers.reshape(len(names), -1), np.float64))


def _locate(path: Path, names: Sequence[str]) -> tuple[Path, ...]:
    if not names:
        raise _layout_error(path, "has no images")
    images = tuple(path.parent / name for name in names)
    missing = [name for name, image in zip(names, images, strict=True) if not image.is_file()]
    if missing:
        raise UsageError(
            f"{printable(path)} names {printable(missing[0])}, which is not a file in {printable(path.parent)}",
            hint="Write the paths of the images relative to the folder of the file: --expect FILE",
        )
    return images


def _header_problem(header: Sequence[str]) -> str:
    if len(header) == 1 and ";" in header[0]:
        return "has semicolons between the columns, expected commas"
    shown = printable(", ".join(header[:_SHOWN])) + (", …" if len(header) > _SHOWN else "")
    return f"has the columns {shown}; {_PATH} or the answers are missing"


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _layout_error(path, f"has the value {text!r} in a column of probabilities") from None


def _layout_error(path: Path, problem: str, hint: str = _LAYOUT) -> UsageError:
    return UsageError(f"{printable(path)} {problem}", hint=hint)
