"""Custom layers: the Python modules passed with `--custom-objects`, and what they define."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError
from camserve.export.source.checks import check_module_name
from camserve.export.source.keras2_imports import import_tf_keras, keras_2_imports

__all__ = ["CustomObjects", "import_custom_objects", "import_custom_objects_of_keras_2", "lost_settings"]

_LIBRARIES = ("keras.", "tf_keras.", "camserve.")
_OF_EVERY_LAYER = {"activity_regularizer", "autocast", "dtype", "name", "trainable"}


@dataclass(frozen=True)
class CustomObjects:
    """What an architecture may name besides Keras's own classes and functions.

    Attributes:
        modules: The modules that the user passed.
        by_name: Their classes and functions, and everything else that is registered with Keras.
    """

    modules: tuple[str, ...]
    by_name: Mapping[str, Callable[..., Any]]


def import_custom_objects(modules: Sequence[str]) -> CustomObjects:
    """Import modules, which may be installed or in the current directory.

    A module may register its classes with `keras.saving.register_keras_serializable`. The classes and functions that
    it defines are also known by their bare names, because Keras saves unregistered objects by these.

    Args:
        modules: Dotted module names, as in an import statement.

    Raises:
        UsageError: If a name is not a valid module name.
        SourceError: If a module cannot be imported.
    """
    return CustomObjects(tuple(modules), {**_import_modules(modules), **keras.saving.get_custom_objects()})


def import_custom_objects_of_keras_2(modules: Sequence[str]) -> CustomObjects:
    """Import modules as `import_custom_objects` does, but with tf_keras wherever they import Keras.

    Raises:
        ExportError: If tf_keras is not installed.
        SourceError: If a module cannot be imported.
    """
    with keras_2_imports(modules):
        defined = _import_modules(modules)
    return CustomObjects(tuple(modules), {**defined, **import_tf_keras().saving.get_custom_objects()})


def lost_settings(model: Any) -> tuple[str, ...]:
    """Return a warning for each of the user's layers that does not store all the arguments it was made with.

    Args:
        model: A loaded model of Keras or tf_keras.
    """
    warnings: list[str] = []
    for layer in model.layers:
        if hasattr(layer, "layers"):
            warnings += lost_settings(layer)
        elif not type(layer).__module__.startswith(_LIBRARIES):
            lost = _arguments(type(layer)) - set(layer.get_config()) - _OF_EVERY_LAYER
            if lost:
                warnings.append(
                    f"layer {layer.name!r} ({type(layer).__name__}): get_config of its class does not return "
                    f"{', '.join(sorted(lost))}, so that the file does not contain it and the default was loaded"
                )
    return tuple(warnings)


def _arguments(layer_class: type) -> set[str]:
    parameters = inspect.signature(layer_class).parameters.values()
    return {each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)}


def _import_modules(modules: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Return the classes and functions that the modules define."""
    defined: dict[str, Callable[..., Any]] = {}
    for name in modules:
        defined |= _definitions(_import_module(name))
    return defined


def _import_module(name: str) -> ModuleType:
    check_module_name(name)
    try:
        with _current_directory_importable():
            return importlib.import_module(name)
    except Exception as error:  # a module may raise anything while it is imported
        missing = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
        remedy = f"Install it or put it in {Path.cwd()}" if missing else "Change it so that it can be imported"
        raise SourceError(
            f"cannot import module {name!r}: {type(error).__name__}: {error}",
            hint=f"{remedy}, then check it: python -c 'import {name}'",
        ) from error


@contextlib.contextmanager
def _current_directory_importable() -> Iterator[None]:
    """Append the current directory to the search path, after the installed modules, so that it shadows none."""
    here = str(Path.cwd())
    sys.path.append(here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def _definitions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: value
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == module.__name__
    }
