"""The error for a model file that passed every check and that Keras cannot load."""

from __future__ import annotations

import importlib.metadata
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from camserve.export.frameworks import keras

import h5py

from camserve.errors import SourceError
from camserve.export.framework_errors import reason
from camserve.export.source.architecture import unknown_class_error
from camserve.export.source.custom_objects import CustomObjects

__all__ = ["load_error"]

_UNKNOWN_CLASS = re.compile(r"(?:Could not locate \w+|Unknown \w+:) '([^']+)'")
_UNKNOWN_LAYER = re.compile(r"Could not deserialize '(keras[\w.]*)'")


def load_error(path: Path, error: Exception, modules: Sequence[str]) -> SourceError:
    """Return the error, which names an unknown class or the version of Keras that saved the file.

    Args:
        path: The file or folder.
        error: What Keras raised.
        modules: Names of the user's modules.
    """
    unknown = _UNKNOWN_CLASS.search(str(error))
    if unknown:
        return unknown_class_error(unknown[1], str(path), CustomObjects(tuple(modules), {}))
    missing = _UNKNOWN_LAYER.search(str(error))
    problem = f"Keras {keras.__version__} has no {missing[1]!r}" if missing else reason(error)
    version = _saved_by(path)
    package = "keras" if str(version).startswith("3.") else "tf_keras"
    published = package == "keras" or re.match(r"2\.1[5-9]|2\.[2-9]\d", str(version))  # as tf_keras
    other = version is not None and published and version != _installed(package)
    return SourceError(
        f"cannot load {path}: {problem}",
        hint=f"Install the version of Keras that saved it: pip install {package}=={version}"
        if other
        else "Load it in Python where it was trained, and save it with Keras 3: model.save('model.keras')",
    )


def _saved_by(path: Path) -> str | None:
    """Return the version of Keras that a file names; None if it names none."""
    try:
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        with h5py.File(path, "r") as file:
            return str(file.attrs["keras_version"])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
