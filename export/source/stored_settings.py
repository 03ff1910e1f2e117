"""Compare the settings of a loaded model with those that its file stores.

Keras's reader of HDF5 files drops an `axis` that is a list or None (keras issue 20963), without a warning: a softmax
over positions becomes one over channels. Known losses are restored; any other difference is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError

__all__ = ["check_stored_settings", "restored_axes"]

_WITHOUT_EFFECT = ("_initializer", "_regularizer", "_constraint")
_NOT_SETTINGS = frozenset(
    (
        *("name", "trainable", "dtype", "seed", "autocast", "activity_regularizer", "momentum"),
        *("batch_shape", "batch_input_shape", "shape", "build_config", "build_input_shape"),
        *("layers", "input_layers", "output_layers"),
    )
)
_MODELS = ("Functional", "Model", "Sequential")

Layers = Mapping[tuple[str, ...], Mapping[str, Any]]


def restored_axes(architecture: Any) -> dict[str, Any]:
    """Return custom objects with which Keras's reader of HDF5 files keeps the axes of layers that it would drop.

    Args:
        architecture: The stored architecture.
    """
    axes: dict[str, dict[str, Any]] = {}
    for path, node in _stored_layers(architecture):
        config = node["config"]
        if "axis" in config and (
            config["axis"] is None or (isinstance(config["axis"], list) and len(config["axis"]) != 1)
        ):
            axes.setdefault(node["class_name"], {})[path[-1]] = config["axis"]
    return {
        name: _with_axes(getattr(keras.layers, name), known)
        for name, known in axes.items()
        if hasattr(keras.layers, name)
    }


def _with_axes(layer_class: Any, axes: Mapping[str, Any]) -> type:
    class Restored:
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            axis = {"axis": axes[config["name"]]} if config.get("name") in axes else {}
            return layer_class.from_config({**config, **axis})

    return Restored


def check_stored_settings(architecture: Any, model: keras.Model, name: str) -> None:
    """Refuse a model of which a layer has another setting than its file stores.

    Args:
        architecture: The architecture that Keras 3 stored.
        model: The model that was loaded from it.
        name: The file's name, for the message.

    Raises:
        SourceError: If a setting was lost or changed; names the layer, the setting and both values.
    """
    loaded = {path: (type(layer).__name__, layer.get_config()) for path, layer in _loaded_layers(model)}
    for path, node in _stored_layers(architecture):
        if path not in loaded:
            continue  # Keras lists input layers in some models only
        kind, config = loaded[path]
        for setting, stored, actual in _differences(node["config"], config):
            raise SourceError(
                f"{name}: Keras loaded layer {path[-1]!r} ({kind}) with {setting}={actual!r}, but the file stores "
                f"{setting}={stored!r}",
                hint="Build the model in Python, load its weights there, and pass it to export_model",
            )


def _stored_layers(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the layers of a stored architecture with the names of the models around them."""
    config = node.get("config") if isinstance(node, Mapping) else None
    layers = config.get("layers", []) if isinstance(config, Mapping) else config if isinstance(config, list) else []
    for layer in layers:
        if isinstance(layer, Mapping) and isinstance(layer.get("config"), Mapping):
            inner = (*path, str(layer["config"].get("name", layer.get("name"))))
            if layer.get("class_name") in _MODELS:
                yield from _stored_layers(layer, inner)
            else:
                yield inner, layer


def _loaded_layers(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for layer in model.layers:
        inner = (*path, layer.name)
        if isinstance(layer, keras.Model):
            yield from _loaded_layers(layer, inner)
        else:
            yield inner, layer


def _differences(stored: Mapping[str, Any], loaded: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for setting, value in stored.items():
        if setting in _NOT_SETTINGS or setting.endswith(_WITHOUT_EFFECT):
            continue
        expected, actual = _plain(value), _plain(loaded.get(setting))
        if expected != actual and not (setting not in loaded and expected in (None, False)):
            yield setting, expected, actual


def _plain(value: Any) -> Any:
    """Return a setting in one form: lists for tuples, and functions and objects by their names and settings."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "function":
            return str(value.get("config")).rpartition(".")[2]
        if "class_name" in value:
            config = value.get("config")
            known = config if isinstance(config, Mapping) else {}
            return [value["class_name"], {key: _plain(each) for key, each in known.items() if key not in _NOT_SETTINGS}]
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(each) for each in value]
        return items[0] if len(items) == 1 and isinstance(items[0], (int, float)) else items
    return value
