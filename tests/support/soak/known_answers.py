"""The correct answers of each version of a model, computed before a server is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from support.toy import expected_outputs

from camserve.bundle import ONNX_NAME, Bundle
from camserve.clients.answers.classification import Classification
from camserve.images import load_image, prepare
from camserve.manifest import file_digest
from camserve.pixels import normalize

__all__ = ["KnownAnswers"]

Array = npt.NDArray[Any]

_TOLERANCE = 1e-5
_DIFFERENCE = 1e-3
"""Least difference of two correct answers, so that none is taken for another."""


class KnownAnswers:
    """The answers of toy bundles to image files, in float64 by numpy.

    Which bundle a version contains is read from the repository, since version numbers are allocated by publishing.

    Args:
        repository: The model repository.
        bundles: The bundles that are published under each name.
        images: Image files.

    Raises:
        ValueError: If two answers of a model are so similar that one could be taken for the other.
    """

    def __init__(self, repository: Path, bundles: Mapping[str, Sequence[Bundle]], images: Sequence[Path]) -> None:
        self.images = tuple(images)
        self.models = tuple(bundles)
        self._repository = repository
        self._answers: dict[str, dict[str, dict[str, Array]]] = {}
        for model, several in bundles.items():
            self._answers[model] = {file_digest(each.path / ONNX_NAME): self._expected(each) for each in several}
            every = np.concatenate([answers["probabilities"] for answers in self._answers[model].values()])
            if min(np.abs(one - other).max() for one, other in combinations(every, 2)) < _DIFFERENCE:
                raise ValueError(f"two answers of {model} are too similar to tell them apart")
        self._content = cache(self._read_content)

    def problem(self, model: str, image: int, answer: Classification) -> str | None:
        """Return what is wrong with an answer for the version that it names, or None."""
        try:
            expected = self._answers[model][self._content(model, answer.version)]
        except (OSError, KeyError):
            return f"{model}: the answer names version {answer.version!r}, which was not published"
        if answer.model != model or not _equal(answer.probabilities, expected["probabilities"][image]):
            return f"{model} version {answer.version}: not the probabilities of image {image}"
        order = np.argsort(-expected["logits"][image], kind="stable")
        if [each.index for each in answer.top] != order[: len(answer.top)].tolist():
            return f"{model} version {answer.version}: not the classes of image {image}"
        classes, grids = expected["cam_class"][image].tolist(), expected["cam"][image]
        for each in answer.cams:
            if each.index not in classes or not _equal(each.grid, grids[classes.index(each.index)]):
                return f"{model} version {answer.version}: not the map of class {each.index} of image {image}"
        return None

    def row_problem(self, model: str, image: int, row: Mapping[str, str]) -> str | None:
        """Return what is wrong with the row of a table, which names no version, or None."""
        if row["error"]:
            return f"{model}: row with the error {row['error']}"
        ranks = range(1, 1 + sum(name.startswith("class_") for name in row))
        given = {int(row[f"class_{rank}"]): float(row[f"probability_{rank}"]) for rank in ranks}
        probabilities = np.array([given[index] for index in sorted(given)])
        if any(_equal(probabilities, known["probabilities"][image]) for known in self._answers[model].values()):
            return None
        return f"{model}: a row of no version for image {image}"

    def _expected(self, bundle: Bundle) -> dict[str, Array]:
        tensors = np.stack([prepare(load_image(path), bundle.contract) for path in self.images])
        preprocessing = bundle.contract.preprocessing
        return expected_outputs(bundle, normalize(tensors, preprocessing) if preprocessing.in_graph else tensors)

    def _read_content(self, model: str, version: str) -> str:
        return file_digest(self._repository / model / version / ONNX_NAME)


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= _TOLERANCE)
