"""A network of Keras 2 written so that Keras 3 reads it.

Keras 3 reads most layers of Keras 2, and loses its way where a model holds another: the two count the calls of a nested
model differently. Without nesting there is nothing to count. Some layers of Keras 2 also have settings that Keras 3 no
longer takes.
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

_NO_LONGER = {  # settings that Keras 2 wrote and could not mean
    "Conv2DTranspose": ("groups",),
    "DepthwiseConv2D": ("groups",),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
_FUNCTIONAL = "tf_keras.src.engine.functional"
_IDLE = re.compile(r"Random(?!Crop)|\w*Dropout|GaussianNoise|ActivityRegularization")


def is_keras_2_hdf5(path: Path) -> bool:
    """Whether the HDF5 file was written by Keras 2."""
    with h5py.File(path, "r") as file:
        return str(file.attrs.get("keras_version", "")).startswith("2.")


def load_keras_2(path: Path) -> keras.Model:
    """Loads a model from an HDF5 or `.keras` file of Keras 2, by way of tf_keras.

    Args:
        path: The file, already looked at: tf_keras runs what the architecture names.

    Raises:
        ExportError: If tf_keras is not installed.
        Exception: Whatever h5py, tf_keras and Keras raise where the file is damaged or holds unknown layers.
    """
    try:
        import tf_keras  # noqa: PLC0415  it takes seconds, and few sources need it
    except ImportError as error:
        raise ExportError(
            "reading a model of Keras 2 needs tf_keras", hint="Install it: pip install 'camserve[export]'"
        ) from error
    with silence_keras():
        if path.suffix != ".keras":
            return to_keras_3(tf_keras.models.load_model(str(path), compile=False))
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            _copy_for_tf_keras(path, copy)
            return to_keras_3(tf_keras.models.load_model(str(copy), compile=False))


def to_keras_3(model: Any) -> keras.Model:
    """The same network as a model of Keras 3, by way of an HDF5 file.

    Args:
        model: A functional or sequential model of tf_keras that has been built; not to be used afterwards.
    """
    with tempfile.TemporaryDirectory() as folder, silence_keras():
        copy = Path(folder) / "model.h5"
        _save_for_keras_3(model, copy)
        loaded = keras.models.load_model(copy, compile=False)
    # Keras 2 wrote one tensor as a list of one; to Keras 3 that is another structure, of which it warns at every call.
    return keras.Model(_alone(loaded.inputs), _alone(loaded.outputs), name=loaded.name)


@contextlib.contextmanager
def silence_keras() -> Iterator[None]:
    """Silences what both versions say of their own formats while a model passes from one to the other."""
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
    """Copies what tf_keras reads of a `.keras` file, with the place where it keeps the class of functional models."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as changed:
        config = json.loads(archive.read("config.json"), object_hook=_at_home)
        changed.writestr("config.json", json.dumps(config))
        for member in ("metadata.json", "model.weights.h5"):
            changed.writestr(member, archive.read(member))


def _at_home(node: dict[str, Any]) -> dict[str, Any]:
    return {**node, "module": _FUNCTIONAL} if node.get("class_name") == "Functional" and "module" in node else node


def _save_for_keras_3(model: Any, path: Path) -> None:
    """Writes a model of tf_keras as an HDF5 file that Keras 3 loads.

    Args:
        model: A functional or sequential model of tf_keras that has been built; not to be used afterwards.
        path: The file, whose name ends in `.h5`.
    """
    flatten_nested_models(model).save(str(path), include_optimizer=False)
    with h5py.File(path, "r+") as file:
        architecture = json.loads(file.attrs["model_config"])
        for layer in architecture["config"]["layers"]:
            for name in _NO_LONGER.get(layer["class_name"], ()):
                layer["config"].pop(name, None)
        file.attrs["model_config"] = json.dumps(architecture)


def flatten_nested_models(model: Any) -> Any:
    """The same network as one flat functional model of tf_keras, without dropout, noise and augmentation.

    Args:
        model: A functional or sequential model of tf_keras that has been built. Its layers are shared with the result,
            and renamed where two have one name: use the result alone.
    """
    import tf_keras  # noqa: PLC0415  it takes seconds, and few sources need it

    inputs = [tf_keras.Input(batch_shape=entry.shape, dtype=entry.dtype) for entry in model.inputs]
    _tell_apart(_layers(model))
    return tf_keras.Model(inputs, _replay(model, inputs), name=model.name)


def _alone(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def _replay(model: Any, inputs: list[Any]) -> list[Any]:
    """Calls the model's layers on other inputs, those of models inside it as if they were its own."""
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
    if _IDLE.match(type(layer).__name__):
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


def _tell_apart(layers: Iterable[Any]) -> None:
    """Gives each layer a name of its own, without the slashes that Keras 3 does not take."""
    seen: Counter[str] = Counter()
    for layer in {id(layer): layer for layer in layers}.values():
        name = layer.name.replace("/", "_")
        seen[name] += 1
        layer._name = name if seen[name] == 1 else f"{name}_of_{seen[name]}"
