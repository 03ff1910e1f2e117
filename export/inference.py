"""A network as it is used for inference: nothing that only training needs, and float32 throughout."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from camserve.export.network import Network, Step

__all__ = ["in_float32", "in_inference_mode"]

_IDLE_AT_INFERENCE = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


def in_inference_mode(network: Network) -> tuple[Network, tuple[str, ...]]:
    """Takes training out of the network.

    A layer that was called with `training=True` when the model was built keeps that through `.h5` and `.keras`, and
    behaves as in training wherever the model is called without saying otherwise: BatchNorm then normalises by the
    batch, and an answer depends on the other images of its batch. Dropout and noise, which do nothing at inference,
    are taken out.

    Returns:
        The network, and the names of the layers that were built with `training=True`.
    """
    frozen = tuple(dict.fromkeys(step.name for step in network.steps if step.kwargs.get("training")))
    steps = (replace(step, kwargs=_without_training(step)) for step in network.steps)
    return network.with_steps(steps).without(lambda step: isinstance(step.operation, _IDLE_AT_INFERENCE)), frozen


def in_float32(network: Network) -> Network:
    """The network with every layer and weight in float32; layers that are float32 already are shared, not copied."""
    layers: dict[int, Any] = {}
    steps = []
    for step in network.steps:
        if id(step.operation) not in layers:  # a layer called twice stays one layer
            layers[id(step.operation)] = _layer_in_float32(step.operation)
        steps.append(replace(step, operation=layers[id(step.operation)]))
    return replace(network.with_steps(steps), dtype="float32")


def _without_training(step: Step) -> dict[str, Any]:
    return {name: value for name, value in step.kwargs.items() if name != "training"}


def _layer_in_float32(layer: Any) -> Any:
    if not isinstance(layer, keras.layers.Layer) or layer.dtype_policy.name == "float32":
        return layer
    copy = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    if layer.built and layer.weights:
        copy.build_from_config(layer.get_build_config())
        copy.set_weights([np.asarray(weight, np.float32) for weight in layer.get_weights()])
    return copy
