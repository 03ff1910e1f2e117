"""Conversion of a network to inference mode, and to float32 or float64."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError
from camserve.export.graph.network import Network, Step, is_layer
from camserve.export.graph.rebuild import rebuild_layer

__all__ = ["BuiltForTraining", "to_float32", "to_float64", "to_inference_mode"]

_NOISE = (
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
_CHANGES_SIZE = "RandomCrop"  # even at inference, in some versions of Keras
_MIXES = ("AugMix", "CutMix", "MixUp", "RandAugment")
_AUGMENTATION = tuple(
    getattr(keras.layers, name)
    for name in dir(keras.layers)
    if (name.startswith("Random") and name != _CHANGES_SIZE) or name in _MIXES
)


@dataclass(frozen=True)
class BuiltForTraining:
    """Names of the layers that were called with `training=True` when the model was built.

    Augmentation and resizing layers are not among them, because Keras always records `training=True` for these.

    Attributes:
        norms: BatchNorm layers.
        noise: Dropout and noise layers.
        others: Other layers that distinguish training, such as the user's own.
    """

    norms: tuple[str, ...]
    noise: tuple[str, ...]
    others: tuple[str, ...]


def to_inference_mode(network: Network) -> tuple[Network, BuiltForTraining]:
    """Call every layer with `training=False`, and remove dropout, noise and augmentation layers.

    A layer that was called with `training=True` when the model was built keeps that setting in its file: BatchNorm then
    normalizes by the batch, and an output depends on the other images of the batch, in `model(x)` and in `predict` of
    Keras 2. `predict` of Keras 3 uses inference mode.

    Returns:
        The network, and the layers that were built for training.

    Raises:
        SourceError: If a layer is quantized, or returns another size at inference than it declares.
    """
    for step in network.steps:
        _check(step)
    trained = [step for step in network.steps if _built_for_training(step)]
    norms = _names(step for step in trained if isinstance(step.operation, keras.layers.BatchNormalization))
    noise = _names(step for step in trained if isinstance(step.operation, _NOISE))
    others = tuple(name for name in _names(trained) if name not in (*norms, *noise))
    steps = (replace(step, kwargs=_for_inference(step)) for step in network.steps)
    return network.with_steps(steps).without(_has_no_effect), BuiltForTraining(norms, noise, others)


def to_float32(network: Network) -> Network:
    """Convert every layer and weight to float32; layers that already use float32 are shared, not copied.

    Raises:
        SourceError: If a layer cannot be rebuilt in float32.
    """
    return _in_precision(network, "float32")


def to_float64(network: Network) -> Network:
    """Convert every layer and weight to float64; layers that already use float64 are shared, not copied.

    Raises:
        SourceError: If a layer cannot be rebuilt in float64.
    """
    return _in_precision(network, "float64")


def _in_precision(network: Network, dtype: str) -> Network:
    layers: dict[int, Any] = {}
    steps = []
    with _default_precision(dtype):
        for step in network.steps:
            if id(step.operation) not in layers:  # a layer called twice stays one layer
                layers[id(step.operation)] = _layer_in_precision(step, dtype)
            steps.append(replace(step, operation=layers[id(step.operation)]))
    return replace(network.with_steps(steps), dtype=dtype)


@contextmanager
def _default_precision(dtype: str) -> Iterator[None]:
    """Set the default precision of new layers, such as those that a custom layer creates for itself."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def _has_no_effect(step: Step) -> bool:
    """Return whether a layer, of Keras or of a subclass that does not compute otherwise, returns its input."""
    kinds = (*_NOISE, *_AUGMENTATION)
    return isinstance(step.operation, kinds) and type(step.operation).call in [kind.call for kind in kinds]


def _check(step: Step) -> None:
    if getattr(step.operation, "quantization_mode", None) is not None:
        raise SourceError(
            f"layer {step.name!r} ({step.kind}) is quantized by Keras to {step.operation.quantization_mode}",
            hint="Export the model from before quantize(), and let camserve quantize it: --precision int8",
        )
    if step.kind == _CHANGES_SIZE:
        height, width = step.operation(keras.ops.zeros((1, *step.inputs[0].shape[1:])), training=False).shape[1:3]
        if (height, width) != step.outputs[0].shape[1:3]:
            raise SourceError(
                f"layer {step.name!r} ({step.kind}) returns {height}x{width} pixels at inference but declares "
                f"{step.outputs[0].shape[1]}x{step.outputs[0].shape[2]}",
                hint="Replace it with keras.layers.CenterCrop or keras.layers.Resizing",
            )


def _for_inference(step: Step) -> dict[str, Any]:
    """Return the keyword arguments of the call, with `training=False` if the layer accepts it."""
    others = {name: value for name, value in step.kwargs.items() if name != "training"}
    takes_training = "training" in inspect.signature(step.operation.call).parameters
    return {**others, "training": False} if takes_training else others


def _built_for_training(step: Step) -> bool:
    """Return whether a layer was called with `training=True` without having that as its default."""
    parameter = inspect.signature(step.operation.call).parameters.get("training")
    return bool(step.kwargs.get("training")) and parameter is not None and parameter.default is not True


def _names(steps: Iterable[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.name for step in steps))


def _layer_in_precision(step: Step, dtype: str) -> Any:
    layer = step.operation
    if not is_layer(layer) or layer.dtype_policy.name == dtype:
        return layer
    # The inner layers of a custom layer may be built only by its first call.
    args, kwargs = step.called_with(lambda value: keras.KerasTensor(value.shape, dtype))
    return rebuild_layer(layer, build=lambda copy: copy(*args, **kwargs), dtype=dtype)
