"""Golden images: image files with the answers that the user's own pipeline gave, stored in the bundle.

Serving decodes, resizes and classifies them again, as clients do, to verify the whole way from file to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import Activation, ModelContract
from camserve.errors import BundleError, ImageError
from camserve.expected_answers import ExpectedAnswers, both_classes
from camserve.golden import UNREADABLE, check_entries
from camserve.images.loading import load_image
from camserve.images.preprocess import prepare
from camserve.tensors import PROBABILITIES
from camserve.text import control_character, printable, reason, shortened

__all__ = [
    "MAX_BYTES",
    "MAX_IMAGES",
    "GoldenImages",
    "read_golden_images",
    "tolerance_fault",
    "write_golden_images",
]

MAX_IMAGES = 20
"""The most images of a bundle."""

MAX_BYTES = 16 * 1024 * 1024
"""The most bytes of all image files of a bundle."""

_NAMES, _CLASSES, _TOLERANCE, _FILE = "names", "classes", "tolerance", "file_{}"
_EXPORT_AGAIN = "Export the model again"

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class GoldenImages:
    """Image files with the expected answers.

    Attributes:
        names: The name of each image, as the user wrote it; in a file without the folders of an absolute path.
        files: The bytes of each image file.
        answers: The expected answers.
        tolerance: The largest difference with which the export passed its check.
    """

    names: tuple[str, ...]
    files: tuple[bytes, ...]
    answers: ExpectedAnswers
    tolerance: float

    def image(self, contract: ModelContract) -> Array:
        """Decode and preprocess the images as clients do, and return the input tensor, batch first.

        Raises:
            BundleError: If an image cannot be decoded or fitted to the input.
        """
        try:
            return np.stack([prepare(load_image(file), contract) for file in self.files])
        except ImageError as error:
            raise BundleError(f"a golden image cannot be read: {error.message}", hint=_EXPORT_AGAIN) from None

    def faults(self, answers: Mapping[str, Array], *, tolerance: float = 0.0) -> tuple[str, ...]:
        """List the images whose answers are not the expected ones.

        Args:
            answers: The outputs of the model, batch first.
            tolerance: How far the answers of one file may differ between two machines, in addition.
        """
        differences = self.answers.score(answers[PROBABILITIES]).differences
        limit = self.tolerance + tolerance
        found = both_classes(answers[PROBABILITIES]).argmax(axis=1)
        return tuple(
            f"{name} is of class {best}, expected {wanted} (difference {difference:.2g}, tolerance {limit:.2g})"
            for name, best, wanted, difference in zip(self.names, found, self.answers.classes, differences, strict=True)
            if difference > limit
        )


def tolerance_fault(tolerance: float, activation: Activation, *, probabilities: bool) -> str | None:
    """Return what is wrong with a tolerance that accepts every answer, or none; None if it can be used.

    Probabilities differ by at most 1. Expected classes of a model without activation are compared by its logits.

    Args:
        tolerance: The largest difference.
        activation: The last activation of the model.
        probabilities: Whether the expected answers are probabilities, not classes.
    """
    unlimited = activation == "linear" and not probabilities
    if 0.0 <= tolerance < (np.inf if unlimited else 1.0):
        return None
    return f"must be at least 0{'' if unlimited else ' and below 1'}, got {tolerance:g}"


def write_golden_images(path: Path, golden: GoldenImages) -> None:
    """Write the file, uncompressed; equal values give equal bytes.

    Absolute paths are stored as file names, and control characters of names escaped.
    """
    arrays: dict[str, Array] = {
        _NAMES: np.array([_stored_name(name) for name in golden.names], np.str_),
        _CLASSES: golden.answers.classes,
        _TOLERANCE: np.array(golden.tolerance, np.float64),
    }
    if golden.answers.probabilities is not None:
        arrays[PROBABILITIES] = golden.answers.probabilities
    files = {_FILE.format(number): np.frombuffer(file, np.uint8) for number, file in enumerate(golden.files)}
    with path.open("wb") as stream:
        np.savez(stream, **arrays, **files)


def _stored_name(name: str) -> str:
    path = PurePath(name)
    return printable(path.name if path.is_absolute() else name)


def read_golden_images(path: Path, contract: ModelContract) -> GoldenImages:
    """Read the file and check it against the contract.

    Raises:
        BundleError: If it cannot be read, or its parts do not fit each other.
    """
    try:
        check_entries(path)
        with np.load(path, allow_pickle=False) as stored:
            names = tuple(str(name) for name in stored[_NAMES])
            files = tuple(stored[_FILE.format(number)].tobytes() for number in range(len(names)))
            probabilities = stored[PROBABILITIES] if PROBABILITIES in stored.files else None
            answers = ExpectedAnswers(stored[_CLASSES], probabilities)
            golden = GoldenImages(names, files, answers, float(stored[_TOLERANCE]))
        _check_shapes(golden, max(contract.classes, 2))
        _check_values(golden, contract)
    except UNREADABLE as error:
        raise BundleError(f"cannot read the golden images {path}: {reason(error, path)}", hint=_EXPORT_AGAIN) from error
    return golden


def _check_shapes(golden: GoldenImages, classes: int) -> None:
    numbers, probabilities, images = golden.answers.classes, golden.answers.probabilities, len(golden.names)
    fitting = numbers.shape == (images,) and (probabilities is None or probabilities.shape == (images, classes))
    if probabilities is not None and not (probabilities.dtype.kind == "f" and np.isfinite(probabilities).all()):
        raise ValueError("its probabilities are not finite numbers")
    if not (images and fitting and numbers.dtype.kind == "i" and 0 <= numbers.min() <= numbers.max() < classes):
        raise ValueError("its arrays do not fit each other and the contract")


def _check_values(golden: GoldenImages, contract: ModelContract) -> None:
    stored = golden.answers.probabilities is not None
    fault = tolerance_fault(golden.tolerance, contract.activation, probabilities=stored)
    if fault is not None:
        raise ValueError(f"its tolerance {fault}")
    for name in golden.names:
        control = control_character(name)
        if control is not None:
            raise ValueError(f"the image name '{shortened(name)}' contains the control character {control}")
