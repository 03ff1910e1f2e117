"""Import of tf_keras, and of the user's modules with tf_keras in place of Keras.

With TensorFlow 2.16 and later, `keras` and `tensorflow.keras` are Keras 3, of which tf_keras can use no layer. For a
file of Keras 2, the user's modules get tf_keras under these names, also if they have been imported before.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

from camserve.export.frameworks import keras, tf

from camserve.errors import ExportError
from camserve.extras import install_command

__all__ = ["import_tf_keras", "keras_2_imports"]

_NAMES = ("keras", "tensorflow.keras")
_AT_THE_TOP_IN_KERAS_3 = ("layers", "initializers", "regularizers", "constraints", "losses", "metrics", "optimizers")


def import_tf_keras() -> Any:
    """Import tf_keras, which takes seconds, and few sources need it.

    Raises:
        ExportError: If it is not installed.
    """
    try:
        import tf_keras  # noqa: PLC0415
    except ImportError:
        raise ExportError(
            "loading a Keras 2 model requires tf_keras", hint=f"Install it: {install_command('export')}"
        ) from None
    return tf_keras


@contextlib.contextmanager
def keras_2_imports(modules: Sequence[str]) -> Iterator[None]:
    """Let import statements find tf_keras instead of Keras 3 while the context lasts.

    Args:
        modules: Dotted names of the user's modules, which are imported in the context and forgotten afterwards.
    """
    finder = _Finder(import_tf_keras())
    packages = {"keras", *(name.partition(".")[0] for name in modules)} - sys.stdlib_module_names
    hidden = _take_modules(packages)
    sys.modules["tensorflow"] = _Alias("tensorflow", SimpleNamespace(keras=finder.keras), tf, path=tf.__path__)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _take_modules(packages)
        sys.modules.update(hidden)


def _take_modules(packages: set[str]) -> dict[str, ModuleType]:
    """Remove packages, TensorFlow and its Keras from the imported modules, and return them."""
    found = [
        name
        for name in sys.modules
        if name.partition(".")[0] in packages or name == "tensorflow" or f"{name}.".startswith("tensorflow.keras.")
    ]
    return {name: sys.modules.pop(name) for name in found}


class _Alias(ModuleType):
    """A module with the members of others, the first that has one."""

    def __init__(self, name: str, *targets: Any, path: Sequence[str] = ()) -> None:
        super().__init__(name)
        self.__path__ = list(path)
        self.__dict__["_targets"] = targets

    def __getattr__(self, name: str) -> Any:
        for target in self.__dict__["_targets"]:
            if hasattr(target, name):
                return getattr(target, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return [name for target in self.__dict__["_targets"] for name in dir(target)]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `keras` and the modules in it, also as `tensorflow.keras`.

    Attributes:
        keras: tf_keras; what only Keras 3 has, such as `keras.ops`, is that of Keras 3.
    """

    def __init__(self, tf_keras: Any) -> None:
        # Keras 3 has `keras.Layer`, for example, where Keras 2 has only `keras.layers.Layer`.
        parts = (getattr(tf_keras, part) for part in _AT_THE_TOP_IN_KERAS_3)
        self.keras = _Alias("keras", tf_keras, *parts, keras)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:  # noqa: ARG002  Python passes them
        """Return how to import a module of Keras; None for other modules."""
        return importlib.machinery.ModuleSpec(name, self) if self._find(name) is not None else None

    def create_module(self, spec: Any) -> ModuleType:
        """Return the module under the name by which it is imported."""
        return self.keras if spec.name in _NAMES else _Alias(spec.name, self._find(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the members are those of modules that have been imported."""

    def _find(self, name: str) -> Any:
        for prefix in _NAMES:
            if f"{name}.".startswith(f"{prefix}."):
                found: Any = self.keras
                for part in name.removeprefix(prefix).split(".")[1:]:
                    found = getattr(found, part, None)
                return found
        return None
