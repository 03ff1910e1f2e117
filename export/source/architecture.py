"""What a saved architecture may name: layers of Keras and the like, and what its user has vouched for."""

from __future__ import annotations

import builtins
import sys
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

_INSIDE = (
    *(f"keras.src.{part}." for part in ("engine", "layers", "models", "ops")),
    "keras.engine.",
    "tf_keras.src.engine.",
)
"""Where Keras 2 and 3 keep the classes of a network that have no public name: Functional, and operations."""

_CODE = {
    "Lambda": "a Lambda layer, which would run code of the file's author",
    "__lambda__": "a Python function, which would run code of the file's author",
    "TFSMLayer": "a TFSMLayer, which would run a SavedModel from another place",
    "TorchModuleWrapper": "a layer of PyTorch, which would run code of the file's author",
    "JaxLayer": "a layer of JAX, which would run code of the file's author",
    "FlaxLayer": "a layer of Flax, which would run code of the file's author",
}
_BARE = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty")
"""How Keras 2 keeps arithmetic that was done without a layer."""

_NOT_OWN = frozenset((*sys.stdlib_module_names, "builtins", "keras", "keras_cv", "keras_hub", "keras_nlp", "tf_keras"))


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
    knowing = f"neither Keras nor {', '.join(custom.modules)} knows" if custom.modules else "Keras does not know"
    return SourceError(
        f"{asked}, which {knowing}",
        hint=f"Name the Python module that defines it, if you trust both: --custom-objects {_likely(module, custom)}",
    )


def _likely(module: str | None, custom: CustomObjects) -> str:
    """The module that a file names, where it can be one that its user wrote: no file talks a user into `os`."""
    own = module is not None and all(part.isidentifier() for part in module.split("."))
    if not own or module in ("__main__", *custom.modules):
        return "package.module"
    return "package.module" if str(module).partition(".")[0] in _NOT_OWN else str(module)


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object at any depth, in the order of the file."""
    waiting = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _check_class(node: dict[str, Any], custom: CustomObjects, name: str) -> None:
    class_name, module = str(node["class_name"]), node.get("module")
    called = str(node.get("config")) if class_name == "function" else class_name
    registered = str(node.get("registered_name", called))  # null is no name: then Keras goes by the module
    own = _is_own(called, module, custom)
    # Code is refused under either name: tf_keras looks for the second where a module lacks the first.
    _check_code(node, {class_name, called, registered} - ({called} if own else set()), name)
    # What Keras finds under this name it takes, from whatever module: that is `__main__` for a layer of a notebook.
    looked_for = called if class_name == "function" else registered
    if not (own or looked_for in custom.by_name or _is_of_keras(node, called)):
        raise unknown_class(called, name, custom, str(module))


def _check_code(node: dict[str, Any], names: set[str], name: str) -> None:
    for found in sorted(names.intersection(_BARE)):
        raise _bare_operation(node, found, name)
    for found in sorted(names.intersection(_CODE)):
        raise SourceError(
            f"{name} holds {_CODE[found]}",
            hint="Replace it with a layer of Keras, or load a file you trust in Python and pass it to export_model",
        )


def _bare_operation(node: dict[str, Any], kind: str, name: str) -> SourceError:
    config = node.get("config")
    settings = config if isinstance(config, dict) else {}
    layer = settings.get("name", node.get("name", kind))
    operation = settings.get("function", settings.get("method_name", settings.get("attr_name", kind)))
    return SourceError(
        f"{name} holds the layer {layer!r}, a TensorFlow operation ({operation!r}) that Keras 3 has no layer for",
        hint="Rebuild the model with a layer in its place, such as Rescaling, or export the part after it and say with "
        "--preprocess what it did to the pixels",
    )


def _is_own(called: str, module: Any, custom: CustomObjects) -> bool:
    """Whether the module is the one that the user's class or function of this name is of."""
    known = custom.by_name.get(called)
    return known is not None and (known.__name__, known.__module__) == (called, module)


def _is_of_keras(node: dict[str, Any], called: str) -> bool:
    module = node.get("module")
    if module == "builtins":  # stands for Keras's own functions; tf_keras takes it for Python's as well
        return not hasattr(builtins, called)
    # An older file names no modules: then Keras looks in its own tables, and nowhere else.
    return (
        module is None or module in _MODULES or (node["class_name"] != "function" and str(module).startswith(_INSIDE))
    )


def _check_vocabulary(node: dict[str, Any], name: str) -> None:
    if isinstance(node.get("vocabulary"), str):
        raise SourceError(
            f"{name} would read another file, {node['vocabulary']}", hint="Save the model with its vocabulary inside"
        )
