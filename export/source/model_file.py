"""Loading of a Keras model from a file: checked first, then loaded by Keras in its safe mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import CamserveError, SourceError
from camserve.export.source.application_layers import application_layers
from camserve.export.source.architecture import check_architecture
from camserve.export.source.archive import architecture_in_archive, check_archive, is_keras_2_archive
from camserve.export.source.contents import FileKind, check_folder, model_kind, named
from camserve.export.source.custom_objects import (
    import_custom_objects,
    import_custom_objects_of_keras_2,
    lost_settings,
)
from camserve.export.source.hdf5 import architecture_in_hdf5
from camserve.export.source.hdf5_weights import check_is_model
from camserve.export.source.json_model import load_json_model
from camserve.export.source.keras2 import is_keras_2_hdf5, load_keras_2
from camserve.export.source.load_error import load_error
from camserve.export.source.loaded_model import LoadedModel
from camserve.export.source.saved_model import load_saved_model
from camserve.export.source.stored_settings import check_stored_settings, restored_axes, stored_operations
from camserve.export.source.weights import all_weights_required, load_weights, refresh_constants

__all__ = ["load_model_file"]


def load_model_file(path: Path, modules: Sequence[str] = (), weights: Path | None = None) -> LoadedModel:
    """Load a `.keras` file, an HDF5 file, an architecture in JSON or a SavedModel folder.

    Args:
        path: The file or folder.
        modules: Dotted names of the modules that define what it uses besides Keras's own classes and functions.
        weights: File of the weights to load; None for those in the file, or random ones for an architecture.

    Raises:
        SourceError: If it is not a model, is damaged, or contains what no network needs, the weights do not fit, or a
            module cannot be imported.
    """
    try:
        loaded = _load(path, modules, weights)
    except CamserveError:
        raise
    except Exception as error:  # h5py, zipfile, TensorFlow and Keras raise different exceptions
        raise load_error(path, error, modules) from error
    if not isinstance(loaded.model, keras.Model):
        raise SourceError(
            f"{path} contains a {type(loaded.model).__name__}, not a model",
            hint="Save the whole model: model.save('model.keras')",
        )
    return loaded


def _load(path: Path, modules: Sequence[str], weights: Path | None) -> LoadedModel:
    def change(model: Any) -> None:
        if weights is not None:
            load_weights(model, weights, str(path))

    if path.is_dir():
        check_folder(path)
        return load_saved_model(path, import_custom_objects_of_keras_2(modules), change)
    kind = model_kind(path)
    if kind == "json":
        return load_json_model(path, modules, change)
    architecture, is_keras_2 = _read_architecture(path, kind)
    custom = (import_custom_objects_of_keras_2 if is_keras_2 else import_custom_objects)(modules)
    check_architecture(architecture, custom, str(path), operations=is_keras_2)
    with named(path, ".keras" if kind == "keras" else ".h5") as usable:
        if is_keras_2:
            return load_keras_2(usable, custom, change)
        known = {**application_layers(keras), **custom.by_name}
        if kind == "hdf5":
            known = {**_operations(architecture, str(path)), **restored_axes(architecture), **known}
        with all_weights_required():
            model = keras.models.load_model(usable, custom_objects=known, compile=False)
    if isinstance(model, keras.Model):
        check_stored_settings(architecture, model, str(path))
        refresh_constants(model)
        change(model)
    return LoadedModel(model, warnings=lost_settings(model))


def _operations(architecture: Any, name: str) -> dict[str, Any]:
    operations = stored_operations(architecture)
    ambiguous = [each for each in operations if hasattr(keras.layers, each)]
    if ambiguous:  # the reader takes them for the layers of the same names
        raise SourceError(
            f"{name} contains {', '.join(ambiguous)} of keras.ops, which Keras cannot read from an HDF5 file",
            hint="Build the model in Python, load its weights, save it with model.save('model.keras') and export that",
        )
    return operations


def _read_architecture(path: Path, kind: FileKind) -> tuple[Any, bool]:
    """Return the architecture in a file, which is checked first, and whether Keras 2 wrote it."""
    if kind == "keras":
        check_archive(path)
        return architecture_in_archive(path), is_keras_2_archive(path)
    check_is_model(path)
    return architecture_in_hdf5(path), is_keras_2_hdf5(path)
