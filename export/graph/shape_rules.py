"""Backward rules of pooling and of rearrangement."""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras, tf

import numpy as np

from camserve.export.graph.backward import MakeRule, Product, Rule, materialize, shape_of
from camserve.export.graph.network import Step
from camserve.export.graph.pooling import pooling_of

__all__ = ["SHAPE_LAYERS", "SHAPE_OPERATIONS"]

_GRID = (1, 2)


def _sum(step: Step) -> Rule | None:
    """Return the rule of a sum over some axes."""
    return Rule("linear", lambda after, _: [Product(_with_axes(step, after))]) if _axes(step) else None


def _mean(step: Step) -> Rule | None:
    """Return the rule of a mean over some axes: each element has the same part in it."""
    axes = _axes(step)
    if not axes:
        return None
    sides = [side for axis, side in enumerate(step.inputs[0].shape) if axis in axes]
    if None in sides:
        return None
    part = 1 / float(np.prod([int(side or 0) for side in sides]))
    return Rule("linear", lambda after, _: [Product(_with_axes(step, after) * part)])


def _maximum(step: Step) -> Rule | None:
    """Return the rule of a maximum over some axes: equal largest elements share it, as in TensorFlow's gradient."""
    axes = _axes(step)
    if not axes:
        return None

    def backward(after: Any, tensors: Any) -> list[Product]:
        (inputs,) = tensors
        return [Product(_with_axes(step, after), _shares_of_largest(inputs, axes))]

    return Rule("homogeneous", backward, step.inputs)


def _axes(step: Step) -> tuple[int, ...]:
    """Return the axes over which a step pools; empty if it is the batch, or not supported."""
    operation = step.operation
    rank = len(step.inputs[0].shape)
    if isinstance(operation, keras.layers.Layer):
        return tuple(range(1, rank - 1)) if operation.data_format == "channels_last" else ()
    given = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
    axes = () if None in given else tuple(sorted(axis % rank for axis in given))
    return () if 0 in axes else axes


def _with_axes(step: Step, after: Any) -> Any:
    """Return a derivative with the size 1 on the axes over which the step pooled."""
    axes = _axes(step)
    shape = [1 if axis in axes else int(side or 0) for axis, side in enumerate(step.inputs[0].shape)][1:]
    if tuple(after.shape[2:]) == tuple(shape):
        return after
    return tf.reshape(materialize(after, shape_of(step.outputs[0])), (-1, after.shape[1], *shape))


def _average_windows(step: Step) -> Rule | None:
    """Return the rule of average pooling in windows that do not overlap: a position has a part of its cell."""
    pooling = pooling_of(step)
    if pooling is None:
        return None
    rows, columns = (np.array(places) for places in (pooling.rows, pooling.columns))
    counts = [np.bincount(places[places >= 0]) for places in (rows, columns)]
    parts = [
        np.where(places >= 0, 1 / count[places], 0.0) for places, count in zip((rows, columns), counts, strict=True)
    ]
    weights = np.outer(*parts)[:, :, np.newaxis]

    def backward(after: Any, _: Any) -> list[Product]:
        cells = materialize(after, shape_of(step.outputs[0]))
        spread = tf.gather(tf.gather(cells, np.maximum(rows, 0), axis=2), np.maximum(columns, 0), axis=3)
        return [Product(spread * tf.constant(weights, after.dtype))]

    return Rule("linear", backward)


def _maximum_of_grid(step: Step) -> Rule | None:
    """Return the rule of max pooling with one window over the whole grid."""
    layer, grid = step.operation, step.inputs[0].shape[1:3]
    covers = all(size is not None and size <= window for size, window in zip(grid, layer.pool_size, strict=True))
    single = step.outputs[0].shape[1:3] == (1, 1) and layer.data_format == "channels_last"
    if not (covers and single and layer.padding == "valid"):
        return None

    def backward(after: Any, tensors: Any) -> list[Product]:
        (inputs,) = tensors
        return [Product(after, _shares_of_largest(inputs, _GRID))]

    return Rule("homogeneous", backward, step.inputs)


def _shares_of_largest(inputs: Any, axes: tuple[int, ...]) -> Any:
    """Return 1 divided among the largest elements, and 0 for the others.

    Not with `equal`, which tf2onnx computes in integers before opset 11.
    """
    largest = tf.cast(tf.greater_equal(inputs, tf.reduce_max(inputs, axes, keepdims=True)), inputs.dtype)
    return largest / tf.reduce_sum(largest, axes, keepdims=True)


def _rearrangement(step: Step) -> Rule | None:
    if getattr(step.operation, "data_format", None) == "channels_first":
        return None
    before, behind = shape_of(step.inputs[0]), shape_of(step.outputs[0])
    return Rule(
        "linear",
        lambda after, _: [Product(tf.reshape(materialize(after, behind), (-1, after.shape[1], *before)))],
    )


def _permutation(step: Step) -> Rule:
    inverse = [2 + int(axis) for axis in np.argsort(step.operation.dims)]
    return Rule("linear", lambda after, _: [Product(tf.transpose(after, (0, 1, *inverse)))])


def _concatenation(step: Step) -> Rule | None:
    axis = step.operation.axis % len(step.outputs[0].shape)
    sizes = [int(value.shape[axis] or 0) for value in step.inputs]
    if axis == 0 or 0 in sizes:
        return None

    def backward(after: Any, _: Any) -> list[Product]:
        after = materialize(after, shape_of(step.outputs[0]))
        return [Product(part) for part in tf.split(after, sizes, axis=axis + 1)]

    return Rule("linear", backward)


SHAPE_LAYERS: dict[type, MakeRule] = {  # exact types, because a subclass may compute otherwise
    keras.layers.AveragePooling2D: _average_windows,
    keras.layers.Concatenate: _concatenation,
    keras.layers.Flatten: _rearrangement,
    keras.layers.GlobalAveragePooling1D: _mean,
    keras.layers.GlobalAveragePooling2D: _mean,
    keras.layers.GlobalMaxPooling1D: _maximum,
    keras.layers.GlobalMaxPooling2D: _maximum,
    keras.layers.MaxPooling2D: _maximum_of_grid,
    keras.layers.Permute: _permutation,
    keras.layers.Reshape: _rearrangement,
}
SHAPE_OPERATIONS: dict[str, MakeRule] = {
    "Concatenate": _concatenation,
    "ExpandDims": _rearrangement,
    "Max": _maximum,
    "Mean": _mean,
    "Reshape": _rearrangement,
    "Squeeze": _rearrangement,
    "Sum": _sum,
}
