"""Networks for tests, with weights that reveal errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from camserve.contract import Preprocessing
from camserve.export.gate.samples import sample_images
from camserve.export.graph.grouped_convolution import call_without_xla
from camserve.export.graph.inference import to_inference_mode
from camserve.export.graph.network import Network, run
from camserve.export.graph.trace import trace
from camserve.pixels import normalize

_SPREAD = (
    0.7  # standard deviation of a logit over images: distinct probabilities, and rounding under half the tolerance
)


def small_network(pooling: str = "average", *, activation: str = "softmax", classes: int = 6) -> keras.Model:
    """Build two convolutions with BatchNorm, from 16x16x3 to 8x8 features, and a head."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.Conv2D(12, 3, strides=2, padding="same", use_bias=False, name="conv2")(x)
    x = layers.BatchNormalization(name="bn2")(x)
    x = layers.Activation("relu", name="features")(x)
    x = head(x, pooling)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(image, layers.Dense(classes, activation, name="classes")(x), name=f"small-{pooling}")


def head(features: Any, pooling: str) -> Any:
    """Pool the features into the input vector of the last layer."""
    if pooling == "global-average":
        return layers.GlobalAveragePooling2D(name="pool")(features)
    if pooling == "average":
        features = layers.AveragePooling2D(4, name="pool")(features)
    return layers.Flatten(name="flatten")(features)


def build_model(network: Network) -> keras.Model:
    """Build a Keras model of a network, whose layers must have unique names."""
    image = keras.Input(network.shape, dtype=network.dtype)
    return keras.Model(image, run(network, image, [network.output])[0], name=network.name)


def enliven(model: keras.Model, preprocessing: Preprocessing, seed: int = 0) -> keras.Model:
    """Give a random network BatchNorm statistics and logits like those of a trained network.

    The softmax of a random network is saturated or flat, and its features hardly depend on the image, so that parity
    would not reveal an error. A deep random network also amplifies float32 rounding more than a trained one: here
    residual branches add little to their shortcuts, and without branches most inputs of an activation are positive.
    """
    # As an export prepares it: nested models flattened, dropout removed.
    network = to_inference_mode(trace(model))[0]
    images = _images(network, preprocessing)
    rng = np.random.default_rng(seed)
    ends = _ends_of_branches(network)
    norms = [layer for layer in _layers(model) if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        _randomize(norm, rng, scale=0.2 if norm in ends else 1.0, shift=0.0 if ends else 1.0)
    for end in ends:
        if isinstance(end, layers.Conv2D):
            end.kernel.assign(end.kernel * 0.2)
    for layer in _layers(model):
        _randomize_initial(layer, rng)
    _measure_statistics(network, norms, images)
    for norm in norms:
        norm.moving_variance.assign(norm.moving_variance * rng.uniform(0.8, 1.25, norm.moving_mean.shape))
    _spread_logits(network, images)
    return model


def draw_weights(model: keras.Model, preprocessing: Preprocessing, seed: int, *, biases: float = 0.1) -> keras.Model:
    """Give a network weights as after training, without what `enliven` does to keep the rounding of float32 small.

    Gammas are drawn from 0.5 to 1.5, statistics are measured on images, and the head is scaled to logits with a
    standard deviation of 2.

    Args:
        model: The network.
        preprocessing: Its preprocessing.
        seed: The seed.
        biases: Standard deviation of the biases. Large ones are subtracted again by BatchNorm, which costs digits.
    """
    keras.utils.set_random_seed(seed)
    network = to_inference_mode(trace(model))[0]
    images = _images(network, preprocessing)
    rng = np.random.default_rng(seed)
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        _randomize(norm, rng)
    for layer in network.layers:
        if hasattr(layer, "kernel_initializer"):
            layer.kernel.assign(layer.kernel_initializer.clone()(layer.kernel.shape, layer.kernel.dtype))
        if getattr(layer, "use_bias", False):
            layer.bias.assign(rng.normal(0, biases, layer.bias.shape))
    _measure_statistics(network, norms, images)
    _spread_logits(network, images, 2.0)
    return model


def _images(network: Network, preprocessing: Preprocessing) -> Any:
    images = sample_images(8, *network.shape)
    return keras.ops.convert_to_tensor(normalize(images, preprocessing), network.dtype)


def _layers(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        yield from _layers(layer) if isinstance(layer, keras.Model) else (layer,)


def _ends_of_branches(network: Network) -> list[Any]:
    """Return the layers whose output is added to a shortcut: of the summands, the one with the longest path."""
    depths = {network.input: 0}
    ends = []
    for step in network.steps:
        depth = 1 + max(depths[value] for value in step.inputs)
        depths.update(dict.fromkeys(step.outputs, depth))
        if isinstance(step.operation, layers.Add):
            end = network.producer(max(step.inputs, key=depths.__getitem__))
            ends += [end.operation] if end is not None else []
    return ends


def _randomize(norm: Any, rng: np.random.Generator, *, scale: float = 1.0, shift: float = 0.0) -> None:
    if norm.gamma is not None:
        norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape) * scale)
    if norm.beta is not None:
        norm.beta.assign(rng.normal(shift, 0.2, norm.beta.shape))


def _randomize_initial(layer: Any, rng: np.random.Generator) -> None:
    """Replace weights that are initialized to 1 or near 0."""
    if isinstance(layer, layers.LayerNormalization):
        _randomize(layer, rng)
    elif isinstance(layer, layers.Normalization) and layer.weights:
        layer.adapt(rng.uniform(0, 1, (64, *layer._build_input_shape[1:])))
    elif type(layer).__name__ == "LayerScale":
        layer.gamma.assign(rng.uniform(0.1, 0.3, layer.gamma.shape))


def _measure_statistics(network: Network, norms: list[Any], images: Any) -> None:
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # so that the moving statistics become those of this batch
    in_training = (
        replace(step, kwargs={**step.kwargs, "training": True}) if step.operation in norms else step
        for step in network.steps
    )
    training = network.with_steps(in_training)
    run(training, images, [network.output], call=call_without_xla(training))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _spread_logits(network: Network, images: Any, spread: float = _SPREAD) -> None:
    last = next(step for step in reversed(network.steps) if getattr(step.operation, "weights", None))
    if not hasattr(last.operation, "kernel"):  # a BatchNorm, which scales the logits itself
        return
    kernel, *bias = last.operation.get_weights()
    (features,) = run(network, images, [last.inputs[0]], call=call_without_xla(network))
    features = np.reshape(features, (len(images), -1))
    flat = kernel.reshape(-1, kernel.shape[-1])
    flat *= spread / (features @ flat).std(axis=0).mean()
    last.operation.set_weights([kernel, *([-(features @ flat).mean(axis=0)] if bias else [])])
