"""The maps of a head that is not linear, in the served graph.

The derivatives of the logits of the best classes by the features are computed from the logits backwards, step by step,
for all classes of all images of a batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

from camserve.export.frameworks import tf

import numpy as np

from camserve.contract import CamContract
from camserve.export.graph.affine import Affine
from camserve.export.graph.affine_path import affine_path
from camserve.export.graph.backward import Product, shape_of, total
from camserve.export.graph.gradient_head import GradientHead
from camserve.export.graph.network import Value
from camserve.export.graph.rules import rule_of
from camserve.tensors import CAM, CAM_CLASS

__all__ = ["GradientMaps"]


class GradientMaps:
    """M_c(x, y) = Σ_k ∂logit_c / ∂f_k(x, y) · f_k(x, y), for the best classes, as TensorFlow operations.

    Attributes:
        reads: The values of the network that the maps are computed from.

    Args:
        head: The head, in float32.
        cam: Which maps to compute.
    """

    def __init__(self, head: GradientHead, cam: CamContract) -> None:
        self._features = head.features
        self._top_k = cam.top_k
        self._grid = cam.grid
        linear, _ = affine_path(head.network, head.network.output)
        classes = int(head.network.output.shape[1] or 0)
        affine = reduce(lambda after, link: link[1](after), linear, Affine.identity(classes))
        self._last = linear[-1][0].inputs[0] if linear else head.network.output
        # [classes, elements of the last value]: the matrix of the last layer, transposed, which ONNX stores once
        self._weights = affine.weights.reshape(-1, classes).T.astype(np.float32)
        at_the_end = {step.outputs[0] for step, _ in linear}
        self._steps = [
            (step, rule)
            for step in reversed(head.network.steps)
            if step.outputs[0] not in at_the_end and (rule := rule_of(step)) is not None
        ]
        read = (value for _, rule in self._steps for value in rule.reads)
        self.reads: tuple[Value, ...] = tuple(dict.fromkeys((self._features, *read)))

    def __call__(self, tensors: Sequence[Any], logits: Any) -> dict[str, Any]:
        """Return the outputs `cam` and `cam_class`.

        Args:
            tensors: Those of `reads`.
            logits: `[batch, classes]`.
        """
        by_value = dict(zip(self.reads, tensors, strict=True))
        # As `camserve.ranking`: of equal logits, top_k returns the smaller class number first, and so does ONNX's TopK.
        best = tf.math.top_k(logits, self._top_k).indices
        derivatives = self._backward(best, by_value)
        maps = [_contract(product, by_value[self._features]) for product in derivatives]
        return {CAM: tf.reshape(sum(maps[1:], start=maps[0]), (-1, self._top_k, *self._grid)), CAM_CLASS: best}

    def _backward(self, best: Any, tensors: dict[Value, Any]) -> list[Product]:
        """Return the derivatives of the logits of some classes, `[batch, maps]`, by the features, as a sum."""
        last = tf.reshape(tf.gather(self._weights, best), (-1, self._top_k, *shape_of(self._last)))
        found: dict[Value, list[Product]] = {self._last: [Product(last)]}
        for step, rule in self._steps:
            after = total(found.pop(step.outputs[0]))
            products = rule.backward(after, [tensors[value] for value in rule.reads])
            for value, product in zip(step.inputs, products, strict=True):
                found.setdefault(value, []).append(product)
        return found[self._features]


def _contract(product: Product, features: Any) -> Any:
    """Return the sum over channels of a derivative times the features, `[batch, maps, positions]`."""
    height, width, channels = features.shape[1:]
    each, shared = product
    weighted = features if shared is None else features * shared
    if tuple(each.shape[2:4]) == (1, 1):
        # Channels first, as in ONNX, so that the converter adds no Transpose.
        columns = tf.reshape(tf.transpose(weighted, (0, 3, 1, 2)), (-1, channels, height * width))
        return tf.matmul(tf.reshape(each, (-1, each.shape[1], channels)), columns)
    summed = tf.reduce_sum(each * tf.expand_dims(weighted, 1), axis=-1)
    return tf.reshape(summed, (-1, each.shape[1], height * width))
