"""The images that maps are measured on, with the boxes of their objects where these are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from camserve.choices import Precision
from camserve.contract import ModelContract
from camserve.errors import ImageError
from camserve.export.class_numbers import ClassNumbers
from camserve.export.gate.calibration import Calibration
from camserve.export.quality.boxes import BoxFile, BoxLine, box_error
from camserve.images.loading import load_image
from camserve.images.placement import Placement
from camserve.images.preprocess import fit_image
from camserve.text import printable

__all__ = ["Objects", "QualityImages", "calibration_images", "read_boxed_images", "spread"]

Kind = Literal["calibration", "held out", "boxes"]
_MOST_BOXED = 200
_SLACK = 1.0  # pixels by which a box may exceed its image: some tools count pixels from 1

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one class in an image.

    Attributes:
        image: Index of the image.
        class_number: The class.
        boxes: Left, top, right and bottom of each object in pixels of the network's input, `[boxes, 4]`.
    """

    image: int
    class_number: int
    boxes: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class QualityImages:
    """Images of the size of the network's input.

    Attributes:
        kind: Where they are from: all images of a calibration folder, those that int8 was not calibrated with, or those
            of the file of boxes.
        pixels: uint8 `[images, height, width, channels]`, RGB or gray.
        objects: Their objects, by class; empty without boxes.
        outside: Number of boxes outside the part of the image that the network receives.
        unread: Number of further images of the file of boxes.
    """

    kind: Kind
    pixels: npt.NDArray[np.uint8]
    objects: tuple[Objects, ...] = ()
    outside: int = 0
    unread: int = 0


def calibration_images(calibration: Calibration, precision: Precision) -> QualityImages:
    """Return the images of a calibration folder; of int8, those that it was not calibrated with."""
    if precision == "int8":
        return QualityImages("held out", calibration.held_out)
    return QualityImages("calibration", np.concatenate([calibration.held_out, calibration.fit]))


def read_boxed_images(file: BoxFile, contract: ModelContract, labels: Sequence[str]) -> QualityImages:
    """Read the images of a file of boxes as clients read them; of more than 200, as many, evenly spaced.

    Args:
        file: The boxes.
        contract: Determines the size, colors, resize filter and fit of the images.
        labels: The label of each class.

    Raises:
        UsageError: If an image cannot be read, a box exceeds its image, or a class is unknown.
    """
    numbers = ClassNumbers(file.path, "--boxes", contract.classes, labels)
    classes = numbers.of([each.label for each in file.lines], [each.line for each in file.lines])
    by_image: dict[Path, list[tuple[BoxLine, int]]] = {}
    for line, number in zip(file.lines, classes, strict=True):
        by_image.setdefault(line.image, []).append((line, number))
    chosen = spread(list(by_image.values()), _MOST_BOXED)
    pixels, objects, outside = [], [], 0
    for index, boxes in enumerate(chosen):
        image, placement = _read(file, boxes[0][0], contract)
        pixels.append(image)
        by_class: dict[int, list[npt.NDArray[np.float64]]] = {}
        for line, number in boxes:
            found = _in_input(file, line, placement, contract)
            outside += found is None
            if found is not None:
                by_class.setdefault(number, []).append(found)
        objects += [Objects(index, number, np.stack(found)) for number, found in by_class.items()]
    return QualityImages("boxes", np.stack(pixels), tuple(objects), outside, len(by_image) - len(chosen))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many items, evenly spaced, the first and the last included."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _read(file: BoxFile, line: BoxLine, contract: ModelContract) -> tuple[npt.NDArray[np.uint8], Placement]:
    """Return an image as the network receives it, and its position in the file."""
    try:
        fitted = fit_image(load_image(line.image), contract)
    except ImageError as error:
        problem = f"names {printable(line.name)}, which cannot be used: {error.message}"
        raise box_error(file.path, line.line, problem, "Remove its lines from the file: --boxes FILE") from None
    return np.asarray(fitted.image).reshape(contract.input.shape), fitted.placement


def _in_input(
    file: BoxFile, line: BoxLine, placement: Placement, contract: ModelContract
) -> npt.NDArray[np.float64] | None:
    """Return a box in pixels of the network's input; None if it is outside the part that the network receives."""
    (height, width), (left, top, right, bottom) = placement.original, line.box
    if right > width + _SLACK or bottom > height + _SLACK:
        raise box_error(
            file.path,
            line.line,
            f"has a box to ({right:g}, {bottom:g}), which exceeds the image of {width} x {height} pixels",
            "Write coordinates in pixels of the image file, before it is resized, rotated by its EXIF orientation or "
            "cropped: --boxes FILE",
        )
    corners = np.clip([*placement.to_input(left, top), *placement.to_input(right, bottom)], 0, 1)
    if corners[0] >= corners[2] or corners[1] >= corners[3]:
        return None
    scaled: npt.NDArray[np.float64] = corners * np.tile([contract.width, contract.height], 2)
    return scaled
