"""The original network, run in Keras, and the class activation maps of its answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from camserve.export.frameworks import keras

import numpy as np
import numpy.typing as npt

from camserve.export.graph.gradient_head import GradientHead, Head, find_gradient_head
from camserve.export.graph.gradient_reference import TapeMaps
from camserve.export.graph.grouped_convolution import call_without_xla
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
        maps: The class activation map of every class, `[batch, classes, height, width]`; None without maps, or if the
            head is not linear.
        tape: Computes the maps of a head that is not linear; None for others.
        determined: Whether float32 determines the maps of each image, `[batch]`; None if it does of all.
    """

    probabilities: Array
    logits: Array
    maps: Array | None
    tape: TapeMaps | None = None
    determined: npt.NDArray[np.bool_] | None = None

    @property
    def has_maps(self) -> bool:
        """Return whether there are maps."""
        return self.maps is not None or self.tape is not None

    def maps_of(self, classes: npt.NDArray[np.int64]) -> Array:
        """Return the maps of some classes of each image.

        Args:
            classes: `[batch, maps]`.

        Returns:
            `[batch, maps, height, width]`.

        Raises:
            ValueError: If there are no maps.
        """
        if self.tape is not None:
            return self.tape(classes)
        if self.maps is None:
            raise ValueError("the reference has no maps")
        return np.take_along_axis(self.maps, classes[:, :, np.newaxis, np.newaxis], axis=1)


@dataclass(frozen=True)
class KerasReference:
    """The original network in Keras, without folding, in the precision of its layers.

    Attributes:
        network: The network in inference mode after `split_logits`, before any other rewrite.
        logits: Its logits.
        head: Its head; None for a reference without maps.
    """

    network: Network
    logits: Value
    head: Head | None

    def __call__(self, images: npt.NDArray[np.float32]) -> ReferenceOutputs:
        """Return the outputs of a batch of preprocessed images, `[batch, height, width, channels]`."""
        batch = keras.ops.convert_to_tensor(images, self.network.dtype)
        values = [self.network.output, self.logits, *([self.head.features] if self.head else [])]
        outputs = run(self.network, batch, values, call=call_without_xla(self.network))
        probabilities, logits, *features = (np.asarray(output, np.float64) for output in outputs)
        if isinstance(self.head, GradientHead):
            return ReferenceOutputs(probabilities, logits, None, TapeMaps(self._own_head, features[0]))
        maps = None if self.head is None else class_maps(features[0], self.head)
        return ReferenceOutputs(probabilities, logits, maps)

    @cached_property
    def _own_head(self) -> GradientHead:
        """The head of this network, which may have another precision than the one that `head` was found in."""
        return find_gradient_head(self.network, self.logits)


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


def logits_of_maps(maps: Array, head: Head) -> Array:
    """Compute Σ_cells mean(M_c in the cell), which equals the logit of class c minus its bias if the map is exact.

    For global average pooling this is the mean of the map, and for a head that is not linear the sum.

    Args:
        maps: `[batch, classes, height, width]`, for any subset of classes.
        head: The head.

    Returns:
        `[batch, classes]`.
    """
    if isinstance(head, GradientHead):
        total: Array = maps.sum(axis=(2, 3))
        return total
    rows, columns = np.array(head.pooling.rows), np.array(head.pooling.columns)
    total = np.zeros(maps.shape[:2])
    for row in range(head.pooling.cells[0]):
        for column in range(head.pooling.cells[1]):
            cell = maps[:, :, rows == row][:, :, :, columns == column]
            total += cell.mean(axis=(2, 3))
    return total
