"""The original network, run in Keras, and the class activation maps of its answers."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.export.graph.head import LinearHead
from camserve.export.graph.network import Network, Value, run

__all__ = ["KerasReference", "ReferenceOutputs", "class_maps", "logits_of_maps"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceOutputs:
    """The reference outputs of one batch, in float64.

    Attributes:
        probabilities: `[batch, classes]`.
        logits: `[batch, classes]`.
        maps: The class activation map of every class, `[batch, classes, height, width]`, or None without maps.
    """

    probabilities: Array
    logits: Array
    maps: Array | None


@dataclass(frozen=True)
class KerasReference:
    """The original network in Keras, without folding, in the precision of its layers.

    Attributes:
        network: The network in inference mode after `split_logits`, before any other rewrite.
        logits: Its logits.
        head: Its linear head; None for a reference without maps.
    """

    network: Network
    logits: Value
    head: LinearHead | None

    def __call__(self, images: npt.NDArray[np.float32]) -> ReferenceOutputs:
        """Return the outputs of a batch of preprocessed images, `[batch, height, width, channels]`."""
        batch = keras.ops.convert_to_tensor(images, self.network.dtype)
        values = [self.network.output, self.logits, *([self.head.features] if self.head else [])]
        outputs = run(self.network, batch, values)
        probabilities, logits, *features = (np.asarray(output, np.float64) for output in outputs)
        maps = class_maps(features[0], self.head) if self.head is not None else None
        return ReferenceOutputs(probabilities, logits, maps)


def class_maps(features: Array, head: LinearHead) -> Array:
    """Compute M_c(x, y) = Σ_k w_k,c(cell of x, y) · f_k(x, y) for every class, position by position.

    Args:
        features: `[batch, height, width, channels]`.
        head: The linear head.

    Returns:
        `[batch, classes, height, width]`.
    """
    height, width = head.pooling.grid
    maps = np.zeros((len(features), head.weights.shape[-1], height, width))
    for y, row in enumerate(head.pooling.rows):
        for x, column in enumerate(head.pooling.columns):
            if row >= 0 and column >= 0:
                maps[:, :, y, x] = features[:, y, x, :] @ head.weights[row, column]
    return maps


def logits_of_maps(maps: Array, head: LinearHead) -> Array:
    """Compute Σ_cells mean(M_c in the cell), which equals the logit of class c minus its bias if the map is exact.

    For global average pooling this is the mean of the map.

    Args:
        maps: `[batch, classes, height, width]`, for any subset of classes.
        head: The linear head.

    Returns:
        `[batch, classes]`.
    """
    rows, columns = np.array(head.pooling.rows), np.array(head.pooling.columns)
    total = np.zeros(maps.shape[:2])
    for row in range(head.pooling.cells[0]):
        for column in range(head.pooling.cells[1]):
            cell = maps[:, :, rows == row][:, :, :, columns == column]
            total += cell.mean(axis=(2, 3))
    return total
