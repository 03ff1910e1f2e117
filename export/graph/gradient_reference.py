"""The reference for the maps of a head that is not linear: the gradients of TensorFlow, through the original layers."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.export.frameworks import tf

import numpy as np
import numpy.typing as npt

from camserve.export.graph.gradient_head import GradientHead
from camserve.export.graph.network import run

__all__ = ["TapeMaps"]

Array = npt.NDArray[np.float64]

_AT_ONCE = 8  # maps of an image: the features are repeated for each of them


@dataclass(frozen=True, eq=False)
class TapeMaps:
    """The maps of a batch by `tf.GradientTape`, computed for the classes that are asked for.

    Attributes:
        head: The head, in the precision of its layers.
        features: `[batch, height, width, channels]`.
    """

    head: GradientHead
    features: Array

    def __call__(self, classes: npt.NDArray[np.int64]) -> Array:
        """Return the maps of some classes of each image.

        Args:
            classes: `[batch, maps]`.

        Returns:
            `[batch, maps, height, width]`.
        """
        parts = range(0, classes.shape[1], _AT_ONCE)
        return np.concatenate([self._maps(classes[:, begin : begin + _AT_ONCE]) for begin in parts], axis=1)

    def _maps(self, classes: npt.NDArray[np.int64]) -> Array:
        network = self.head.network
        images, maps = classes.shape
        features = tf.repeat(tf.convert_to_tensor(self.features, network.dtype), maps, axis=0)
        with tf.GradientTape() as tape:
            tape.watch(features)
            (logits,) = run(network, features, [network.output])
        chosen = tf.one_hot(np.reshape(classes, -1), logits.shape[1], dtype=logits.dtype)
        # A row depends on no other, so that the gradient of the sum over all of them is that of each.
        gradients = tape.gradient(logits, features, output_gradients=chosen)
        summed: Array = np.asarray(tf.reduce_sum(gradients * features, axis=-1), np.float64)
        return summed.reshape(images, maps, *self.head.grid)
