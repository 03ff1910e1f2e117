"""Conversion of Keras 2 models to Keras 3.

Keras 3 loads most layers of Keras 2, but fails where a model contains another model, because the two count the calls of
a nested model differently. A flat model has no such calls. Some layers of Keras 2 also have settings that Keras 3 no
longer accepts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras, tf

import h5py

from camserve.errors import ExportError

__all__ = ["flatten_nested_models", "is_keras_2_hdf5", "load_keras_2", "silence_keras", "to_keras_3"]

_REMOVED_SETTINGS = {  # which Keras 2 saved, but which had no effect
    "Conv2DTranspose": ("groups",),
    "DepthwiseConv2D": ("groups",),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
_FUNCTIONAL_MODULE = "tf_keras.src.engine.functional"
_TRAINING_ONLY = re.compile(r"Random(?!Crop)|\w*Dropout|GaussianNoise|ActivityRegularization")


def is_keras_2_hdf5(path: Path) -> bool:
    """Return whether Keras 2 wrote the HDF5 file."""
    with h5py.File(path, "r") as file:
        return str(file.attrs.get("keras_version", "")).startswith("2.")


def load_keras_2(path: Path) -> keras.Model:
    """Load a Keras 2 model from an HDF5 or `.keras` file with tf_keras and convert it to Keras 3.

    Args:
        path: The file. It must have been checked, because tf_keras runs what the architecture names.

    Raises:
        ExportError: If tf_keras is not installed.
        Exception: Whatever h5py, tf_keras and Keras raise if the file is damaged or contains unknown layers.
    """
    try:
        import tf_keras  # noqa: PLC0415  takes seconds, and few sources need it
    except ImportError:
        raise ExportError(
            "loading a Keras 2 model requires tf_keras", hint="Install it: pip install 'camserve[export]'"
        ) from None
    with silence_keras():
        if path.suffix != ".keras":
            return to_keras_3(tf_keras.models.load_model(str(path), compile=False))
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            _copy_for_tf_keras(path, copy)
            return to_keras_3(tf_keras.models.load_model(str(copy), compile=False))


def to_keras_3(model: Any) -> keras.Model:
    """Convert a tf_keras model to Keras 3 through an HDF5 file.

    Args:
        model: A functional or sequential tf_keras model that has been built. It must not be used afterwards.
    """
    with tempfile.TemporaryDirectory() as folder, silence_keras():
        copy = Path(folder) / "model.h5"
        _save_for_keras_3(model, copy)
        loaded = keras.models.load_model(copy, compile=False)
    # Keras 2 saved a single tensor as a list, a structure about which Keras 3 warns at every call.
    return keras.Model(_unwrap_single(loaded.inputs), _unwrap_single(loaded.outputs), name=loaded.name)


@contextlib.contextmanager
def silence_keras() -> Iterator[None]:
    """Suppress the warnings of both versions about their own file formats during a conversion."""
    loggers = (logging.getLogger("tensorflow"), logging.getLogger("absl"))
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def flatten_nested_models(model: Any) -> Any:
    """Return the same network as one flat tf_keras model, without dropout, noise and augmentation.

    Args:
        model: A functional or sequential tf_keras model that has been built. It must not be used afterwards: the
            result shares its layers and renames them where two have the same name.
    """
    import tf_keras  # noqa: PLC0415  takes seconds, and few sources need it

    inputs = [tf_keras.Input(batch_shape=entry.shape, dtype=entry.dtype) for entry in model.inputs]
    _make_names_unique(_layers(model))
    return tf_keras.Model(inputs, _replay(model, inputs), name=model.name)


def _copy_for_tf_keras(path: Path, copy: Path) -> None:
    """Copy the parts of a `.keras` file that tf_keras reads, with the module in which it defines functional models."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as changed:
        config = json.loads(archive.read("config.json"), object_hook=_with_tf_keras_module)
        changed.writestr("config.json", json.dumps(config))
        for member in ("metadata.json", "model.weights.h5"):
            changed.writestr(member, archive.read(member))


def _with_tf_keras_module(node: dict[str, Any]) -> dict[str, Any]:
    is_functional = node.get("class_name") == "Functional" and "module" in node
    return {**node, "module": _FUNCTIONAL_MODULE} if is_functional else node


def _save_for_keras_3(model: Any, path: Path) -> None:
    """Save a tf_keras model as an HDF5 file that Keras 3 loads.

    Args:
        model: A functional or sequential tf_keras model that has been built. It must not be used afterwards.
        path: The file, whose name ends in `.h5`.
    """
    flatten_nested_models(model).save(str(path), include_optimizer=False)
    with h5py.File(path, "r+") as file:
        architecture = json.loads(file.attrs["model_config"])
        for layer in architecture["config"]["layers"]:
            for name in _REMOVED_SETTINGS.get(layer["class_name"], ()):
                layer["config"].pop(name, None)
        file.attrs["model_config"] = json.dumps(architecture)


def _unwrap_single(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _replay(model: Any, inputs: list[Any]) -> list[Any]:
    """Call the model's layers on other inputs, those of nested models as if they were its own."""
    tensors = {id(entry): tensor for entry, tensor in zip(model.inputs, inputs, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = tf.nest.map_structure(
                lambda leaf: tensors.get(id(leaf), leaf), (node.call_args, node.call_kwargs)
            )
            results = _call(node.layer, args, kwargs)
            tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(results), strict=True))
    return [tensors[id(output)] for output in model.outputs]


def _call(layer: Any, args: Any, kwargs: Any) -> Any:
    if _is_graph(layer):
        return _replay(layer, tf.nest.flatten(args))
    if _TRAINING_ONLY.match(type(layer).__name__):
        return args[0]
    return layer(*args, **kwargs)


def _layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        if _is_graph(layer):
            yield from _layers(layer)
        else:
            yield layer


def _is_graph(layer: Any) -> bool:
    return bool(getattr(layer, "_nodes_by_depth", None)) and hasattr(layer, "layers")


def _make_names_unique(layers: Iterable[Any]) -> None:
    """Give each layer a unique name without slashes, which Keras 3 does not accept."""
    seen: Counter[str] = Counter()
    for layer in {id(layer): layer for layer in layers}.values():
        name = layer.name.replace("/", "_")
        seen[name] += 1
        layer._name = name if seen[name] == 1 else f"{name}_of_{seen[name]}"
