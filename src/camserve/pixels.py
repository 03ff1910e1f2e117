"""Arithmetic on pixels: 16 bits to 8 bits, and 8 bits to the network's input as the contract defines it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.contract import Operation, Preprocessing

__all__ = ["SIXTEEN_BIT_MODES", "graph_input", "normalize", "to_eight_bits"]

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Pillow's modes for 16-bit gray pixels; mode `I` can also contain 32-bit values."""

_OPERATIONS: dict[Operation, np.ufunc] = {"divide": np.divide, "subtract": np.subtract}


def to_eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Keep the upper 8 of 16 bits, as TensorFlow and OpenCV do, and Pillow for colors."""
    return (values.astype(np.uint32) >> 8).astype(np.uint8)


def normalize(pixels: npt.NDArray[Any], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Reorder the channels as the contract requires and compute `(pixel / scale - mean) / std` in float32.

    Law: for the presets `caffe`, `tf` and `torch` the result equals that of Keras's `imagenet_utils.preprocess_input`
    bit for bit, and for `unit` it equals `x / 255.0`. The order of operations is therefore fixed.

    Args:
        pixels: RGB `[..., 3]` or gray `[..., 1]`, 0 to 255.
        preprocessing: Channel order and arithmetic.
    """
    values = np.array(pixels[..., ::-1] if preprocessing.color == "bgr" else pixels, np.float32, order="C")
    for operation, operands in preprocessing.arithmetic:
        _apply(_OPERATIONS[operation], values, operands)
    return values


def graph_input(pixels: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[Any]:
    """Return the input of an exported graph: the pixels if the graph preprocesses them, else normalized pixels.

    Args:
        pixels: RGB `[..., 3]` or gray `[..., 1]`.
        preprocessing: The preprocessing of the contract.
    """
    return pixels if preprocessing.in_graph else normalize(pixels, preprocessing)


def _apply(operate: np.ufunc, values: npt.NDArray[np.float32], operands: tuple[float, ...]) -> None:
    """Apply the operand of each channel in place, one channel at a time: broadcasting over three channels is slow."""
    if len(set(operands)) == 1:
        operate(values, np.float32(operands[0]), out=values)
        return
    for channel, operand in enumerate(operands):
        operate(values[..., channel], np.float32(operand), out=values[..., channel])
