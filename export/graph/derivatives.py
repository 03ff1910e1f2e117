"""The derivatives of activations, as forward operators on what the activation reads.

Where an activation has no derivative, the value is that of TensorFlow's gradient, so that the maps are those of
`tf.GradientTape`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from camserve.export.frameworks import keras, tf

from camserve.export.graph.affine import activation_name
from camserve.export.graph.backward import Product
from camserve.export.graph.network import Step, is_layer

__all__ = ["Derivative", "derivative_of"]

_RELU6 = 6.0
_SOFTMAX = "softmax"
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@dataclass(frozen=True)
class Derivative:
    """The derivative of an activation.

    Attributes:
        at: From what the activation reads to its derivative there, of the same shape.
        homogeneous: Whether the activation of t · x is t times that of x, for t > 0.
        at_output: Whether the derivative is the same at what the activation returns.
        softmax_axes: Of a softmax, the axes along which its values add up to 1; empty for others.
    """

    at: Callable[[Any], Any]
    homogeneous: bool = False
    at_output: bool = False
    softmax_axes: tuple[int, ...] = ()

    def before(self, after: Any, tensor: Any) -> Product:
        """Return the derivative by what the activation reads.

        Of a softmax y with the derivative d by y, it is y · (d - Σ d · y).

        Args:
            after: The derivative by what it returns, `[batch, maps, *shape]`.
            tensor: What it reads, or, if `at_output`, returns, `[batch, *shape]`.
        """
        if self.softmax_axes:
            behind = [axis + 1 for axis in self.softmax_axes]
            after = after - tf.reduce_sum(after * tf.expand_dims(tensor, 1), behind, keepdims=True)
        return Product(after, self.at(tensor))


def derivative_of(step: Step) -> Derivative | None:
    """Return the derivative of the activation at the end of a step; None if it has none, or an unknown one."""
    operation = step.operation
    make = _LAYERS.get(type(operation)) if is_layer(operation) else _OPERATIONS.get(step.kind)
    if make is not None:
        return make(operation)
    if getattr(operation, "activation", None) is keras.ops.gelu:  # approximate, unlike keras.activations.gelu
        return Derivative(_approximate_gelu)
    name = activation_name(step)
    is_softmax = name == _SOFTMAX or name.startswith(f"{_SOFTMAX} over axis")  # not a custom function of such a name
    return _softmax(step) if is_softmax else _ACTIVATIONS.get(name)


def _softmax(step: Step) -> Derivative | None:
    """Return the derivative of a softmax over the last axis, or over those that the step names; None of all images."""
    named = step.operation.axis if step.kind.lower() == _SOFTMAX else -1
    if named is None:
        return None
    rank = len(step.outputs[0].shape)
    axes = tuple(axis % rank for axis in (named if isinstance(named, list | tuple) else [named]))
    return None if 0 in axes else Derivative(tf.identity, at_output=True, softmax_axes=axes)


def _mask(condition: Any, x: Any) -> Any:
    return tf.cast(condition, x.dtype)


def _between(x: Any, low: float, high: float) -> Any:
    return _mask(tf.logical_and(x > low, x < high), x)


def _relu(x: Any, slope: float = 0.0, highest: float = math.inf) -> Any:
    if slope:
        return slope + (1 - slope) * _mask(x > 0, x)
    if math.isinf(highest):
        return _mask(x > 0, x)
    return _between(x, 0.0, 6.0) if highest == _RELU6 else _mask(tf.logical_and(x > 0, x <= highest), x)


def _elu(x: Any, alpha: float = 1.0) -> Any:
    positive = _mask(x > 0, x)
    return positive + (1 - positive) * alpha * tf.exp(tf.minimum(x, 0.0))


def _selu(x: Any) -> Any:
    negative = _mask(x < 0, x)
    return _SELU_SCALE * (1 - negative + negative * _SELU_ALPHA * tf.exp(tf.minimum(x, 0.0)))


def _gelu(x: Any) -> Any:
    distribution = 0.5 * (1 + tf.math.erf(x * math.sqrt(0.5)))
    return distribution + x * tf.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def _approximate_gelu(x: Any) -> Any:
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    tanh = tf.tanh(factor * (x + cubic * x * x * x))
    return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * factor * (1 + 3 * cubic * x * x)


def _silu(x: Any) -> Any:
    sigmoid = tf.sigmoid(x)
    return sigmoid * (1 + x * (1 - sigmoid))


def _sigmoid(x: Any) -> Any:
    sigmoid = tf.sigmoid(x)
    return sigmoid * (1 - sigmoid)


def _tanh(x: Any) -> Any:
    tanh = tf.tanh(x)
    return 1 - tanh * tanh


def _hard_sigmoid(x: Any) -> Any:
    return _between(x, -3.0, 3.0) * (1 / 6)


def _hard_silu(x: Any) -> Any:
    return _mask(x >= 3.0, x) + _between(x, -3.0, 3.0) * (x * (1 / 3) + 0.5)


def _mish(x: Any) -> Any:
    tanh = tf.tanh(tf.math.softplus(x))
    return tanh + x * (1 - tanh * tanh) * tf.sigmoid(x)


def _softsign(x: Any) -> Any:
    denominator = 1 + tf.abs(x)
    return 1 / (denominator * denominator)


def _of_relu_layer(layer: Any) -> Derivative | None:
    if layer.threshold or (layer.negative_slope and layer.max_value is not None):
        return None
    highest = math.inf if layer.max_value is None else float(layer.max_value)
    unlimited = math.isinf(highest)
    slope = float(layer.negative_slope)
    at_output = slope >= 0 and (unlimited or highest == _RELU6)
    return Derivative(partial(_relu, slope=slope, highest=highest), homogeneous=unlimited, at_output=at_output)


def _of_leaky_relu(operation: Any) -> Derivative:
    slope = float(operation.negative_slope)
    return Derivative(partial(_relu, slope=slope), homogeneous=True, at_output=slope > 0)


def _of_prelu(layer: Any) -> Derivative:
    def at(x: Any) -> Any:
        return _mask(x > 0, x) + _mask(x < 0, x) * keras.ops.convert_to_tensor(layer.alpha)

    return Derivative(at, homogeneous=True)


def _of_elu(operation: Any) -> Derivative:
    return Derivative(partial(_elu, alpha=float(operation.alpha)))


def _of_gelu_operation(operation: Any) -> Derivative:
    return Derivative(_approximate_gelu if operation.approximate else _gelu)


def _named(name: str) -> Callable[[Any], Derivative | None]:
    return lambda _: _ACTIVATIONS.get(name)


_ACTIVATIONS: dict[str, Derivative] = {
    "elu": Derivative(_elu),
    "exponential": Derivative(tf.exp),
    "gelu": Derivative(_gelu),
    "hard_sigmoid": Derivative(_hard_sigmoid),
    "hard_silu": Derivative(_hard_silu),
    "leaky_relu": Derivative(partial(_relu, slope=0.2), homogeneous=True, at_output=True),
    "log_sigmoid": Derivative(lambda x: tf.sigmoid(-x)),
    "mish": Derivative(_mish),
    "relu": Derivative(_relu, homogeneous=True, at_output=True),
    "relu6": Derivative(partial(_relu, highest=_RELU6), at_output=True),
    "selu": Derivative(_selu),
    "sigmoid": Derivative(_sigmoid),
    "silu": Derivative(_silu),
    "softplus": Derivative(tf.sigmoid),
    "softsign": Derivative(_softsign),
    "swish": Derivative(_silu),
    "tanh": Derivative(_tanh),
}
_LAYERS: dict[type, Callable[[Any], Derivative | None]] = {  # exact types, because a subclass may compute otherwise
    keras.layers.ELU: _of_elu,
    keras.layers.LeakyReLU: _of_leaky_relu,
    keras.layers.PReLU: _of_prelu,
    keras.layers.ReLU: _of_relu_layer,
}
_SAME_NAME = ("hard_sigmoid", "hard_silu", "log_sigmoid", "relu", "relu6", "selu", "sigmoid", "silu")
_OPERATIONS: dict[str, Callable[[Any], Derivative | None]] = {
    "Elu": _of_elu,
    "Exp": _named("exponential"),
    "Gelu": _of_gelu_operation,
    "LeakyRelu": _of_leaky_relu,
    "ReLU": _of_relu_layer,
    **{name.title().replace("_", ""): _named(name) for name in (*_SAME_NAME, "softplus", "softsign", "tanh")},
}
