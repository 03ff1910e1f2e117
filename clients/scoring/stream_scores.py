"""Classify many files, and return one row per file in order, with a limited number of concurrent requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from camserve.argument_checks import check_type
from camserve.clients.answers.classification import Classification
from camserve.clients.classifier import Classifier
from camserve.clients.scoring.inputs import check_several
from camserve.clients.scoring.rows import ScoredRow
from camserve.errors import CamserveError
from camserve.images.crops import Crops
from camserve.images.loading import ImageInput

__all__ = ["score"]


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
    check_several(inputs)
    paths: deque[str | Path] = deque()
    images: Iterator[ImageInput] = _recorded(inputs, paths)
    results = classifier.classify_many(images, top=top, crops=crops, concurrency=concurrency, errors="yield")
    return _rows(results, paths, all_probabilities=all_probabilities)


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
