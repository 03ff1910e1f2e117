"""Classify many files, and return one row per file in order, with a limited number of concurrent requests."""

from __future__ import annotations

import logging
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
from camserve.images.folders import expand, images_in
from camserve.images.left_out import LeftOut
from camserve.images.loading import ImageInput
from camserve.text import printable

__all__ = ["ScoredRow", "find_images", "score"]

_log = logging.getLogger("camserve.clients")


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


def find_images(inputs: Iterable[str | Path], *, left_out: LeftOut | None = None) -> Iterator[Path]:
    """List the files to score: the given files, whatever their names, and the images in the given folders.

    Folders are searched recursively, in the order of names, for files with the extension of an image, and files of any
    other name with the content of one. Links to folders are followed, but no folder is searched twice. Hidden files
    and folders (names that start with a dot, `__MACOSX`, `Thumbs.db`, `desktop.ini` and the like), raw photos (`.dng`,
    `.nef` and the like) and files of other content are left out. Patterns such as `photos/*.jpg` are
    expanded if no file has that name. Missing files are listed, too, so that they get a row.

    Args:
        inputs: Files, folders and patterns.
        left_out: Counts what is left out of the folders (default: it is logged as a warning at the end).

    Raises:
        UsageError: If a single path is passed, a folder cannot be read, nothing matches a pattern, or no file is found.
    """
    _check_several(inputs)
    counted = LeftOut() if left_out is None else left_out
    found = False
    for path in _files(inputs, counted):
        found = True
        yield path
    if not found:
        raise UsageError(
            f"no images found{f'; left out: {counted}' if counted else ''}",
            hint="Pass image files, or folders that contain images",
        )
    if left_out is None and counted:
        _log.warning("left out: %s", counted)


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


def _files(inputs: Iterable[str | Path], left_out: LeftOut) -> Iterator[Path]:
    for given in inputs:
        for path in expand(given):
            if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises an error without permission)
                yield from images_in(path, left_out)
            else:
                yield path


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
