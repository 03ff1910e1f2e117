"""The arithmetic of the contract: from pixels to the network's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import Preprocessing

__all__ = ["normalize"]


def normalize(pixels: npt.NDArray[Any], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Puts the channels into the contract's order and computes `(pixel / scale - mean) / std` in float32.

    Law: for the presets `caffe`, `tf` and `torch` the result equals that of Keras's `imagenet_utils.preprocess_input`
    bit for bit, and for `unit` it equals x / 255.0; that is why nothing is rearranged.

    Args:
        pixels: RGB `[..., 3]` or gray `[..., 1]`, 0 to 255.
        preprocessing: What to do.
    """
    values = np.array(pixels[..., ::-1] if preprocessing.color == "bgr" else pixels, np.float32, order="C")
    if set(preprocessing.scale) != {1.0}:
        values /= np.asarray(preprocessing.scale, np.float32)
    if set(preprocessing.mean) != {0.0}:
        values -= np.asarray(preprocessing.mean, np.float32)
    if set(preprocessing.std) != {1.0}:
        values /= np.asarray(preprocessing.std, np.float32)
    return values
