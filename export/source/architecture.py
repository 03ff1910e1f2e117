"""What a saved architecture may name: layers of Keras and the like, and what its user has vouched for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from camserve.errors import SourceError
from camserve.export.source.custom_objects import CustomObjects

__all__ = ["check_architecture", "unknown_class"]

_PARTS = (
    *("activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models", "ops"),
    *("optimizers", "optimizers.schedules", "quantizers", "random", "regularizers"),
)
_MODULES = frozenset(("keras", "builtins", *(f"keras.{part}" for part in _PARTS)))
"""Whose members describe a network. Others of Keras read files, download, or change how Keras itself behaves."""

_CODE = {
    "Lambda": "a Lambda layer, which would run code of the file's author",
    "__lambda__": "a Python function, which would run code of the file's author",
    "TFSMLayer": "a TFSMLayer, which would run a SavedModel from another place",
    "TorchModuleWrapper": "a layer of PyTorch, which would run code of the file's author",
    "JaxLayer": "a layer of JAX, which would run code of the file's author",
    "FlaxLayer": "a layer of Flax, which would run code of the file's author",
    **dict.fromkeys(
        ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"),
        "a bare TensorFlow operation, which Keras 3 has no layer for",
    ),
}


def check_architecture(config: Any, custom: CustomObjects, name: str) -> None:
    """Refuses an architecture that names anything else than parts of a network.

    Args:
        config: The architecture as Keras writes it: objects, lists and plain values, as read from JSON.
        custom: What it may name besides Keras's own.
        name: What to call the file in messages.

    Raises:
        SourceError: If it holds code, asks for something of another module, or reads another file.
    """
    for node in _objects(config):
        _check_vocabulary(node, name)
        if isinstance(node.get("class_name"), str):
            _check_class(node, custom, name)


def unknown_class(class_name: str, name: str, custom: CustomObjects, module: str | None = None) -> SourceError:
    """The error for a class that neither Keras nor any module that the user named has."""
    asked = f"{name} uses {class_name!r}" + (f" of the module {module!r}" if module else "")
    if custom.modules:
        return SourceError(
            f"{asked}, which neither Keras nor {', '.join(custom.modules)} knows",
            hint="Name the module that defines it: --custom-objects package.module",
        )
    return SourceError(
        f"{asked}, which Keras does not know",
        hint="Name the Python module that defines it, if you trust both: --custom-objects package.module",
    )


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object at any depth."""
    waiting = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _check_class(node: dict[str, Any], custom: CustomObjects, name: str) -> None:
    class_name, module = node["class_name"], node.get("module")
    called = str(node.get("config") if class_name == "function" else class_name)
    if called in custom.by_name or str(node.get("registered_name")) in custom.by_name:
        return
    if class_name in _CODE:
        raise SourceError(
            f"{name} holds {_CODE[class_name]}",
            hint="Replace it with a layer of Keras, or load a file you trust in Python and pass it to export_model",
        )
    # An older file names no modules: then Keras looks in its own tables, and nowhere else.
    if module is not None and module not in _MODULES and not str(module).startswith("keras.src."):
        raise unknown_class(called, name, custom, str(module))


def _check_vocabulary(node: dict[str, Any], name: str) -> None:
    if isinstance(node.get("vocabulary"), str):
        raise SourceError(
            f"{name} would read another file, {node['vocabulary']}", hint="Save the model with its vocabulary inside"
        )
