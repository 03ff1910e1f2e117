"""Scoring: many images in, one row each out, in order, with a bounded number of requests under way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from camserve.clients.answers.decode import Prediction, check_top
from camserve.clients.classifier import Classifier
from camserve.clients.pictures.images import EXTENSIONS
from camserve.errors import CamserveError, ImageError, RequestError, UsageError
from camserve.text import printable

__all__ = ["ScoredRow", "concerns_one_image", "find_images", "score"]

_AHEAD = 2
"""Pictures taken up per thread, so that one slow answer at the head does not leave the others idle."""


@dataclass(frozen=True)
class ScoredRow:
    """What became of one file: its best classes, or why there are none."""

    path: str
    top: tuple[Prediction, ...] = ()
    error: str | None = None


def find_images(inputs: Iterable[str | Path]) -> Iterator[Path]:
    """Lists the files to score: each file given, whatever its name, and the images of each folder given.

    A folder is searched with all its subfolders, in the order of their names, for the endings in `EXTENSIONS`. What
    does not exist is listed too, so that it gets its row.

    Raises:
        UsageError: If a folder cannot be read, or nothing is found at all.
    """
    found = False
    for given in inputs:
        for path in _images_below(Path(given)) if Path(given).is_dir() else (Path(given),):
            found = True
            yield path
    if not found:
        raise UsageError(
            "there are no images to score", hint=f"Folders are searched for {' '.join(sorted(EXTENSIONS))}"
        )


def score(
    classifier: Classifier, inputs: Iterable[str | Path], *, top: int = 5, concurrency: int = 8
) -> Iterator[ScoredRow]:
    """Classifies files and yields one row for each, in the order of `inputs`; see `find_images` for folders.

    A file that is no image, and a picture that the server refuses while it serves the model, become rows that carry
    the error. Whatever would meet every file alike ends the job: a server that has gone, hangs or no longer serves the
    model, or an answer against the contract. `inputs` is read as rows are taken, so its length does not matter.

    Raises:
        ConnectionFailedError: If the server has gone.
        DeadlineError: If the server does not answer in time.
        RequestError: If the server no longer serves the model.
        ContractError: If an answer is not what the contract promises.
        UsageError: If `top` or `concurrency` is less than one.
    """
    check_top(top)
    if concurrency < 1:
        raise UsageError(f"concurrency is {concurrency}", hint="Allow at least one request at a time")
    return _rows(classifier, iter(inputs), top, concurrency)


def _rows(classifier: Classifier, inputs: Iterator[str | Path], top: int, concurrency: int) -> Iterator[ScoredRow]:
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="camserve-score")
    window: deque[Future[ScoredRow]] = deque()
    job = _Job(classifier, top)
    try:
        for path in inputs:
            window.append(pool.submit(job.score, path))
            if len(window) >= concurrency * _AHEAD:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        # Requests under way are left to their deadline, or to the close of the classifier, whichever is first: to wait
        # for a server that hangs would hold up whoever wants to leave.
        pool.shutdown(wait=False, cancel_futures=True)


class _Job:
    """What the threads share: the first error that ends the whole job ends the pictures still to come at once."""

    def __init__(self, classifier: Classifier, top: int) -> None:
        self._classifier = classifier
        self._top = top
        self._fatal: Exception | None = None

    def score(self, path: str | Path) -> ScoredRow:
        if self._fatal is not None:
            raise self._fatal
        try:
            return self._answer(path)
        except Exception as error:
            self._fatal = error
            raise

    def _answer(self, path: str | Path) -> ScoredRow:
        try:
            return ScoredRow(str(path), self._classifier.classify(path, top=self._top).top)
        except CamserveError as error:
            if not concerns_one_image(error, self._classifier):
                raise
            return _failed(path, error)


def concerns_one_image(error: CamserveError, classifier: Classifier) -> bool:
    """Whether an error of `classify` is the fault of its picture, so that the next one may well be answered.

    A picture that cannot be read is; a refusal is as long as the model is served; whatever else went wrong, such as a
    server that hangs, would meet every picture alike.

    Raises:
        ConnectionFailedError: If the server has gone.
        DeadlineError: If the server does not answer in time.
    """
    return isinstance(error, ImageError) or (isinstance(error, RequestError) and classifier.is_ready())


def _failed(path: str | Path, error: CamserveError) -> ScoredRow:
    return ScoredRow(str(path), error=" ".join(str(error).split()))


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
