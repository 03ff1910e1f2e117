"""Choose the images that the parity gate measures on, and their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from camserve.choices import Precision
from camserve.contract import ModelContract
from camserve.export.gate.calibration import Calibration
from camserve.export.gate.parity import BATCHES
from camserve.export.gate.samples import sample_images

__all__ = ["FP32_IMAGES", "MeasurementImages", "measurement_images"]

FP32_IMAGES = sum(BATCHES)
"""How many images fp32 is measured on: one batch of each size."""

_SAMPLES = 64
_GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class MeasurementImages:
    """The images that parity is measured on.

    Attributes:
        pixels: uint8 `[n, height, width, channels]`, RGB or gray; n is at least `FP32_IMAGES`.
        names: The name of each.
        fillers: How many at the beginning are synthetic images that only complete the batches of fp32, where few
            images were held out. Lower precision is not measured on them: rounding depends on the kind of images.
    """

    pixels: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    fillers: int = 0


def measurement_images(
    contract: ModelContract, calibration: Calibration | None, precision: Precision
) -> MeasurementImages:
    """Return the images held out of the calibration, after synthetic ones if they are few; or synthetic ones only.

    Folders are often sorted by class. The held-out images are therefore put into a fixed order of which any first ones
    are spread over the whole folder.
    """
    if calibration is None:
        return _samples(contract, FP32_IMAGES if precision == "fp32" else _SAMPLES)
    order = _spread_order(len(calibration.held_out))
    fillers = _samples(contract, max(0, FP32_IMAGES - len(order)))
    return MeasurementImages(
        pixels=np.concatenate([fillers.pixels, calibration.held_out[order]]),
        names=(*fillers.names, *(calibration.held_out_names[index] for index in order)),
        fillers=len(fillers.names),
    )


def _samples(contract: ModelContract, count: int) -> MeasurementImages:
    shape = contract.input.shape
    pixels = sample_images(count, *shape) if count else np.empty((0, *shape), np.uint8)
    return MeasurementImages(pixels, tuple(f"sample {number}" for number in range(1, count + 1)))


def _spread_order(count: int) -> npt.NDArray[np.int64]:
    """Return the indices 0 to count - 1, each a golden section of the whole after the previous one, modulo the whole.

    Any first ones are spread about evenly, and unlike every tenth index they do not coincide with a period.
    """
    return np.argsort(np.argsort(np.arange(count) * _GOLDEN_RATIO % 1))
