"""Conversion of Keras 2 models to Keras 3.

tf_keras loads the model, and each of its layers becomes a layer of Keras 3 with the same settings, weights and calls.
Keras 3 does not read the file itself: it gives some settings another meaning and drops others, both silently. The
model of tf_keras is kept as the reference that the export is compared with.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras, tf

import h5py
import numpy as np
import numpy.typing as npt

from camserve.errors import ExportError
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.keras2_custom import UserLayer, make_adapters
from camserve.export.source.keras2_layers import to_keras_3_layer
from camserve.export.source.keras2_operations import OPERATION_LAYERS, to_keras_3_operation
from camserve.export.source.loaded_model import LoadedModel

__all__ = ["import_tf_keras", "is_keras_2_hdf5", "load_keras_2", "silence_keras", "to_keras_3"]

_FUNCTIONAL_MODULE = "tf_keras.src.engine.functional"
_TRAINING_ONLY = re.compile(r"Random(?!Crop)|\w*Dropout|GaussianNoise|ActivityRegularization")


def is_keras_2_hdf5(path: Path) -> bool:
    """Return whether Keras 2 wrote the HDF5 file."""
    with h5py.File(path, "r") as file:
        return str(file.attrs.get("keras_version", "")).startswith("2.")


def load_keras_2(path: Path, custom: CustomObjects, change: Callable[[Any], None] = lambda _: None) -> LoadedModel:
    """Load a Keras 2 model from an HDF5 or `.keras` file with tf_keras and convert it to Keras 3.

    Args:
        path: The file. It must have been checked, because tf_keras runs what the architecture names.
        custom: The user's own layers and functions, written for Keras 3.
        change: Called with the model of tf_keras before it is converted, e.g. to load other weights.

    Raises:
        ExportError: If tf_keras is not installed.
        SourceError: If a layer cannot be converted.
        Exception: Whatever h5py, tf_keras and Keras raise if the file is damaged or contains unknown layers.
    """
    tf_keras = import_tf_keras()
    known = make_adapters(custom)
    with silence_keras(), tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".keras":
            copy = Path(folder) / "model.keras"
            _copy_for_tf_keras(path, copy)
            path = copy
        model = tf_keras.models.load_model(str(path), compile=False, custom_objects=known)
        change(model)
        return to_keras_3(model)


def import_tf_keras() -> Any:
    """Import tf_keras, which takes seconds, and few sources need it.

    Raises:
        ExportError: If it is not installed.
    """
    try:
        import tf_keras  # noqa: PLC0415
    except ImportError:
        raise ExportError(
            "loading a Keras 2 model requires tf_keras", hint="Install it: pip install 'camserve[export]'"
        ) from None
    return tf_keras


def to_keras_3(model: Any) -> LoadedModel:
    """Convert a tf_keras model to Keras 3.

    Args:
        model: A functional or sequential tf_keras model that has been built.

    Raises:
        SourceError: If a layer cannot be converted.
    """
    inputs = [keras.Input(batch_shape=entry.shape, dtype=entry.dtype) for entry in model.inputs]
    outputs = _Conversion().replay(model, inputs)
    converted = keras.Model(_unwrap_single(inputs), _unwrap_single(outputs), name=model.name.replace("/", "_"))

    def predict(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        batch = tf.cast(images, model.inputs[0].dtype)
        return np.asarray(tf.nest.flatten(model(batch, training=False))[0])

    return LoadedModel(converted, predict)


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


@dataclass
class _Conversion:
    """Calls the layers of a model again as layers of Keras 3, those of nested models as if they were its own."""

    _layers: dict[int, Any] = field(default_factory=dict)
    _names: Counter[str] = field(default_factory=Counter)

    def replay(self, model: Any, inputs: list[Any], *, training: bool = False) -> list[Any]:
        tensors = {id(entry): tensor for entry, tensor in zip(model.inputs, inputs, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                args, kwargs = tf.nest.map_structure(
                    lambda leaf: tensors.get(id(leaf), leaf), (node.call_args, node.call_kwargs)
                )
                results = self._call(node.layer, args, kwargs, training=training)
                tensors.update(zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(results), strict=True))
        return [tensors[id(output)] for output in model.outputs]

    def _call(self, layer: Any, args: Any, kwargs: dict[str, Any], *, training: bool) -> Any:
        training = training or bool(kwargs.get("training"))
        if _is_graph(layer):
            return self.replay(layer, tf.nest.flatten(args), training=training)
        if _TRAINING_ONLY.match(type(layer).__name__) and not training:
            return args[0]
        kwargs = {name: value for name, value in kwargs.items() if name != "training" and value is not None}
        return self._converted(layer)(*args, **kwargs, **({"training": True} if training else {}))

    def _converted(self, layer: Any) -> Any:
        if id(layer) not in self._layers:
            self._layers[id(layer)] = self._convert(layer)
        return self._layers[id(layer)]

    def _convert(self, layer: Any) -> Any:
        if type(layer).__name__ in OPERATION_LAYERS:
            return to_keras_3_operation(layer, self._unique_name(layer))
        if isinstance(getattr(layer, "user_layer", None), UserLayer):
            return layer.convert(self._unique_name(layer))
        return to_keras_3_layer(layer, self._unique_name(layer))

    def _unique_name(self, layer: Any) -> str:
        """Return a name without slashes, which Keras 3 does not accept, that no other layer has."""
        name = str(layer.name).replace("/", "_")
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}_of_{self._names[name]}"


def _is_graph(layer: Any) -> bool:
    return bool(getattr(layer, "_nodes_by_depth", None)) and hasattr(layer, "layers")
