"""A network as it is used for inference: nothing that only training needs, and float32 throughout."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from camserve.export.network import Network, Step

__all__ = ["BuiltForTraining", "in_float32", "in_inference_mode"]

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


@dataclass(frozen=True)
class BuiltForTraining:
    """Layers that were called with `training=True` when the model was built, by name.

    Attributes:
        norms: BatchNorm layers.
        noise: Dropout and noise layers.
    """

    norms: tuple[str, ...]
    noise: tuple[str, ...]


def in_inference_mode(network: Network) -> tuple[Network, BuiltForTraining]:
    """Takes training out of the network.

    A layer that was called with `training=True` when the model was built keeps that through `.h5` and `.keras`, and
    behaves as in training wherever the model is called without saying otherwise: BatchNorm then normalises by the
    batch, and an answer depends on the other images of its batch. Here every layer is told that this is inference.
    Dropout and noise, which then do nothing, are taken out.

    Returns:
        The network, and the layers that were built for training.
    """
    trained = [step for step in network.steps if step.kwargs.get("training") is True]
    found = BuiltForTraining(
        norms=_names(step for step in trained if isinstance(step.operation, keras.layers.BatchNormalization)),
        noise=_names(step for step in trained if type(step.operation) in _IDLE_AT_INFERENCE),
    )
    steps = (replace(step, kwargs=_for_inference(step)) for step in network.steps)
    return network.with_steps(steps).without(lambda step: type(step.operation) in _IDLE_AT_INFERENCE), found


def in_float32(network: Network) -> Network:
    """The network with every layer and weight in float32; layers that are float32 already are shared, not copied."""
    layers: dict[int, Any] = {}
    steps = []
    for step in network.steps:
        if id(step.operation) not in layers:  # a layer called twice stays one layer
            layers[id(step.operation)] = _layer_in_float32(step.operation)
        steps.append(replace(step, operation=layers[id(step.operation)]))
    return replace(network.with_steps(steps), dtype="float32")


def _for_inference(step: Step) -> dict[str, Any]:
    """The keyword arguments of the call, with `training=False` if the layer takes it."""
    others = {name: value for name, value in step.kwargs.items() if name != "training"}
    takes_training = "training" in inspect.signature(step.operation.call).parameters
    return {**others, "training": False} if takes_training else others


def _names(steps: Iterable[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.name for step in steps))


def _layer_in_float32(layer: Any) -> Any:
    if not isinstance(layer, keras.layers.Layer) or layer.dtype_policy.name == "float32":
        return layer
    copy = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    if layer.built and layer.weights:
        copy.build_from_config(layer.get_build_config())
        copy.set_weights([np.asarray(weight, np.float32) for weight in layer.get_weights()])
    return copy
