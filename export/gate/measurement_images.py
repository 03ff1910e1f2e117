"""Which images the gate measures on, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import ModelContract, Preprocessing
from camserve.export.formats.writing import OnnxSettings
from camserve.export.gate.calibration import Calibration
from camserve.export.gate.parity import BATCHES
from camserve.export.gate.samples import sample_images
from camserve.pixels import normalize

__all__ = ["FEWEST", "MeasurementImages", "as_given", "measurement_images"]

FEWEST = sum(BATCHES)
"""Images without which fp32 cannot be measured in every batch size."""

_SAMPLES = 64
_GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class MeasurementImages:
    """What parity is measured on.

    Attributes:
        pixels: uint8 `[n, height, width, channels]`, RGB or gray; n is at least the sum of `BATCHES`.
        names: What each is called.
        fillers: How many at the beginning only fill up the batches of fp32: drawn ones, where few were held out.
            Lower precision is not measured on them, as rounding is told by images of the kind that will be served.
    """

    pixels: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    fillers: int = 0


def measurement_images(
    contract: ModelContract, calibration: Calibration | None, settings: OnnxSettings
) -> MeasurementImages:
    """The images that were held out of the calibration, where they are few after drawn ones; else drawn ones alone.

    Folders are often sorted by class. The held-out images are therefore put into an order, always the same, of which
    any first ones are spread over the whole folder.
    """
    if calibration is None:
        return _drawn(contract, FEWEST if settings.precision == "fp32" else _SAMPLES)
    order = _spread(len(calibration.held_out))
    fillers = _drawn(contract, max(0, FEWEST - len(order)))
    return MeasurementImages(
        pixels=np.concatenate([fillers.pixels, calibration.held_out[order]]),
        names=(*fillers.names, *(calibration.held_out_names[place] for place in order)),
        fillers=len(fillers.names),
    )


def _drawn(contract: ModelContract, count: int) -> MeasurementImages:
    shape = contract.input.shape
    pixels = sample_images(count, *shape) if count else np.empty((0, *shape), np.uint8)
    return MeasurementImages(pixels, tuple(f"sample {number}" for number in range(1, count + 1)))


def _spread(count: int) -> npt.NDArray[np.int64]:
    """The places 0 to count - 1, each next one a golden section of the whole farther, round and round.

    However many are taken, they lie about evenly, and unlike every tenth place they keep step with no period.
    """
    return np.argsort(np.argsort(np.arange(count) * _GOLDEN_RATIO % 1))


def as_given(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[Any]:
    """Pixels as the exported graph takes them: as they are if it prepares them itself, else prepared."""
    return pixels if preprocessing.in_graph else normalize(pixels, preprocessing)
