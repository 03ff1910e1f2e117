"""One layer of Keras 2 as a layer of Keras 3 with the same settings, the same weights and the same answers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from camserve.export.frameworks import keras

from camserve.export.source.application_layers import application_layers

__all__ = ["UnlikeKeras3Error", "hard_sigmoid_of_keras_2", "is_identity", "to_keras_3_layer"]

_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
_RENAMED_SETTINGS = {"LeakyReLU": {"alpha": "negative_slope"}, "ReLU": {"theta": "threshold"}}
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint", "_size_per_worker")
_WITHOUT_EFFECT = frozenset(
    (
        *("name", "trainable", "dtype", "activity_regularizer", "seed", "momentum"),
        *("batch_input_shape", "sparse", "ragged", "fused", "synchronized", "implementation"),
        *("renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size"),
        *("key_shape", "query_shape", "value_shape"),
    )
)
"""Settings that change nothing at inference, or that are translated by themselves."""

_DEFAULT_WHERE_REMOVED: Mapping[str, tuple[Any, ...]] = {"groups": (1, None), "data_format": ("channels_last", None)}
_IDENTITIES = (
    *("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D"),
    *("RandomBrightness", "RandomContrast", "RandomFlip", "RandomHeight", "RandomRotation", "RandomTranslation"),
    *("RandomWidth", "RandomZoom"),
)
_INTERPOLATIONS = ("area", "bicubic", "bilinear", "lanczos3", "lanczos5", "nearest")
_ONLY_SETTINGS = frozenset(("__doc__", "__init__", "__module__", "__qualname__", "from_config", "get_config"))


class UnlikeKeras3Error(Exception):
    """Keras 3 has no layer that computes the same."""


def is_identity(layer: Any) -> bool:
    """Return whether a layer of tf_keras, or of a subclass, returns its input at inference."""
    return type(layer).call in _identities()


@cache
def _identities() -> tuple[Any, ...]:
    import tf_keras  # noqa: PLC0415  takes seconds, and few sources need it

    stochastic_depth = application_layers(tf_keras)["StochasticDepth"]
    return (*(getattr(tf_keras.layers, name).call for name in _IDENTITIES), stochastic_depth.call)


def to_keras_3_layer(layer: Any, name: str) -> Any:
    """Return the Keras 3 layer, built, with the weights of a layer of tf_keras.

    Args:
        layer: A built layer of tf_keras, not a model or an operation.
        name: The new layer's name.

    Raises:
        UnlikeKeras3Error: If Keras 3 has no such layer, or it lacks a setting that the layer uses.
    """
    base = _class_of_keras_2(layer)
    kind = base.__name__
    made: Any = getattr(keras.layers, _RENAMED.get(kind, kind), None) or application_layers(keras).get(kind)
    if not inspect.isclass(made) or not issubclass(made, keras.layers.Layer) or made is keras.layers.Layer:
        raise UnlikeKeras3Error(kind)
    settings = _accepted_settings(made, base.get_config(layer)) | {"name": name, "dtype": _policy(layer)}
    settings |= {key: _activation(getattr(layer, key)) for key in settings if key.endswith("activation")}
    if settings.get("interpolation", "nearest") not in _INTERPOLATIONS:  # Keras 3 notices when it is called
        raise UnlikeKeras3Error(f"{kind}(interpolation={settings['interpolation']!r})")
    if kind == "Normalization":
        settings |= _fixed_statistics(layer)
    if made is keras.layers.BatchNormalization and isinstance(settings["axis"], list) and len(settings["axis"]) == 1:
        (settings["axis"],) = settings["axis"]
    try:
        copy = made(**settings)
        copy.build(*_build_shapes(layer))
        if kind != "Normalization":
            copy.set_weights(layer.get_weights())
    except Exception as error:  # layers of Keras raise different exceptions for settings that they do not support
        raise UnlikeKeras3Error(kind) from error
    return copy


def _class_of_keras_2(layer: Any) -> Any:
    """Return the class of tf_keras; for one of the user's own, that which it extends without computing otherwise."""
    for each in type(layer).__mro__:
        if each.__module__.startswith("tf_keras."):
            return each
        if not _ONLY_SETTINGS.issuperset(vars(each)):
            break
    raise UnlikeKeras3Error(type(layer).__name__)


def _accepted_settings(made: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration of Keras 2 that a Keras 3 class accepts.

    Raises:
        UnlikeKeras3Error: If the class lacks a setting that has an effect.
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
            raise UnlikeKeras3Error(f"{made.__name__}({key}={value!r})")
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
    module, name = str(getattr(function, "__module__", "")), getattr(function, "__name__", None)
    if not module.startswith("tf_keras."):
        return function
    if name == "hard_sigmoid":
        return hard_sigmoid_of_keras_2
    if name is None:
        raise UnlikeKeras3Error(f"activation {type(function).__name__}")
    return keras.activations.get(name)


@keras.saving.register_keras_serializable("camserve")  # type: ignore[untyped-decorator]
def hard_sigmoid_of_keras_2(x: Any) -> Any:
    """Return clip(0.2 x + 0.5, 0, 1), which is `hard_sigmoid` in Keras 2; in Keras 3 it is relu6(x + 3) / 6."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)
