"""Scoring: many images in, one row each out, in order, with a bounded number of requests under way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from camserve.argument_checks import check_type
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.predictions import Prediction
from camserve.clients.classifier import Classifier
from camserve.clients.images.loading import EXTENSIONS, ImageInput
from camserve.errors import CamserveError, UsageError
from camserve.text import printable

__all__ = ["ScoredRow", "find_images", "score"]


@dataclass(frozen=True)
class ScoredRow:
    """What became of one file: its best classes, or why there are none.

    Attributes:
        path: The file.
        top: Its best classes, best first; empty where there is an error.
        error: Why there are none, in one line.
    """

    path: str
    top: tuple[Prediction, ...] = ()
    error: str | None = None


def find_images(inputs: Iterable[str | Path]) -> Iterator[Path]:
    """Lists the files to score: each file given, whatever its name, and the images of each folder given.

    A folder is searched with all its subfolders, in the order of their names, for .bmp, .gif, .jpeg, .jpg, .pbm, .pgm,
    .png, .pnm, .ppm, .tif, .tiff and .webp. What does not exist is listed too, so that it gets its row.

    Raises:
        UsageError: If a single path is given, a folder cannot be read, or nothing is found at all.
    """
    _check_several(inputs)
    found = False
    for given in inputs:
        # Path.is_dir raises where it may not look.
        for path in _images_below(Path(given)) if os.path.isdir(given) else (Path(given),):  # noqa: PTH112
            found = True
            yield path
    if not found:
        raise UsageError("there are no images", hint=f"Folders are searched for {' '.join(sorted(EXTENSIONS))}")


def score(
    classifier: Classifier, inputs: Iterable[str | Path], *, top: int = 5, concurrency: int = 8
) -> Iterator[ScoredRow]:
    """Classifies files and yields one row for each, in the order of `inputs`; see `find_images` for folders.

    A file that is no image, and an image that the server refuses while it serves the model, become rows that carry
    the error. Whatever would meet every file alike ends the job: a server that has gone, hangs or no longer serves the
    model, or an answer against the contract. `inputs` is read as rows are taken, so its length does not matter.

    Raises:
        ConnectionFailedError: If the server has gone.
        DeadlineError: If the server does not answer in time.
        RequestError: If the server no longer serves the model.
        ContractError: If an answer is not what the contract promises.
        UsageError: If it is no `Classifier`, such as an `AsyncClassifier`, a single path is given, or `top` or
            `concurrency` is less than one.
    """
    check_type("classifier", classifier, Classifier, "a Classifier")
    _check_several(inputs)
    paths: deque[str | Path] = deque()
    images: Iterator[ImageInput] = _noted(inputs, paths)
    answers = classifier.classify_many(images, top=top, concurrency=concurrency, errors="yield")
    return _rows(answers, paths)


def _check_several(inputs: object) -> None:
    """A single path would be taken for a sequence of letters."""
    if isinstance(inputs, str | os.PathLike):
        raise UsageError(f"inputs is the single path {printable(str(inputs))}", hint="Give a list of paths")


def _rows(
    answers: Generator[Classification | CamserveError, None, None], paths: deque[str | Path]
) -> Iterator[ScoredRow]:
    with closing(answers):
        for answer in answers:
            yield _row(paths.popleft(), answer)


def _noted(inputs: Iterable[str | Path], seen: deque[str | Path]) -> Iterator[ImageInput]:
    """The inputs, each also noted as it is taken up."""
    for each in inputs:
        seen.append(each)
        yield each


def _row(path: str | Path, answer: Classification | CamserveError) -> ScoredRow:
    if isinstance(answer, CamserveError):
        return ScoredRow(str(path), error=" ".join(str(answer).split()))
    return ScoredRow(str(path), answer.top)


def _images_below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"folder {printable(folder)} cannot be read: {error.strerror}",
            hint="Check its permissions, or leave it out",
        ) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):  # a link to a folder may lead back up
            yield from _images_below(Path(entry.path))
        elif Path(entry.name).suffix.lower() in EXTENSIONS:
            yield Path(entry.path)
