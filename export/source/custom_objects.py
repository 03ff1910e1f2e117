"""Custom layers: the Python modules that their user names, and what they bring."""

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

from camserve.errors import SourceError, UsageError

__all__ = ["CustomObjects", "import_custom_objects"]


@dataclass(frozen=True)
class CustomObjects:
    """What an architecture may name besides Keras's own.

    Attributes:
        modules: The modules that the user named.
        by_name: Their classes and functions, and everything else that is registered with Keras.
    """

    modules: tuple[str, ...]
    by_name: Mapping[str, Callable[..., Any]]


def import_custom_objects(modules: Sequence[str]) -> CustomObjects:
    """Imports modules, from the current directory as well as installed ones.

    Each may register its classes with `keras.saving.register_keras_serializable`; the classes and functions that it
    defines are known by their bare names too, because that is how Keras saves what was not registered.

    Args:
        modules: Dotted names of modules, as in an import statement.

    Raises:
        UsageError: If a name cannot be that of a module.
        SourceError: If a module cannot be imported; it says why.
    """
    defined: dict[str, Callable[..., Any]] = {}
    for name in modules:
        defined |= _definitions(_imported(name))
    return CustomObjects(tuple(modules), {**defined, **keras.saving.get_custom_objects()})


def _imported(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"{name!r} is not the name of a Python module",
            hint="Write it as in an import statement: --custom-objects package.module",
        )
    if name.endswith(".py"):
        raise UsageError(
            f"{name!r} is the name of a file, not of a Python module",
            hint=f"Leave .py out: --custom-objects {name.removesuffix('.py')}",
        )
    try:
        with _current_directory_importable():
            return importlib.import_module(name)
    except Exception as error:  # a module may raise whatever it likes while it is imported
        raise SourceError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {error}",
            hint=f"It is looked for among what is installed and in {Path.cwd()}; try: python -c 'import {name}'",
        ) from error


@contextlib.contextmanager
def _current_directory_importable() -> Iterator[None]:
    """Puts the current directory last, where no file of a stranger can stand in for an installed module."""
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
