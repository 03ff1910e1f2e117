"""The derivative of each activation, against TensorFlow's gradient."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from camserve.export.graph.derivatives import derivative_of
from camserve.export.graph.trace import trace

# At the points where a derivative jumps as well: 0, and 3 and 6 on both sides.
POINTS = np.concatenate([np.linspace(-8, 8, 161), [0.0, -3.0, 3.0, 6.0, -1e-6, 1e-6]]).astype(np.float32)

NAMED = (
    "elu",
    "exponential",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "swish",
    "tanh",
)


def prelu() -> Any:
    return layers.PReLU(alpha_initializer=keras.initializers.Constant(0.3), shared_axes=[1])


APPLIED: dict[str, Any] = {
    **{name: layers.Activation(name) for name in NAMED},
    "ReLU layer": layers.ReLU(),
    "ReLU layer with a maximum": layers.ReLU(max_value=4.0),
    "ReLU layer with a slope": layers.ReLU(negative_slope=0.1),
    "LeakyReLU layer": layers.LeakyReLU(negative_slope=0.3),
    "ELU layer": layers.ELU(alpha=0.7),
    "PReLU layer": prelu(),
    "ops.relu": keras.ops.relu,
    "ops.gelu": keras.ops.gelu,
    "ops.gelu, exact": lambda x: keras.ops.gelu(x, approximate=False),
    "ops.gelu as activation": layers.Activation(keras.ops.gelu),
    "ops.elu": lambda x: keras.ops.elu(x, alpha=0.5),
    "ops.leaky_relu": lambda x: keras.ops.leaky_relu(x, negative_slope=0.4),
    "ops.exp": keras.ops.exp,
    "activations.relu with a slope": lambda x: keras.activations.relu(x, negative_slope=0.25),
    "tf.nn.silu": layers.Activation(tf.nn.silu),
    "tf.nn.gelu": layers.Activation(tf.nn.gelu),
}


def step_of(apply: Any) -> Any:
    """Return the step of an activation in a network."""
    image = layers.Input((1, 1, 1))
    vector = layers.Dense(1)(layers.Flatten()(image))
    return trace(keras.Model(image, apply(vector))).steps[-1]


def softmax_of_half(x: Any) -> Any:
    return keras.ops.softmax(x / 2)


@pytest.mark.parametrize("name", APPLIED)
def test_derivative_is_the_gradient_of_tensorflow(name: str) -> None:
    step = step_of(APPLIED[name])
    derivative = derivative_of(step)
    assert derivative is not None
    points = tf.constant(POINTS[:, np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(points)
        args, kwargs = step.called_with(lambda _: points)
        values = step.operation(*args, **kwargs)
    expected = tape.gradient(values, points)
    np.testing.assert_allclose(derivative.at(points), expected, rtol=2e-5, atol=5e-6)
    if derivative.at_output:
        np.testing.assert_allclose(derivative.at(values), expected, rtol=1e-6)
    doubled = step.operation(*step.called_with(lambda _: 2 * points)[0])
    assert derivative.homogeneous == np.allclose(doubled, 2 * values)


@pytest.mark.parametrize(
    "apply",
    [
        layers.Activation("log_softmax"),
        layers.ReLU(threshold=1.0),
        layers.Activation(lambda x: x**2),
        keras.ops.square,
        layers.Softmax(axis=0),
        lambda x: keras.ops.softmax(x, axis=None),
        layers.Activation(softmax_of_half),
    ],
    ids=["log_softmax", "threshold", "custom", "square", "softmax of a batch", "softmax of all", "custom softmax"],
)
def test_unknown_activation_has_no_derivative(apply: Any) -> None:
    assert derivative_of(step_of(apply)) is None
