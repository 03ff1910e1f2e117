"""Loading of a Keras model from a file: checked first, then loaded by Keras in its safe mode."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import CamserveError, SourceError
from camserve.export.framework_errors import reason
from camserve.export.source.application_layers import application_layers
from camserve.export.source.architecture import check_architecture, unknown_class_error
from camserve.export.source.archive import architecture_in_archive, check_archive, is_keras_2_archive
from camserve.export.source.checks import HDF5_EXTENSIONS, check_model_extension, check_weights_extension
from camserve.export.source.custom_objects import (
    CustomObjects,
    import_custom_objects,
    import_custom_objects_of_keras_2,
)
from camserve.export.source.hdf5 import architecture_in_hdf5, check_hdf5
from camserve.export.source.keras2 import is_keras_2_hdf5, load_keras_2
from camserve.export.source.loaded_model import LoadedModel
from camserve.export.source.saved_model import load_saved_model
from camserve.export.source.stored_settings import check_stored_settings, restored_axes

__all__ = ["check_weights_file", "load_model_file"]

_UNKNOWN_CLASS = re.compile(r"(?:Could not locate \w+|Unknown \w+:) '([^']+)'")


def load_model_file(path: Path, modules: Sequence[str] = ()) -> LoadedModel:
    """Load a `.keras` file, an HDF5 file or a SavedModel folder.

    Args:
        path: The file or folder.
        modules: Dotted names of the modules that define what it uses besides Keras's own classes and functions.

    Raises:
        SourceError: If it is not a model, is damaged, or contains what no network needs, or a module cannot be
            imported.
    """
    try:
        loaded = _load_folder(path, modules) if path.is_dir() else _load_file(path, modules)
    except CamserveError:
        raise
    except Exception as error:  # h5py, zipfile, TensorFlow and Keras raise different exceptions
        raise _load_error(path, error, modules) from error
    if not isinstance(loaded.model, keras.Model):
        raise SourceError(
            f"{path} contains a {type(loaded.model).__name__}, not a model",
            hint="Save the whole model: model.save('model.keras')",
        )
    return loaded


def check_weights_file(path: Path) -> None:
    """Check a file from which only weights are loaded.

    Raises:
        SourceError: If it is neither an HDF5 nor a `.keras` file, or is refused as such.
    """
    check_weights_extension(path)
    if path.suffix == ".keras":
        check_archive(path)
    else:
        check_hdf5(path, str(path), path.stat().st_size)


def _load_folder(path: Path, modules: Sequence[str]) -> LoadedModel:
    return load_saved_model(path, import_custom_objects_of_keras_2(modules))


def _load_file(path: Path, modules: Sequence[str]) -> LoadedModel:
    _check_container(path)
    keras_2 = _is_keras_2(path)
    custom = (import_custom_objects_of_keras_2 if keras_2 else import_custom_objects)(modules)
    architecture = architecture_in_archive(path) if path.suffix == ".keras" else architecture_in_hdf5(path)
    check_architecture(architecture, custom, str(path), operations=keras_2)
    return load_keras_2(path, custom) if keras_2 else _load_keras_3(path, architecture, custom)


def _load_keras_3(path: Path, architecture: Any, custom: CustomObjects) -> LoadedModel:
    restored = restored_axes(architecture) if path.suffix in HDF5_EXTENSIONS else {}
    known = {**application_layers(keras), **restored, **custom.by_name}
    model = keras.models.load_model(path, custom_objects=known, compile=False)
    if isinstance(model, keras.Model):
        check_stored_settings(architecture, model, str(path))
    return LoadedModel(model)


def _is_keras_2(path: Path) -> bool:
    """Return whether Keras 2 wrote the file, which must have been checked."""
    return is_keras_2_hdf5(path) if path.suffix in HDF5_EXTENSIONS else is_keras_2_archive(path)


def _check_container(path: Path) -> None:
    check_model_extension(path)
    if not path.is_file():
        raise SourceError(f"model file {path} is not a regular file", hint="Pass the path of the file itself")
    if path.suffix == ".keras":
        check_archive(path)
    else:
        check_hdf5(path, str(path), path.stat().st_size)


def _load_error(path: Path, error: Exception, modules: Sequence[str]) -> SourceError:
    unknown = _UNKNOWN_CLASS.search(str(error))
    if unknown:
        return unknown_class_error(unknown[1], str(path), CustomObjects(tuple(modules), {}))
    return SourceError(
        f"cannot load {path}: {reason(error)}", hint="Check that the file is complete, or save the model again"
    )
