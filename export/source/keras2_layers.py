"""One layer of Keras 2 as a layer of Keras 3 with the same settings, the same weights and the same answers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError

__all__ = ["accepted_settings", "hard_sigmoid_of_keras_2", "to_keras_3_layer"]

_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
_RENAMED_SETTINGS = {"LeakyReLU": {"alpha": "negative_slope"}, "ReLU": {"theta": "threshold"}}
_HINT = "Build the model in Keras 3 with an equivalent layer, copy the weights, and pass it to export_model"
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint", "_size_per_worker")
_WITHOUT_EFFECT = frozenset(
    (
        *(
            "_name",
            "name",
            "dtype",
            "trainable",
            "autocast",
            "activity_regularizer",
            "seed",
            "momentum",
            "synchronized",
        ),
        *("batch_input_shape", "batch_shape", "input_dim", "input_shape", "sparse", "ragged", "fused", "synchronized"),
        *("renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size"),
        *("key_shape", "query_shape", "value_shape", "invert", "mean", "variance"),
    )
)
"""Settings that change nothing at inference, or that are translated by themselves."""

_DEFAULT_WHERE_REMOVED: Mapping[str, tuple[Any, ...]] = {"groups": (1, None), "data_format": ("channels_last", None)}


def to_keras_3_layer(layer: Any, name: str) -> Any:
    """Return the Keras 3 layer, built, with the weights of a layer of tf_keras.

    Args:
        layer: A built layer of tf_keras; not a model, a Lambda or an operation.
        name: The new layer's name.

    Raises:
        SourceError: If Keras 3 has no such layer, or it lacks a setting that the layer uses.
    """
    kind = type(layer).__name__
    made: Any = getattr(keras.layers, _RENAMED.get(kind, kind), None)
    if made is None or not (inspect.isclass(made) and issubclass(made, keras.layers.Layer)):
        raise SourceError(
            f"layer {layer.name!r} is a {kind} of Keras 2, which Keras 3 does not have",
            hint=_HINT,
        )
    settings = accepted_settings(made, layer.get_config(), layer.name)
    if kind == "Normalization":
        settings |= _fixed_statistics(layer)
    settings |= {"name": name, "dtype": _policy(layer)}
    if made is keras.layers.BatchNormalization and isinstance(settings["axis"], list):
        (settings["axis"],) = settings["axis"]
    if "activation" in settings:
        settings["activation"] = _activation(layer.activation)
    try:
        copy = made(**settings)
        copy.build(*_build_shapes(layer))
        if kind != "Normalization":
            copy.set_weights(layer.get_weights())
    except Exception as error:
        raise SourceError(
            f"layer {layer.name!r} ({kind}) of Keras 2 has settings that Keras 3 refuses: {str(error).splitlines()[0]}",
            hint=_HINT,
        ) from error
    return copy


def accepted_settings(made: type, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of a stored configuration that a Keras 3 class accepts.

    Args:
        made: The class.
        config: The configuration that Keras 2 stored.
        name: The layer's name, for the message.

    Raises:
        SourceError: If the class lacks a setting that has an effect.
    """
    renamed = _RENAMED_SETTINGS.get(made.__name__, {})
    parameters = _parameters(made)
    settings = {}
    for key, value in config.items():
        new = renamed.get(key, key)
        if new in _WITHOUT_EFFECT or new.endswith(_TRAINING_ONLY):
            continue
        if new in parameters:
            settings[new] = _plain(value)
        elif value not in _DEFAULT_WHERE_REMOVED.get(key, (None, False)):
            raise SourceError(
                f"layer {name!r} ({made.__name__}) of Keras 2 has {key}={value!r}, which Keras 3 does not have",
                hint=_HINT,
            )
    return settings


def _plain(value: Any) -> Any:
    """Return lists and dictionaries of tf_keras, which wraps them, as Python's own."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _parameters(made: type) -> set[str]:
    """Return the parameter names of a constructor and, if it takes `**kwargs`, of those of the base classes."""
    found: set[str] = set()
    for base in made.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        found.update(each.name for each in parameters if each.kind is not each.VAR_KEYWORD)
        if not any(each.kind is each.VAR_KEYWORD for each in parameters):
            break
    return found - {"self"}


def _build_shapes(layer: Any) -> list[Any]:
    """Return the shape of the layer's first call, as `build` of Keras 3 takes it."""
    if type(layer).__name__ == "MultiHeadAttention":
        return [tuple(layer.get_config()[f"{name}_shape"]) for name in ("query", "value", "key")]
    shape = layer.get_input_shape_at(0)
    return [[tuple(each) for each in shape] if isinstance(shape, list) else tuple(shape)]


def _policy(layer: Any) -> str:
    policy = getattr(layer, "dtype_policy", None)
    return str(getattr(policy, "name", None) or layer.dtype or "float32")


def _fixed_statistics(layer: Any) -> dict[str, Any]:
    return {
        "mean": layer.mean.numpy().reshape(-1),
        "variance": layer.variance.numpy().reshape(-1),
        "invert": layer.invert,
    }


def _activation(function: Any) -> Any:
    """Return what computes the same in Keras 3.

    Args:
        function: An activation of tf_keras, or one of the user's own, or a layer.
    """
    name = getattr(function, "__name__", None)
    if name == "hard_sigmoid" and "tf_keras" in function.__module__:
        return hard_sigmoid_of_keras_2
    if getattr(function, "__module__", "").startswith(("tf_keras", "keras.src", "keras.activations")):
        return keras.activations.get(name)
    return function


@keras.saving.register_keras_serializable("camserve")  # type: ignore[untyped-decorator]
def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1), which is `hard_sigmoid` in Keras 2; in Keras 3 it is relu6(x + 3) / 6."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
