"""Networks that take RGB instead of BGR, so that the graph need not reverse the channels of every image.

A convolution is a sum over the channels of its input: if the channels of its kernel are reversed like those of the
image, the sum has the same terms. Steps between the image and its first convolutions that treat each channel for
itself, such as padding and normalization, return what they returned, reversed like their input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from camserve.export.frameworks import keras

import numpy as np

from camserve.contract import Preprocessing
from camserve.errors import SourceError
from camserve.export.graph.fold import ScaleAndShift
from camserve.export.graph.network import Network, Step, Value, is_layer
from camserve.export.graph.rebuild import rebuild_layer

__all__ = ["take_rgb"]


def take_rgb(network: Network, pixels: Preprocessing, unchanged: Collection[Value]) -> tuple[Network, Preprocessing]:
    """Move the reversal of the channels from the preprocessing into the weights of the network, if it can be moved.

    Law: every weight has its value, at another place, and every sum its terms, in another order. In arithmetic without
    rounding the outputs are therefore equal.

    Args:
        network: The network.
        pixels: Its preprocessing.
        unchanged: Values that must keep the order of their channels: those that are read outside the network.

    Returns:
        The network that takes RGB, with its preprocessing; both arguments themselves if the preprocessing does not
        reverse the channels, or if a step that reads reversed channels has no rule or cannot be rebuilt.
    """
    if pixels.color != "bgr":
        return network, pixels
    changed = _with_reversed_input(network, unchanged)
    return (network, pixels) if changed is None else (changed, _in_rgb(pixels))


def _with_reversed_input(network: Network, unchanged: Collection[Value]) -> Network | None:
    """Return the network for images with reversed channels; None if it cannot be changed.

    A layer that is called more than once is not changed, because its other calls need its weights as they are.
    """
    reversed_values = {network.input}
    steps = []
    for step in network.steps:
        if reversed_values.isdisjoint(step.inputs):
            steps.append(step)
            continue
        changed = _reversed_step(step)
        if changed is None or (changed.operation is not step.operation and network.calls(step.operation) > 1):
            return None
        steps.append(changed)
        if type(step.operation) is not keras.layers.Conv2D:
            reversed_values.add(step.outputs[0])
    return network.with_steps(steps) if reversed_values.isdisjoint(unchanged) else None


def _reversed_step(step: Step) -> Step | None:
    """Return a step for an input with reversed channels, the last axis; None if it cannot be changed."""
    operation = step.operation
    last = getattr(operation, "data_format", "channels_last") == "channels_last"
    if len(step.inputs) != 1 or len(step.outputs) != 1 or not last:
        return None
    rule = _LAYERS.get(type(operation)) if is_layer(operation) else _OPERATIONS.get(step.kind)
    try:
        return None if rule is None else rule(step)
    except SourceError:  # its configuration does not contain an activation or a regularizer of the user
        return None


def _unchanged(step: Step) -> Step:
    return step


def _convolution(step: Step) -> Step | None:
    layer = step.operation
    if layer.groups != 1 or layer.lora_enabled:
        return None
    kernel, *bias = layer.get_weights()  # [height, width, channels, filters]
    return _rebuilt(step, [kernel[:, :, ::-1], *bias])


def _scale_and_shift(step: Step) -> Step | None:
    return _with_reversed_weights(step) if _is_last(step, step.operation.axis) else None


def _normalization(step: Step) -> Step | None:
    layer = step.operation
    if not layer.axis:  # one mean for all channels
        return step
    if len(layer.axis) != 1 or not _is_last(step, layer.axis[0]):
        return None
    if layer.input_mean is None:
        return _with_reversed_weights(step)
    return _rebuilt(step, mean=_reversed(layer.input_mean), variance=_reversed(layer.input_variance))


def _rescaling(step: Step) -> Step:
    layer = step.operation
    return _rebuilt(step, scale=_reversed(layer.scale), offset=_reversed(layer.offset))


def _arithmetic(step: Step) -> Step | None:
    if step.kwargs:
        return None
    return replace(step, args=tuple(arg if isinstance(arg, Value) else _reversed(arg) for arg in step.args))


def _with_reversed_weights(step: Step) -> Step:
    return _rebuilt(step, [_reversed(weight) for weight in step.operation.get_weights()])


def _rebuilt(step: Step, weights: Sequence[Any] | None = None, **constants: Any) -> Step:
    numbers = {name: np.asarray(constant).tolist() for name, constant in constants.items()}
    return replace(step, operation=rebuild_layer(step.operation, weights, **numbers))


def _reversed(constant: Any) -> Any:
    """Return a constant with one value for each channel, reversed; one for all channels is returned as it is.

    The dtype of an array is kept, because Keras chooses the precision of a result by it.
    """
    array = np.asarray(constant)
    return constant if array.ndim == 0 or array.shape[-1] == 1 else array[..., ::-1]


def _is_last(step: Step, axis: int) -> bool:
    rank = len(step.inputs[0].shape)
    return axis % rank == rank - 1


def _in_rgb(pixels: Preprocessing) -> Preprocessing:
    operands = {name: getattr(pixels, name)[::-1] for name in ("scale", "mean", "std")}
    return pixels.model_copy(update={"color": "rgb", **operands})


_LAYERS: dict[type, Callable[[Step], Step | None]] = {  # exact types: a subclass may compute otherwise
    keras.layers.AveragePooling2D: _unchanged,
    keras.layers.CenterCrop: _unchanged,
    keras.layers.Conv2D: _convolution,
    keras.layers.Cropping2D: _unchanged,
    keras.layers.MaxPooling2D: _unchanged,
    keras.layers.Normalization: _normalization,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Resizing: _unchanged,
    keras.layers.ZeroPadding2D: _unchanged,
    ScaleAndShift: _scale_and_shift,
}
_OPERATIONS: dict[str, Callable[[Step], Step | None]] = dict.fromkeys(
    ("Add", "Cast", "Divide", "Multiply", "Subtract", "TrueDivide"), _arithmetic
)
