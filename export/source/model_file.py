"""A Keras model from a file: looked at first, then given to Keras in its safe mode."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import CamserveError, SourceError
from camserve.export.framework_errors import reason
from camserve.export.source.architecture import check_architecture, unknown_class
from camserve.export.source.archive import architecture_in_archive, check_archive, is_keras_2_archive
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.hdf5 import architecture_in_hdf5, check_hdf5
from camserve.export.source.keras2 import is_keras_2_hdf5, load_keras_2
from camserve.export.source.saved_model import load_saved_model

__all__ = ["check_weights_file", "load_model_file"]

_HDF5 = (".h5", ".hdf5")
_UNKNOWN_CLASS = re.compile(r"(?:Could not locate \w+|Unknown \w+:) '([^']+)'")


def load_model_file(path: Path, custom: CustomObjects) -> keras.Model:
    """Loads a `.keras` or HDF5 file, or the folder of a SavedModel.

    Raises:
        SourceError: If it is none, is damaged, or holds what no network needs.
    """
    try:
        if path.is_dir():
            model = load_saved_model(path, custom)
        else:
            _check_model_file(path, custom)
            model = _load(path, custom)
    except CamserveError:
        raise
    except Exception as error:  # h5py, zipfile, TensorFlow and Keras each raise their own
        raise _unreadable(path, error, custom) from error
    if not isinstance(model, keras.Model):
        raise SourceError(f"{path} holds a {type(model).__name__}, not a model", hint="Save the whole model")
    return model


def _load(path: Path, custom: CustomObjects) -> Any:
    if _is_for_tf_keras(path, custom):
        return load_keras_2(path)
    return keras.models.load_model(path, custom_objects=dict(custom.by_name), compile=False)


def _is_for_tf_keras(path: Path, custom: CustomObjects) -> bool:
    """Whether Keras 3 would lose its way in the file, which has been looked at."""
    if path.suffix in _HDF5:
        # Layers of the user's own are of Keras 3, and tf_keras cannot take them.
        return not custom.modules and is_keras_2_hdf5(path)
    return is_keras_2_archive(path)


def check_weights_file(path: Path) -> None:
    """Looks at a file that only weights will be read from.

    Raises:
        SourceError: If it is neither HDF5 nor a `.keras` file, or is refused as such.
    """
    if path.suffix == ".keras":
        check_archive(path)
    elif path.suffix in _HDF5:
        check_hdf5(path, str(path), path.stat().st_size)
    else:
        raise SourceError(
            f"{path} is no file of weights: its name ends in {path.suffix or 'nothing'!r}",
            hint="Give a .weights.h5, .h5 or .keras file",
        )


def _check_model_file(path: Path, custom: CustomObjects) -> None:
    if path.suffix not in (".keras", *_HDF5):
        raise SourceError(
            f"{path} is no Keras model: its name ends in {path.suffix or 'nothing'!r}",
            hint="camserve reads .keras, .h5 and SavedModel folders",
        )
    if not path.is_file():
        raise SourceError(f"{path} is no plain file", hint="Give the file itself")
    if path.suffix == ".keras":
        check_archive(path)
        architecture = architecture_in_archive(path)
    else:
        check_hdf5(path, str(path), path.stat().st_size)
        architecture = architecture_in_hdf5(path)
    allowed = CustomObjects(custom.modules, {}) if _is_for_tf_keras(path, custom) else custom
    check_architecture(architecture, allowed, str(path))


def _unreadable(path: Path, error: Exception, custom: CustomObjects) -> SourceError:
    unknown = _UNKNOWN_CLASS.search(str(error))
    if unknown:
        return unknown_class(unknown[1], str(path), custom)
    return SourceError(f"{path} cannot be loaded: {reason(error)}", hint="Save the model again")
