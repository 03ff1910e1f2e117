"""Golden answers: a few images and what the exported model said to them, kept beside it.

Whoever serves the model asks it the same again, and so learns whether this file, on this machine, in this server,
still is the model that passed its export.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import BundleError
from camserve.pixels import normalize

__all__ = ["IMAGES", "Golden", "compare", "read_golden", "tolerance_of", "write_golden"]

IMAGES = 3
"""How many images an export keeps answers to."""

_PIXELS = "pixels"
_TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 5e-2}
_EXPORT_AGAIN = "Export the model again"
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError, MemoryError)
"""What zipfile and numpy raise over a damaged file; `RuntimeError` where a bit says that it is encrypted."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Golden:
    """Images and answers.

    Attributes:
        pixels: uint8 `[n, height, width, channels]`, RGB or gray, of the input's size.
        answers: By output, what the exported model answered; batch first.
    """

    pixels: npt.NDArray[np.uint8]
    answers: Mapping[str, Array]

    def image(self, contract: ModelContract) -> Array:
        """The input tensor: the pixels themselves where the graph prepares them, else prepared in float32."""
        return self.pixels if contract.preprocessing.in_graph else normalize(self.pixels, contract.preprocessing)


def tolerance_of(precision: str | None) -> float:
    """How far answers of one file may be apart on two CPUs, relative to the largest value.

    Args:
        precision: As a report says: `fp32`, `fp16`, `int8 (cpu)`; anything else is held to be float32.
    """
    return _TOLERANCES.get((precision or "").partition(" ")[0], _TOLERANCES["fp32"])


def write_golden(path: Path, golden: Golden) -> None:
    """Writes the file: uncompressed, and the same bytes for the same values."""
    with path.open("wb") as stream:
        np.savez(stream, **{_PIXELS: golden.pixels, **golden.answers})


def read_golden(path: Path, contract: ModelContract) -> Golden:
    """Reads the file and holds it to the contract.

    Raises:
        BundleError: If it cannot be read, or has not a finite answer of the right shape for every output.
    """
    try:
        _refuse_compressed(path)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except _UNREADABLE as error:
        raise BundleError(f"the golden answers {path} cannot be read: {error}", hint=_EXPORT_AGAIN) from error
    pixels = arrays.pop(_PIXELS, None)
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[1:] != contract.input.shape or not len(pixels):
        raise BundleError(f"{path} has no images of the model's input size", hint=_EXPORT_AGAIN)
    faults = [fault for spec in contract.outputs for fault in _misfits(spec, arrays, len(pixels))]
    if faults:
        raise BundleError(f"the golden answers {path} do not fit the contract: {'; '.join(faults)}", hint=_EXPORT_AGAIN)
    return Golden(pixels, {spec.name: arrays[spec.name] for spec in contract.outputs})


def compare(
    golden: Golden, contract: ModelContract, answers: Mapping[str, Array], *, tolerance: float
) -> tuple[str, ...]:
    """In what the answers to the images are not the golden ones, in words: which output, which image, how far.

    Maps are compared where both are of one class. The best classes must be equal wherever the golden logits tell them
    apart by more than the tolerance.

    Args:
        golden: The images and their answers.
        contract: What the model answers with.
        answers: By output, the answers to be judged; batch first.
        tolerance: Largest difference, relative to the largest golden value; of probabilities, to the largest logit.
    """
    misfits = [fault for spec in contract.outputs for fault in _misfits(spec, answers, len(golden.pixels))]
    if misfits:
        return tuple(misfits)
    return tuple(_differences(golden, contract, answers, tolerance))


def _refuse_compressed(path: Path) -> None:
    """An entry that grows when it is unpacked could fill the memory."""
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("an entry is compressed")


def _misfits(spec: TensorSpec, answers: Mapping[str, Array], count: int) -> Iterator[str]:
    if spec.name not in answers:
        yield f"{spec.name} is missing"
    elif answers[spec.name].shape != (count, *spec.shape):
        yield f"{spec.name} has shape {answers[spec.name].shape} and should have {(count, *spec.shape)}"
    elif not np.isfinite(answers[spec.name]).all():
        yield f"{spec.name} has values that are no numbers"


def _differences(
    golden: Golden, contract: ModelContract, answers: Mapping[str, Array], tolerance: float
) -> Iterator[str]:
    scores = golden.answers.get("logits", golden.answers.get("probabilities"))
    ranked = _same_ranks(golden, answers)
    for spec in contract.outputs:
        said, right = answers[spec.name].astype(np.float64), golden.answers[spec.name].astype(np.float64)
        if spec.name == "cam_class":
            yield from _wrong_classes(said.astype(int), np.asarray(scores, np.float64), tolerance)
        elif spec.name == "cam" and ranked is not None:
            yield from _far(spec.name, said * ranked, right * ranked, tolerance * _scale(right))
        else:
            # A probability moves by as much as the logits move, and they by a share of the largest.
            of_logits = spec.name == "probabilities" and "logits" in golden.answers
            scale = max(1.0, _scale(golden.answers["logits"])) if of_logits else _scale(right)
            yield from _far(spec.name, said, right, tolerance * scale)
    if scores is not None:
        name = "logits" if "logits" in golden.answers else "probabilities"
        yield from _wrong_winner(np.asarray(answers[name], np.float64), np.asarray(scores, np.float64), tolerance)


def _scale(values: Array) -> float:
    """What a tolerance is relative to."""
    return max(float(np.max(np.abs(values))), float(np.finfo(np.float32).tiny))


def _far(name: str, said: Array, right: Array, bound: float) -> Iterator[str]:
    distances = np.abs(said - right).reshape(len(said), -1).max(axis=1)
    worst = int(distances.argmax())
    if distances[worst] > bound:
        yield f"{name} of image {worst + 1} is off by {distances[worst]:.3g}, and {bound:.3g} is allowed"


def _same_ranks(golden: Golden, answers: Mapping[str, Array]) -> Array | None:
    """`[n, K, 1, 1]`: 1 where both have a map of the same class at that rank, else 0; None where nothing says."""
    if "cam_class" not in golden.answers or "cam_class" not in answers:
        return None
    same: Array = (golden.answers["cam_class"] == answers["cam_class"])[:, :, np.newaxis, np.newaxis]
    return same


def _wrong_classes(classes: Array, scores: Array, tolerance: float) -> Iterator[str]:
    """Maps whose class is not the one of that rank, although the golden scores tell the two apart."""
    if classes.min() < 0 or classes.max() >= scores.shape[1]:
        yield f"cam_class holds {classes.min()} to {classes.max()} and there are {scores.shape[1]} classes"
        return
    ranked = -np.sort(-scores, axis=1)[:, : classes.shape[1]]
    apart = np.abs(ranked - np.take_along_axis(scores, classes, axis=1)) > 2 * tolerance * _scale(scores)
    for image in np.flatnonzero(apart.any(axis=1))[:1]:
        best = np.argsort(-scores[image], kind="stable")[: classes.shape[1]]
        yield f"cam_class of image {image + 1} is {classes[image].tolist()} and should be {best.tolist()}"


def _wrong_winner(said: Array, right: Array, tolerance: float) -> Iterator[str]:
    chosen, best = said.argmax(axis=1), right.argmax(axis=1)
    places = np.arange(len(right))
    wrong = right[places, best] - right[places, chosen] > 2 * tolerance * _scale(right)
    for image in np.flatnonzero(wrong)[:1]:
        yield f"the best class of image {image + 1} is {chosen[image]} and should be {best[image]}"
