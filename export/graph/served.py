"""The served graph: from `image` to logits, probabilities and class activation maps, as one TensorFlow function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from camserve.export.frameworks import tf

from camserve.contract import Activation, CamContract, Preprocessing, TensorSpec
from camserve.contract.outputs import expected_outputs
from camserve.export.graph.cam_layer import ClassMaps
from camserve.export.graph.channel_order import take_rgb
from camserve.export.graph.gradient_head import GradientHead, Head
from camserve.export.graph.gradient_maps import GradientMaps
from camserve.export.graph.matrix_products import call_with_fixed_shapes
from camserve.export.graph.network import Network, Step, Value, run
from camserve.export.graph.position_products import input_of_products
from camserve.tensors import CAM, DATA_TYPES, IMAGE, LOGITS, PROBABILITIES

__all__ = ["MAPS", "PIXELS", "STEP", "ServedGraph", "build_served_graph", "preprocess"]

STEP, PIXELS, MAPS = "step", "pixels", CAM
"""Name scopes in the TensorFlow function: of the network's steps, the preprocessing and the maps."""


@dataclass(frozen=True)
class ServedGraph:
    """The graph to convert.

    Attributes:
        function: From `image` `[batch, height, width, channels]` to a dict of output tensors.
        layers: The Keras layers whose weights the function uses.
        steps: A unique name for each step, after its Keras layer, by the number in the step's name scope (`scope_of`).
        head: Names of the steps between the last features (without maps, the last layer with weights) and the outputs.
        input: The input tensor, without the batch.
        outputs: The output tensors, without the batch, in the order in which they are declared.
        activation: The function from logits to probabilities.
        cam: The class activation maps, or None.
    """

    function: Callable[[Any], dict[str, Any]]
    layers: list[Any]
    steps: tuple[str, ...]
    head: frozenset[str]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    activation: Activation
    cam: CamContract | None

    @property
    def signature(self) -> tf.TensorSpec:
        """Return the TensorFlow signature of the input, in which only the batch is dynamic."""
        return tf.TensorSpec((None, *self.input.shape), DATA_TYPES[self.input.dtype].numpy, name=self.input.name)


def build_served_graph(
    network: Network,
    logits: Value,
    activation: Activation,
    head: Head | None,
    *,
    pixels: Preprocessing | None = None,
    top_k: int = 5,
    all_classes: bool = False,
) -> ServedGraph:
    """Add preprocessing and class activation maps to a float32 network.

    Args:
        network: The network after `split_logits`.
        logits: Its logits.
        activation: The function from its logits to its output.
        head: Its head; None for a graph without maps.
        pixels: Preprocessing that the graph applies to uint8 pixels, RGB or gray; None if the graph takes the
            network's own float32 input.
        top_k: Number of maps, one for each of the best classes; limited to the number of classes.
        all_classes: Whether to add the map of every class as well.
    """
    classes = int(logits.shape[1] or 0)
    cam = None if head is None else _cam_contract(head, min(top_k, classes), all_classes=all_classes)
    maps = None if head is None or cam is None else _maps_of(head, cam)
    values = [network.output, logits, *(() if maps is None else maps.reads)]
    if pixels is not None:
        network, pixels = take_rgb(network, pixels, values)
    call = call_with_fixed_shapes(network)

    def function(image: Any) -> dict[str, Any]:
        if pixels is not None:
            with tf.name_scope(f"{PIXELS}/"):
                image = preprocess(image, pixels)
        probabilities, scores, *tensors = run(network, image, values, scope_of, call)
        with tf.name_scope(f"{MAPS}/"):
            outputs = {PROBABILITIES: tf.identity(probabilities), LOGITS: tf.identity(scores)}
            return outputs if maps is None else {**outputs, **maps(tensors, scores)}

    names = _step_names(network)
    return ServedGraph(
        function=function,
        layers=network.layers,
        steps=tuple(names.values()),
        head=frozenset(names[step.outputs[0]] for step in _head_steps(network, logits, head)),
        input=TensorSpec(name=IMAGE, dtype="FP32" if pixels is None else "UINT8", shape=network.shape),
        outputs=expected_outputs(classes, cam),
        activation=activation,
        cam=cam,
    )


def scope_of(step: int) -> AbstractContextManager[str]:
    """Return the name scope of a step, which relates a converted node to its step."""
    return tf.name_scope(f"{STEP}{step}/")  # type: ignore[no-any-return]


def preprocess(image: Any, pixels: Preprocessing) -> Any:
    """Compute `camserve.pixels.normalize` in the graph.

    The channels are transposed, and reordered if `take_rgb` could not avoid that, as uint8, a quarter of the bytes of
    float32. The converter removes the transpose back to NHWC, because ONNX has channels first.

    Args:
        image: Batch of pixels, uint8 `[batch, height, width, channels]`, RGB or gray.
        pixels: The preprocessing.

    Returns:
        Float32 `[batch, height, width, channels]`, in the color order of the preprocessing.
    """
    values = tf.transpose(image, (0, 3, 1, 2))
    if pixels.color == "bgr":
        values = tf.gather(values, (2, 1, 0), axis=1)
    values = tf.cast(values, tf.float32)
    for operation, operands in pixels.arithmetic:
        per_channel = tf.constant(operands, tf.float32, (1, len(operands), 1, 1))
        values = values / per_channel if operation == "divide" else values - per_channel
    return tf.transpose(values, (0, 2, 3, 1))


def _cam_contract(head: Head, top_k: int, *, all_classes: bool) -> CamContract:
    if isinstance(head, GradientHead):
        return CamContract(kind="gradient", grid=head.grid, top_k=top_k, all_classes=all_classes)
    return CamContract(kind=head.pooling.kind, grid=head.pooling.grid, top_k=top_k, all_classes=all_classes)


def _maps_of(head: Head, cam: CamContract) -> ClassMaps | GradientMaps:
    return GradientMaps(head, cam) if isinstance(head, GradientHead) else ClassMaps(head, cam)


def _step_names(network: Network) -> dict[Value, str]:
    """Return a unique name for each step, by its first output: its layer's name, numbered if it is taken."""
    taken = {PIXELS, MAPS}
    names: dict[Value, str] = {}
    for step in network.steps:
        numbered = (f"{step.name}_{number}" for number in count(2))
        name = next(name for name in chain([step.name], numbered) if name not in taken)
        taken.add(name)
        names[step.outputs[0]] = name
    return names


def _head_steps(network: Network, logits: Value, head: Head | None) -> tuple[Step, ...]:
    if head is not None:
        return network.after(input_of_products(network, head.features))
    last = network.producer(logits)
    while last is not None and not getattr(last.operation, "weights", None) and len(last.inputs) == 1:
        last = network.producer(last.inputs[0])
    return () if last is None else (last, *network.after(last.outputs[0]))
