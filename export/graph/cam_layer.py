"""The class activation maps in the served graph, with few operators: einsum would add a chain of shape nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from camserve.export.frameworks import tf

import numpy as np

from camserve.contract import CamContract
from camserve.export.graph.head import LinearHead
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS

__all__ = ["ClassMaps"]


class ClassMaps:
    """M_c(x, y) = Σ_k w_k,c(cell of x, y) · f_k(x, y), for the best classes or for all, as TensorFlow operations.

    Attributes:
        reads: The values of the network that the maps are computed from.

    Args:
        head: The linear head.
        cam: Which maps to compute.
    """

    def __init__(self, head: LinearHead, cam: CamContract) -> None:
        self.reads = (head.features,)
        self._cam = cam
        self._positions = cam.grid[0] * cam.grid[1]
        self._classes = head.weights.shape[-1]
        self._one_weight = head.has_one_weight
        if self._one_weight:  # [classes, channels]; one for each position would be gigabytes on a wide grid
            self._weights = head.weights[0, 0].T.astype(np.float32)
        else:  # [positions, classes, channels]
            by_position = head.weights_by_position().reshape(self._positions, -1, self._classes)
            self._weights = np.swapaxes(by_position, 1, 2).astype(np.float32)

    def __call__(self, tensors: Sequence[Any], logits: Any) -> dict[str, Any]:
        """Return the outputs `cam`, `cam_class` and, if the contract contains all classes, `cam_all`.

        Args:
            tensors: Those of `reads`: the features, `[batch, height, width, channels]`.
            logits: `[batch, classes]`.
        """
        (features,) = tensors
        height, width = self._cam.grid
        # Channels first, as in ONNX, so that the converter adds no Transpose.
        columns = tf.reshape(tf.transpose(features, (0, 3, 1, 2)), (-1, features.shape[-1], self._positions))
        # As `camserve.ranking`: of equal logits, top_k returns the smaller class number first, and so does ONNX's TopK.
        best = tf.math.top_k(logits, self._cam.top_k).indices
        if self._one_weight and not self._cam.all_classes:
            # Only the maps of the best classes: a hundredth of the work for 5 of 500 classes.
            selected = tf.matmul(tf.gather(self._weights, best), columns)
            return {CAM: tf.reshape(selected, (-1, self._cam.top_k, height, width)), CAM_CLASS: best}
        every = self._all_maps(columns)
        selected = tf.matmul(tf.one_hot(best, self._classes), every)
        outputs = {CAM: tf.reshape(selected, (-1, self._cam.top_k, height, width)), CAM_CLASS: best}
        if self._cam.all_classes:
            outputs[CAM_ALL] = tf.reshape(every, (-1, self._classes, height, width))
        return outputs

    def _all_maps(self, columns: Any) -> Any:
        """Return `[batch, classes, positions]` from features `[batch, channels, positions]`."""
        if self._one_weight:
            return tf.matmul(self._weights, columns)
        by_position = tf.matmul(self._weights, tf.transpose(columns, (2, 1, 0)))
        return tf.transpose(by_position, (2, 1, 0))
