"""Golden answers: a few images with the answers of the exported model, stored in its bundle.

Serving runs the images again to verify that this file, on this machine and in this server, is the model that passed its
export.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.answer_differences import cosines, largest_difference, misranked_maps, other_winners, scale_of
from camserve.contract import ModelContract, TensorSpec
from camserve.errors import BundleError
from camserve.pixels import graph_input
from camserve.ranking import rank_classes
from camserve.tensors import CAM, CAM_CLASS, DATA_TYPES, LOGITS, PROBABILITIES
from camserve.text import reason

__all__ = [
    "IMAGES",
    "ROUNDINGS",
    "UNREADABLE",
    "Golden",
    "check_entries",
    "compare",
    "read_golden",
    "tolerance_of",
    "with_rounding",
    "write_golden",
]

IMAGES = 3
"""How many images an export stores answers for."""

ROUNDINGS = (1e-4, 2e-4, 1e-3, 1e-2, 2e-2, 5e-2, 1e-1)
"""Differences between two arithmetics, relative to the features, for which an export stores how maps change.

They are the usual tolerances of serving: a coarser one would excuse maps of images that are not near a jump.
"""

_PIXELS = "pixels"
_MAP_CHANGES = "map_changes"
_ROUNDING = "rounding"
_LARGEST_ROUNDING = 0.5
_TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 2e-2, "int8": 5e-2}
"""fp16 also on a GPU: four times the largest difference from Keras of ResNet50 with CUDA on an H100, 2.4e-3.

bf16: four times the largest difference between AMX and AVX512-BF16 in OpenVINO, 5.5e-3, of a trained MobileNetV3Small.
"""

_LEAST_COSINE = 0.3
"""Of gradient maps, on average: moving features by 0.1 leaves at least 0.4, maps of other classes have about 0.1."""

_EXPORT_AGAIN = "Export the model again"
UNREADABLE = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, RuntimeError, MemoryError)
"""What zipfile and numpy raise for a damaged file; `RuntimeError` where it is marked as encrypted."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Golden:
    """Images and the model's answers to them.

    Attributes:
        pixels: uint8 `[n, height, width, channels]`, RGB or gray, of the input's size.
        answers: The outputs of the exported model by name, batch first.
        map_changes: The largest change of a map for each of `ROUNDINGS`, `[n, roundings]`, float32; None if maps change
            as little as other outputs. A gradient map jumps where a ReLU reads 0, or two elements are the largest.
        rounding: How far the answers are from those of the same file in float32, relative to the largest; 0 unless the
            file is computed in a lower precision than it is stored in. Other processors round otherwise, by as much.
    """

    pixels: npt.NDArray[np.uint8]
    answers: Mapping[str, Array]
    map_changes: npt.NDArray[np.float32] | None = None
    rounding: float = 0.0

    def image(self, contract: ModelContract) -> Array:
        """Return the input tensor: the pixels if the graph preprocesses them, else normalized float32."""
        return graph_input(self.pixels, contract.preprocessing)

    def map_change(self, rounding: float) -> Array:
        """Return how much the maps of each image may change with a rounding, or the next of `ROUNDINGS`, `[n]`."""
        if self.map_changes is None:
            return np.zeros(len(self.pixels))
        level = min(int(np.searchsorted(ROUNDINGS, rounding)), len(ROUNDINGS) - 1)
        changes: Array = self.map_changes[:, level].astype(np.float64)
        return changes


def tolerance_of(precision: str | None) -> float:
    """Return how far the answers of one file may differ between two processors, relative to the largest value.

    Args:
        precision: As in a report: `fp32`, `fp16`, `bf16`, `int8 (cpu)`; anything else is treated as `fp32`.
    """
    return _TOLERANCES.get((precision or "").partition(" ")[0], _TOLERANCES["fp32"])


def write_golden(path: Path, golden: Golden) -> None:
    """Write the file, uncompressed; equal values give equal bytes."""
    with path.open("wb") as stream:
        changes = {} if golden.map_changes is None else {_MAP_CHANGES: golden.map_changes}
        rounding = {_ROUNDING: np.array(golden.rounding, np.float32)} if golden.rounding else {}
        np.savez(stream, **{_PIXELS: golden.pixels, **golden.answers, **changes, **rounding})


def read_golden(path: Path, contract: ModelContract) -> Golden:
    """Read the file and check it against the contract.

    Raises:
        BundleError: If it cannot be read, or an output of the contract is missing, not finite or of another shape.
    """
    try:
        check_entries(path)
        with np.load(path, allow_pickle=False) as stored:
            names = (_PIXELS, _MAP_CHANGES, _ROUNDING, *(spec.name for spec in contract.outputs))
            arrays = {name: stored[name] for name in names if name in stored}
    except UNREADABLE as error:
        raise BundleError(
            f"cannot read the golden answers {path}: {reason(error, path)}", hint=_EXPORT_AGAIN
        ) from error
    pixels, changes = arrays.pop(_PIXELS, None), arrays.pop(_MAP_CHANGES, None)
    rounding = arrays.pop(_ROUNDING, np.float32(0))
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[1:] != contract.input.shape or not len(pixels):
        raise BundleError(f"{path} has no images of the model's input size", hint=_EXPORT_AGAIN)
    faults = [fault for spec in contract.outputs for fault in _faults(spec, arrays, len(pixels))]
    if not faults and not _are_classes(arrays.get(CAM_CLASS), contract.classes):
        faults = [f"{CAM_CLASS} is not from 0 to {contract.classes - 1}"]  # the maps would not be compared
    if not faults and changes is not None and not _are_changes(changes, len(pixels)):
        faults = [f"{_MAP_CHANGES} is not a change for each image and rounding"]
    if not faults and not _is_rounding(rounding):
        faults = [f"{_ROUNDING} is not a number from 0 to {_LARGEST_ROUNDING:g}"]
    if faults:
        raise BundleError(f"the golden answers {path} do not fit the contract: {'; '.join(faults)}", hint=_EXPORT_AGAIN)
    return Golden(pixels, {spec.name: arrays[spec.name] for spec in contract.outputs}, changes, float(rounding))


def _is_rounding(value: Array) -> bool:
    return value.shape == () and value.dtype == np.float32 and bool(0 <= value <= _LARGEST_ROUNDING)


def _are_changes(changes: Array, count: int) -> bool:
    right = changes.dtype == np.float32 and changes.shape == (count, len(ROUNDINGS))
    return right and bool((changes >= 0).all() and np.isfinite(changes).all())


def _are_classes(numbers: Array | None, classes: int) -> bool:
    return numbers is None or bool(((numbers >= 0) & (numbers < classes)).all())


def compare(
    golden: Golden, contract: ModelContract, answers: Mapping[str, Array], *, tolerance: float
) -> tuple[str, ...]:
    """List how answers differ from the golden ones: which output, which image, by how much.

    Maps are compared where both are of one class, with what the export recorded of their jumps added to the tolerance;
    such maps must also resemble the golden ones as a whole.
    The best classes must be equal wherever the golden logits differ by more than the tolerance.

    Args:
        golden: The images and their golden answers.
        contract: The model's contract.
        answers: The answers to check, by output, batch first.
        tolerance: Largest difference, relative to the largest golden value; of probabilities, to the largest logit. It
            is at least twice the `rounding` of the golden answers.
    """
    tolerance = max(tolerance, 2 * golden.rounding)
    faults = [fault for spec in contract.outputs for fault in _shape_faults(spec, answers, len(golden.pixels))]
    return tuple(faults or _differences(golden, contract, answers, tolerance))


def with_rounding(golden: Golden, contract: ModelContract, answers: Mapping[str, Array]) -> Golden:
    """Record how far the golden answers are from those in float32; gradient maps have `map_changes` instead.

    Args:
        golden: The images and their golden answers.
        contract: The model's contract.
        answers: The answers of the same file in float32.
    """
    compared = _compared(golden, contract, answers)
    differences = [
        float(np.abs(found - expected).max() / scale)
        for spec, found, expected, scale in compared
        if golden.map_changes is None or spec.name != CAM
    ]
    return replace(golden, rounding=min(max(differences), _LARGEST_ROUNDING))


def check_entries(path: Path) -> None:
    """Refuse compressed entries, which could fill the memory when they are unpacked, and two of one name.

    Raises:
        ValueError: If there is one.
        zipfile.BadZipFile: If the file is not an archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("an entry is compressed")
    if len({entry.filename for entry in entries}) != len(entries):
        raise ValueError("two entries have the same name")


def _faults(spec: TensorSpec, arrays: Mapping[str, Array], count: int) -> Iterator[str]:
    expected = DATA_TYPES[spec.dtype].numpy
    if spec.name in arrays and arrays[spec.name].dtype != expected:
        yield f"{spec.name} is {arrays[spec.name].dtype}, expected {expected}"
    else:
        yield from _shape_faults(spec, arrays, count)


def _shape_faults(spec: TensorSpec, answers: Mapping[str, Array], count: int) -> Iterator[str]:
    if spec.name not in answers:
        yield f"{spec.name} is missing"
    elif answers[spec.name].shape != (count, *spec.shape):
        yield f"{spec.name} has shape {answers[spec.name].shape}, expected {(count, *spec.shape)}"
    elif not np.isfinite(answers[spec.name]).all():
        yield f"{spec.name} contains NaN or infinity"


def _differences(
    golden: Golden, contract: ModelContract, answers: Mapping[str, Array], tolerance: float
) -> Iterator[str]:
    scores, reference = _scores(golden)
    if CAM_CLASS in golden.answers and reference is not None:
        yield from _class_faults(answers[CAM_CLASS].astype(int), reference, tolerance)
    for spec, found, expected, scale in _compared(golden, contract, answers):
        change = np.zeros(len(found))
        if spec.name == CAM and CAM_CLASS in golden.answers:
            change = golden.map_change(tolerance)
            if change.any():
                yield from _likeness_faults(found, expected, golden.answers[CAM_CLASS] == answers[CAM_CLASS])
        yield from _value_faults(spec.name, found, expected, tolerance * scale + change)
    if reference is not None:
        yield from _winner_faults(np.asarray(answers[scores], np.float64), reference, tolerance)


def _scores(golden: Golden) -> tuple[str, Array | None]:
    """Return the name and the values of the output that ranks the classes; None if there is none."""
    scores = LOGITS if LOGITS in golden.answers else PROBABILITIES
    return scores, np.asarray(golden.answers[scores], np.float64) if scores in golden.answers else None


def _compared(
    golden: Golden, contract: ModelContract, answers: Mapping[str, Array]
) -> Iterator[tuple[TensorSpec, Array, Array, float]]:
    """Yield each output whose values are compared, with its values, the golden ones, and what 1 is relative to."""
    scores, reference = _scores(golden)
    for spec in contract.outputs:
        found, expected = answers[spec.name].astype(np.float64), golden.answers[spec.name].astype(np.float64)
        if spec.name == CAM_CLASS and reference is not None:
            continue
        scale = scale_of(expected)
        if spec.name == PROBABILITIES and scores == LOGITS and reference is not None:
            scale = max(1.0, scale_of(reference))  # an error of the logits moves a probability by as much
        if spec.name == CAM and CAM_CLASS in golden.answers and CAM_CLASS in answers:
            same_class = (golden.answers[CAM_CLASS] == answers[CAM_CLASS])[:, :, np.newaxis, np.newaxis]
            found, expected = found * same_class, expected * same_class
        yield spec, found, expected, scale


def _value_faults(name: str, found: Array, expected: Array, tolerances: Array) -> Iterator[str]:
    """Yield the image that exceeds its tolerance by the largest factor."""
    differences = largest_difference(found, expected)
    worst = int((differences / np.maximum(tolerances, np.finfo(np.float64).tiny)).argmax())
    if differences[worst] > tolerances[worst]:
        yield f"{name} of image {worst + 1} differs by {differences[worst]:.3g}, tolerance {tolerances[worst]:.3g}"


def _likeness_faults(found: Array, expected: Array, compared: Array) -> Iterator[str]:
    """Yield whether gradient maps are others altogether: their values may change by as much as the largest of them."""
    likeness = float(cosines(found, expected)[compared].mean()) if compared.any() else 1.0
    if not likeness >= _LEAST_COSINE:
        yield f"{CAM} is unlike the golden maps: mean cosine {likeness:.2f}, expected at least {_LEAST_COSINE}"


def _class_faults(classes: Array, reference: Array, tolerance: float) -> Iterator[str]:
    if classes.min() < 0 or classes.max() >= reference.shape[1]:
        yield f"{CAM_CLASS} has values from {classes.min()} to {classes.max()}, expected 0 to {reference.shape[1] - 1}"
        return
    misranked = misranked_maps(classes, reference, tolerance=2 * tolerance * scale_of(reference))
    for image in np.flatnonzero(misranked.any(axis=1))[:1]:
        best = rank_classes(reference[image])[: classes.shape[1]]
        yield f"{CAM_CLASS} of image {image + 1} is {classes[image].tolist()}, expected {best.tolist()}"


def _winner_faults(scores: Array, reference: Array, tolerance: float) -> Iterator[str]:
    wrong = other_winners(scores, reference, tolerance=2 * tolerance * scale_of(reference))
    for image in np.flatnonzero(wrong)[:1]:
        yield f"the best class of image {image + 1} is {scores[image].argmax()}, expected {reference[image].argmax()}"
