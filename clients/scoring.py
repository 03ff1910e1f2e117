"""Classify many files, and return one row per file in order, with a limited number of concurrent requests."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from camserve.argument_checks import check_type
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.predictions import Prediction
from camserve.clients.classifier import Classifier
from camserve.errors import CamserveError, UsageError
from camserve.images.crops import Crops
from camserve.images.extensions import EXTENSIONS
from camserve.images.loading import ImageInput
from camserve.text import printable

__all__ = ["ScoredRow", "find_images", "score"]


@dataclass(frozen=True)
class ScoredRow:
    """The result for one file: its most probable classes, or an error.

    Attributes:
        path: The file.
        top: Its most probable classes, in descending order; empty in case of an error.
        error: The error, in one line.
        model: Name of the model that answered; None in case of an error.
        version: Version of the model that answered; None in case of an error.
        probabilities: Probabilities of all classes, float32 `[classes]`; None in case of an error, or if they were not
            requested. They are not compared.
    """

    path: str
    top: tuple[Prediction, ...] = ()
    error: str | None = None
    model: str | None = None
    version: str | None = None
    probabilities: np.ndarray[Any, Any] | None = field(default=None, repr=False, compare=False)


def find_images(inputs: Iterable[str | Path]) -> Iterator[Path]:
    """List the files to score: the given files, whatever their names, and the images in the given folders.

    Folders are searched recursively, in the order of names, for .bmp, .gif, .jpeg, .jpg, .pbm, .pgm, .png, .pnm, .ppm,
    .tif, .tiff and .webp. Missing files are listed, too, so that they get a row.

    Raises:
        UsageError: If a single path is passed, a folder cannot be read, or no file is found.
    """
    _check_several(inputs)
    found = False
    for entry in inputs:
        # Path.is_dir raises an error without permission.
        for path in _images_below(Path(entry)) if os.path.isdir(entry) else (Path(entry),):  # noqa: PTH112
            found = True
            yield path
    if not found:
        raise UsageError(
            "no images found", hint=f"Pass files, or folders with files that end in {' '.join(sorted(EXTENSIONS))}"
        )


def score(
    classifier: Classifier,
    inputs: Iterable[str | Path],
    *,
    top: int = 5,
    concurrency: int = 8,
    crops: Crops | None = None,
    all_probabilities: bool = False,
) -> Iterator[ScoredRow]:
    """Classify files and yield one row per file, in the order of `inputs`; see `find_images` for folders.

    A file that cannot be decoded, and an image that the server refuses while it serves the model, get a row with the
    error. Errors that concern every file end the iteration: the server is unreachable, does not reply in time or no
    longer serves the model, or a reply violates the contract. `inputs` is consumed as rows are yielded, and may be of
    any length.

    Args:
        classifier: The classifier; its `decode_options` determine how files are decoded, and their limits.
        inputs: The files.
        top: Number of classes in each row.
        concurrency: Number of images to decode and classify at once.
        crops: Crops of each image to classify instead of the whole.
        all_probabilities: Whether rows contain the probabilities of all classes, for `write_table(..., classes=)`.

    Raises:
        ConnectionFailedError: If the server is unreachable.
        DeadlineError: If the server does not reply in time.
        RequestError: If the server no longer serves the model.
        ContractError: If a reply does not match the contract.
        UsageError: If `classifier` is not a `Classifier`, a single path is passed, or `top` or `concurrency` is less
            than 1.
    """
    check_type("classifier", classifier, Classifier, "a Classifier")
    _check_several(inputs)
    paths: deque[str | Path] = deque()
    images: Iterator[ImageInput] = _recorded(inputs, paths)
    results = classifier.classify_many(images, top=top, crops=crops, concurrency=concurrency, errors="yield")
    return _rows(results, paths, all_probabilities=all_probabilities)


def _check_several(inputs: object) -> None:
    """Refuse a single path, which is a sequence of letters."""
    if isinstance(inputs, str | os.PathLike):
        raise UsageError(f"inputs must be a list of paths, got the path {printable(str(inputs))}", hint="Pass [path]")


def _rows(
    results: Generator[Classification | CamserveError, None, None],
    paths: deque[str | Path],
    *,
    all_probabilities: bool,
) -> Iterator[ScoredRow]:
    with closing(results):
        for result in results:
            yield _row(paths.popleft(), result, all_probabilities=all_probabilities)


def _recorded(inputs: Iterable[str | Path], record: deque[str | Path]) -> Iterator[ImageInput]:
    """Yield the inputs, and append each to the record."""
    for each in inputs:
        record.append(each)
        yield each


def _row(path: str | Path, result: Classification | CamserveError, *, all_probabilities: bool) -> ScoredRow:
    if isinstance(result, CamserveError):
        return ScoredRow(str(path), error=" ".join(str(result).split()))
    # Copied, as they are a part of the reply, which a row must not keep.
    probabilities = result.probabilities.copy() if all_probabilities else None
    return ScoredRow(str(path), result.top, model=result.model, version=result.version, probabilities=probabilities)


def _images_below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"folder {printable(folder)} cannot be read: {error.strerror}",
            hint="Check its permissions, or leave it out",
        ) from None
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):  # links to folders may form a cycle
            yield from _images_below(Path(entry.path))
        elif Path(entry.name).suffix.lower() in EXTENSIONS:
            yield Path(entry.path)
