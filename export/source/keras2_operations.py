"""TensorFlow operations in Keras 2 models, such as `x + y` or `tf.nn.relu(x)`, as operations of Keras 3.

Keras 2 stores them as layers (TFOpLambda, SlicingOpLambda) that name a function of the TensorFlow API. That API can
also read and write files, so only functions that compute are accepted.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from camserve.export.frameworks import keras

import numpy as np

from camserve.errors import SourceError

__all__ = ["OPERATION_LAYERS", "check_operation", "to_keras_3_operation"]

OPERATION_LAYERS = ("SlicingOpLambda", "TFOpLambda")

_ALLOWED = re.compile(
    r"__operators__\.\w+|(compat\.v1\.)?("
    r"(math|nn|linalg)\.\w+"
    r"|image\.(resize\w*|central_crop|(crop|pad)_to_bounding_box|per_image_standardization|convert_image_dtype"
    r"|(rgb|grayscale|hsv|yuv|yiq)_to_\w+|adjust_(brightness|contrast|gamma|hue|saturation)|flip_\w+|rot90|transpose)"
    r"|abs|broadcast_to|cast|clip_by_value|concat|convert_to_tensor|einsum|ensure_shape|expand_dims|fill|floor|floor_div"
    r"|gather|identity|norm|one_hot|ones|ones_like|pad|range|repeat|reshape|round|zeros"
    r"|reverse|roll|shape|slice|split|squeeze|stack|stop_gradient|strided_slice|tile|transpose|unstack|where|zeros_like)"
)

_EQUIVALENTS: Mapping[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "__operators__.add": (keras.ops.add, ("x", "y")),
    "math.add": (keras.ops.add, ("x", "y")),
    "math.subtract": (keras.ops.subtract, ("x", "y")),
    "math.multiply": (keras.ops.multiply, ("x", "y")),
    "math.truediv": (keras.ops.divide, ("x", "y")),
    "math.divide": (keras.ops.divide, ("x", "y")),
    "nn.relu": (keras.ops.relu, ("features",)),
    "nn.relu6": (keras.ops.relu6, ("features",)),
    "nn.swish": (keras.ops.silu, ("features",)),
    "nn.silu": (keras.ops.silu, ("features",)),
    "math.sigmoid": (keras.ops.sigmoid, ("x",)),
    "nn.sigmoid": (keras.ops.sigmoid, ("x",)),
    "math.tanh": (keras.ops.tanh, ("x",)),
    "nn.tanh": (keras.ops.tanh, ("x",)),
    "nn.softmax": (keras.ops.softmax, ("logits", "axis")),
    "math.reduce_mean": (keras.ops.mean, ("input_tensor", "axis", "keepdims")),
    "math.reduce_sum": (keras.ops.sum, ("input_tensor", "axis", "keepdims")),
    "math.reduce_max": (keras.ops.max, ("input_tensor", "axis", "keepdims")),
    "reshape": (keras.ops.reshape, ("tensor", "shape")),
    "concat": (keras.ops.concatenate, ("values", "axis")),
    "squeeze": (keras.ops.squeeze, ("input", "axis")),
    "expand_dims": (keras.ops.expand_dims, ("input", "axis")),
    "linalg.matmul": (keras.ops.matmul, ("a", "b")),
}
"""Operations that Keras 3 has too, so that the head of a network can be read; with the parameters that they share."""

_DEFAULTS: Mapping[str, Any] = {"axis": None, "keepdims": False}


def check_operation(settings: Mapping[str, Any], name: str) -> None:
    """Refuse an operation that does anything but compute.

    Args:
        settings: The stored configuration of the layer; `function` is a name in TensorFlow's API.
        name: The file's name, for the message.

    Raises:
        SourceError: If the operation is not known to only compute.
    """
    function = settings.get("function")
    if not isinstance(function, str) or not _ALLOWED.fullmatch(function):
        raise SourceError(
            f"{name} contains the TensorFlow operation {function!r} (layer {settings.get('name')!r}), which camserve "
            "does not load",
            hint="Build the model in Python with a Keras layer in its place, load its weights, save it and export that",
        )


def to_keras_3_operation(layer: Any, name: str) -> Callable[..., Any]:
    """Return what computes the same in a Keras 3 model: Keras's own operation, or a call of the TensorFlow function.

    Args:
        layer: A TFOpLambda or SlicingOpLambda of tf_keras.
        name: A name for the operation.
    """
    symbol = layer.get_config()["function"]
    function = _TensorFlowFunction(layer.function, name, slicing="Slicing" in type(layer).__name__)
    if symbol not in _EQUIVALENTS:
        return function
    operation, shared = _EQUIVALENTS[symbol]

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(layer.function).bind(*args, **kwargs)
        given = {name: value for name, value in bound.arguments.items() if name != "name" and value is not None}
        others = {name for name, value in given.items() if name not in shared and value is not False}
        tensors = {name for name, value in given.items() if isinstance(value, keras.KerasTensor)}
        # Keras takes the product with a constant for sparse, and shapes only as numbers.
        constant_product = operation is keras.ops.multiply and len(tensors) < 2
        symbolic_shape = any(isinstance(each, keras.KerasTensor) for each in keras.tree.flatten(given.get("shape")))
        if others or constant_product or symbolic_shape:
            return function(*args, **kwargs)
        return operation(*(_constant(name, given.get(name, _DEFAULTS.get(name))) for name in _needed(shared, given)))

    return call


def _constant(name: str, value: Any) -> Any:
    """Return a list of numbers as an array, except one that names axes, a shape or several tensors."""
    return np.asarray(value, np.float32) if isinstance(value, list) and name in ("x", "y", "a", "b") else value


def _needed(shared: tuple[str, ...], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters up to the last one given; the rest have the defaults of the operation."""
    last = max(place for place, name in enumerate(shared) if name in given)
    return shared[: last + 1]


class _TensorFlowFunction(keras.Operation):  # type: ignore[misc]
    """A function of TensorFlow as an operation of a Keras 3 model."""

    def __init__(self, function: Callable[..., Any], name: str, *, slicing: bool) -> None:
        super().__init__(name=re.sub(r"[^A-Za-z0-9_.]", "_", name))
        self._function = function
        self._slicing = slicing

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        if self._slicing:  # tf_keras stores slices as dictionaries
            tensor, spec, *_ = (*args, *kwargs.values())
            return self._function(tensor, _slices(spec))
        return self._function(*args, **{name: value for name, value in kwargs.items() if name != "name"})


def _slices(spec: Any) -> Any:
    if isinstance(spec, dict):
        return slice(spec.get("start"), spec.get("stop"), spec.get("step"))
    if isinstance(spec, (list, tuple)):
        return tuple(_slices(part) for part in spec)
    return ... if spec == "..." else spec
