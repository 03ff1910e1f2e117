"""Conversion of Keras 2 models to Keras 3.

tf_keras loads the model, and each of its layers becomes a layer of Keras 3 with the same settings, weights and calls,
or is called as it is if Keras 3 has none like it. Keras 3 does not read the file itself: it gives some settings another
meaning and drops others, both silently. The model of tf_keras, in inference mode, is kept as the reference that the
export is compared with.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras, tf

import h5py
import numpy as np
import numpy.typing as npt

from camserve.errors import SourceError
from camserve.export.source.application_layers import application_layers
from camserve.export.source.custom_objects import CustomObjects, lost_settings
from camserve.export.source.hdf5 import architecture_in_hdf5
from camserve.export.source.keras2_graph import is_graph, replay
from camserve.export.source.keras2_imports import import_tf_keras
from camserve.export.source.loaded_model import LoadedModel

__all__ = ["build_keras_2", "is_keras_2_hdf5", "load_keras_2", "silence_keras", "to_keras_3"]

_FUNCTIONAL_MODULE = "tf_keras.src.engine.functional"


def is_keras_2_hdf5(path: Path) -> bool:
    """Return whether Keras 2 wrote the HDF5 file."""
    with h5py.File(path, "r") as file:
        return str(file.attrs.get("keras_version", "")).startswith("2.")


def load_keras_2(path: Path, custom: CustomObjects, change: Callable[[Any], None] = lambda _: None) -> LoadedModel:
    """Load a Keras 2 model from an HDF5 or `.keras` file with tf_keras and convert it to Keras 3.

    Args:
        path: The file. It must have been checked, because tf_keras runs what the architecture names.
        custom: The user's own layers and functions, of tf_keras.
        change: Called with the model of tf_keras before it is converted, e.g. to load other weights.

    Raises:
        ExportError: If tf_keras is not installed.
        SourceError: If the model is subclassed.
        Exception: Whatever h5py, tf_keras and Keras raise if the file is damaged or contains unknown layers.
    """
    tf_keras = import_tf_keras()
    known = {**application_layers(tf_keras), **custom.by_name}
    with silence_keras(), tf_keras.saving.custom_object_scope(known):
        model = (_load_archive if path.suffix == ".keras" else _load_hdf5)(path, tf_keras)
        change(model)
        return to_keras_3(model)


def build_keras_2(architecture: Any, custom: CustomObjects, change: Callable[[Any], None]) -> LoadedModel:
    """Build a model of an architecture that Keras 2 stored, and convert it to Keras 3.

    Args:
        architecture: The architecture. It must have been checked, because tf_keras runs what it names.
        custom: The user's own layers and functions, of tf_keras.
        change: Called with the model of tf_keras, whose weights are random, before it is converted.

    Raises:
        As `load_keras_2`.
    """
    tf_keras = import_tf_keras()
    known = {**application_layers(tf_keras), **custom.by_name}
    with silence_keras(), tf_keras.saving.custom_object_scope(known):
        model = _from_architecture(architecture, tf_keras)
        change(model)
        return to_keras_3(model)


def to_keras_3(model: Any) -> LoadedModel:
    """Convert a tf_keras model to Keras 3.

    Args:
        model: A functional or sequential tf_keras model that has been built.

    Raises:
        SourceError: If the model is subclassed.
    """
    if not is_graph(model):
        raise SourceError(
            f"model {model.name!r} is a subclassed {type(model).__name__}, whose layers cannot be traced",
            hint="Wrap it as a functional model (keras.Input, then its layers one after the other) and export that",
        )
    inputs = [keras.Input(batch_shape=entry.shape, dtype=entry.dtype) for entry in model.inputs]
    outputs = replay(model, inputs)
    converted = keras.Model(_unwrap_single(inputs), _unwrap_single(outputs), name=model.name.replace("/", "_"))

    def predict(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        batch = tf.cast(images, model.inputs[0].dtype)
        return np.asarray(tf.nest.flatten(model(batch, training=False))[0])

    return LoadedModel(converted, predict, lost_settings(model))


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


def _load_hdf5(path: Path, tf_keras: Any) -> Any:
    """Build the model and load its weights, as tf_keras's loader of whole files does in the same two steps.

    That loader does not find the user's functions in a file that it wrote itself, which stores them as dictionaries.
    """
    model = _from_architecture(architecture_in_hdf5(path), tf_keras)
    model.load_weights(str(path))
    return model


def _from_architecture(architecture: Any, tf_keras: Any) -> Any:
    return tf_keras.models.model_from_json(json.dumps(_with_function_names(architecture)))


def _with_function_names(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_function_names(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "function":
        return node["config"]
    return {key: _with_function_names(each) for key, each in node.items()}


def _load_archive(path: Path, tf_keras: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.keras"
        _copy_for_tf_keras(path, copy)
        return tf_keras.models.load_model(str(copy), compile=False)


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


def _unwrap_single(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors
