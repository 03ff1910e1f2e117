"""The served graph: from `image` to logits, probabilities and class activation maps, as one TensorFlow function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from camserve.contract import Activation, CamContract, TensorSpec
from camserve.export.head import LinearHead
from camserve.export.network import Network, Value, run

__all__ = ["ServedGraph", "serve"]


@dataclass(frozen=True)
class ServedGraph:
    """What is converted.

    Attributes:
        function: `image` float32 `[batch, height, width, channels]` to a dict of output tensors.
        layers: The Keras layers whose weights the function uses.
        input: The input tensor, without the batch.
        outputs: The output tensors, without the batch, in the order in which they are declared.
        activation: What turns logits into probabilities.
        cam: The maps, or None.
    """

    function: Callable[[Any], dict[str, Any]]
    layers: list[Any]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    activation: Activation
    cam: CamContract | None


def serve(
    network: Network,
    logits: Value,
    activation: Activation,
    head: LinearHead | None,
    *,
    top_k: int = 5,
    all_classes: bool = False,
) -> ServedGraph:
    """Adds the maps to a float32 network.

    Args:
        network: The network, its logits split from its activation.
        logits: Its logits.
        activation: What turns them into its output.
        head: Its linear head, or None for a graph without maps.
        top_k: Number of maps, of the best classes; the number of classes if there are fewer.
        all_classes: Whether to answer with the map of every class as well.
    """
    classes = int(logits.shape[1] or 0)
    outputs = [TensorSpec(name="probabilities", dtype="FP32", shape=(classes,))]
    outputs += [TensorSpec(name="logits", dtype="FP32", shape=(classes,))]
    cam = None
    wanted = [network.output, logits]
    if head is not None:
        cam = CamContract(
            kind=head.pooling.kind, grid=head.pooling.grid, top_k=min(top_k, classes), all_classes=all_classes
        )
        outputs += _cam_outputs(cam, classes)
        wanted.append(head.features)
    maps = None if head is None or cam is None else _Maps(head, cam)

    def function(image: Any) -> dict[str, Any]:
        probabilities, scores, *features = run(network, image, wanted)
        answers = {"probabilities": tf.identity(probabilities), "logits": tf.identity(scores)}
        return answers if maps is None else {**answers, **maps(features[0], scores)}

    tensor = TensorSpec(name="image", dtype="FP32", shape=network.shape)
    return ServedGraph(function, network.layers, tensor, tuple(outputs), activation, cam)


def _cam_outputs(cam: CamContract, classes: int) -> list[TensorSpec]:
    outputs = [
        TensorSpec(name="cam", dtype="FP32", shape=(cam.top_k, *cam.grid)),
        TensorSpec(name="cam_class", dtype="INT32", shape=(cam.top_k,)),
    ]
    if cam.all_classes:
        outputs.append(TensorSpec(name="cam_all", dtype="FP32", shape=(classes, *cam.grid)))
    return outputs


class _Maps:
    """The maps of the best classes, written with MatMul: einsum and gather would leave a trail of shape nodes."""

    def __init__(self, head: LinearHead, cam: CamContract) -> None:
        self._cam = cam
        self._positions = cam.grid[0] * cam.grid[1]
        self._classes = head.weights.shape[-1]
        self._one_weight = head.pooling.kind == "global-average"
        if self._one_weight:  # [classes, channels]
            self._weights = head.weights[0, 0].T.astype(np.float32)
        else:  # [positions, classes, channels]
            by_position = head.weights_by_position().reshape(self._positions, -1, self._classes)
            self._weights = np.swapaxes(by_position, 1, 2).astype(np.float32)

    def __call__(self, features: Any, logits: Any) -> dict[str, Any]:
        height, width = self._cam.grid
        every = self._of_every_class(features)
        best = tf.math.top_k(logits, self._cam.top_k).indices
        chosen = tf.matmul(tf.one_hot(best, self._classes), every)
        answers = {"cam": tf.reshape(chosen, (-1, self._cam.top_k, height, width)), "cam_class": best}
        if self._cam.all_classes:
            answers["cam_all"] = tf.reshape(every, (-1, self._classes, height, width))
        return answers

    def _of_every_class(self, features: Any) -> Any:
        """`[batch, classes, positions]` of features `[batch, height, width, channels]`."""
        channels = features.shape[-1]
        if self._one_weight:
            # Channels first, as ONNX keeps them, so that the converter has nothing to transpose.
            columns = tf.reshape(tf.transpose(features, (0, 3, 1, 2)), (-1, channels, self._positions))
            return tf.matmul(self._weights, columns)
        columns = tf.reshape(features, (-1, self._positions, channels, 1))
        by_position = tf.squeeze(tf.matmul(self._weights, columns), axis=3)
        return tf.transpose(by_position, (0, 2, 1))
