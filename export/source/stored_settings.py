"""Compare the settings of a loaded model with those that its file stores.

Keras's reader of HDF5 files drops an `axis` that is a list or None (keras issue 20963), without a warning: a softmax
over positions becomes one over channels. Known losses are restored; any other difference is refused.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError

__all__ = ["check_stored_settings", "restored_axes", "stored_operations"]

_WITHOUT_EFFECT = ("_initializer", "_regularizer", "_constraint")
_NOT_SETTINGS = frozenset(
    (
        *("name", "trainable", "seed", "autocast", "activity_regularizer"),
        *("batch_shape", "batch_input_shape", "build_config", "build_input_shape"),
    )
)
_EVERY_LAYER_HAS = {"trainable", "batch_shape"}
_OPTIONAL = "InputLayer"  # a sequential model does not count it among its layers


def restored_axes(architecture: Any) -> dict[str, Any]:
    """Return custom objects with which Keras's reader of HDF5 files keeps the axes of layers that it would drop.

    Args:
        architecture: The stored architecture.
    """
    axes: dict[str, dict[str, list[Any]]] = {}
    for node in _stored_layers(architecture):
        if "axis" in node["config"] and hasattr(keras.layers, node["class_name"]):
            axes.setdefault(node["class_name"], {}).setdefault(_name(node), []).append(node["config"]["axis"])
    return {
        name: _with_axes(getattr(keras.layers, name), known)
        for name, known in axes.items()
        if any(axis is None or (isinstance(axis, list) and len(axis) != 1) for each in known.values() for axis in each)
    }


def _with_axes(layer_class: Any, axes: Mapping[str, list[Any]]) -> type:
    class Restored:
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            # Layers in different models may have one name; Keras creates them in the order in which they are stored.
            stored = axes.get(config.get("name", ""))
            return layer_class.from_config({**config, "axis": stored.pop(0)} if stored else config)

    return Restored


def stored_operations(architecture: Any) -> dict[str, Any]:
    """Return the operations in an architecture by class name, such as `Relu` of `keras.ops.relu` or `Add` of `x + y`.

    Keras stores them in HDF5 files, but its reader of these files does not know them.
    """
    nodes = (node for node in _stored_layers(architecture) if not _EVERY_LAYER_HAS & set(node["config"]))
    found = {node["class_name"]: _operation(node["class_name"]) for node in nodes}
    return {name: operation for name, operation in found.items() if operation is not None}


def _operation(class_name: str) -> Any:
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("keras.src.ops.")]
    found = (getattr(module, class_name, None) for module in modules)
    return next((each for each in found if inspect.isclass(each) and issubclass(each, keras.Operation)), None)


def check_stored_settings(architecture: Any, model: keras.Model, name: str) -> None:
    """Refuse a model of which a layer is missing or has another setting than its file stores.

    Args:
        architecture: The architecture that Keras 3 stored.
        model: The model that was loaded from it.
        name: The file's name, for the message.

    Raises:
        SourceError: If a layer or a setting was lost or changed; names the layer, the setting and both values.
    """
    for node, layer in _pairs(_layers(architecture), getattr(model, "operations", model.layers)):
        if layer is None and node.get("class_name") != _OPTIONAL:
            raise _error(f"{name}: Keras did not load layer {_name(node)!r} ({node.get('class_name')})")
        if _layers(node):
            check_stored_settings(node, layer, name)
        elif layer is not None:
            for setting, stored, actual in _differences(node, layer):
                raise _error(
                    f"{name}: Keras loaded layer {_name(node)!r} ({type(layer).__name__}) with {setting}={actual!r}, "
                    f"but the file stores {setting}={stored!r}"
                )


def _pairs(nodes: list[Mapping[str, Any]], layers: list[Any]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Yield each stored layer with the loaded one, None if it is missing.

    Some operations and layers of the user's are stored without a name. They are paired in the order of their class.
    """
    named = {layer.name: layer for layer in layers}
    unnamed = [node for node in nodes if "name" not in node["config"]]
    taken = {_name(node) for node in nodes if "name" in node["config"]}
    for node in nodes:
        if "name" in node["config"]:
            yield node, named.get(_name(node))
    for kind in dict.fromkeys(map(_class, unnamed)):
        stored = [node for node in unnamed if _class(node) == kind]
        loaded = [layer for layer in layers if type(layer).__name__ == kind and layer.name not in taken]
        yield from zip_longest(stored, loaded[: len(stored)])


def _error(message: str) -> SourceError:
    return SourceError(message, hint="Build the model in Python, load its weights there, and pass it to export_model")


def _layers(node: Any) -> list[Mapping[str, Any]]:
    """Return the layers of a stored model; none for a layer."""
    config = node.get("config") if isinstance(node, Mapping) else None
    layers = config.get("layers") if isinstance(config, Mapping) else config  # the oldest files store a list
    if not isinstance(layers, list):
        return []
    return [each for each in layers if isinstance(each, Mapping) and isinstance(each.get("config"), (Mapping, list))]


def _stored_layers(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the layers of a stored model and of the models nested in it."""
    for each in _layers(node):
        yield from _stored_layers(each) if _layers(each) else (each,)


def _name(node: Mapping[str, Any]) -> str:
    config = node["config"]
    return str(config.get("name", node.get("name")) if isinstance(config, Mapping) else node.get("name"))


def _class(node: Mapping[str, Any]) -> str:
    """Return the name of a class, without the package in which it is registered."""
    return str(node["class_name"]).rpartition(">")[2]


def _serialized(layer: Any) -> Mapping[str, Any]:
    """Return a layer as Keras stores it in a file."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))  # type: ignore[no-any-return]


def _differences(stored: Mapping[str, Any], layer: Any) -> Iterator[tuple[str, Any, Any]]:
    loaded = _serialized(layer)
    if _class(stored) not in (type(layer).__name__, _class(loaded)):  # some classes have another name in the API
        yield "class", _class(stored), _class(loaded)
    for setting, value in stored["config"].items():
        if setting in _NOT_SETTINGS or setting.endswith(_WITHOUT_EFFECT):
            continue
        expected, actual = _plain(value), _plain(loaded["config"].get(setting))
        if expected != actual and not (setting not in loaded["config"] and expected in (None, False)):
            yield setting, expected, actual


def _plain(value: Any) -> Any:
    """Return a setting in one form: functions and objects by their names and settings, a list of one as its item."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "function":
            return str(value.get("config")).rpartition(".")[2]
        if value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        if "class_name" in value:
            config = value.get("config")
            return [_class(value), _plain(config if isinstance(config, Mapping) else {})]
        return {
            key: _plain(each)
            for key, each in value.items()
            if key not in _NOT_SETTINGS and not key.endswith(_WITHOUT_EFFECT)
        }
    if isinstance(value, list):
        items = [_plain(each) for each in value]
        return items[0] if len(items) == 1 and isinstance(items[0], (int, float)) else items
    return value
