"""The classes and functions that a saved architecture may name: those of Keras and those the user vouched for."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from typing import Any

from camserve.errors import SourceError
from camserve.export.source.application_layers import APPLICATION_LAYERS
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.keras2_operations import OPERATION_LAYERS, check_operation

__all__ = ["check_architecture", "unknown_class_error"]

_PARTS = (
    *(
        "activations",
        "constraints",
        "dtype_policies",
        "initializers",
        "layers",
        "losses",
        "metrics",
        "mixed_precision",
        "models",
        "ops",
    ),
    *("optimizers", "optimizers.schedules", "quantizers", "random", "regularizers"),
    *("layers.experimental", "layers.experimental.preprocessing"),
)
_MODULES = frozenset(("keras", "builtins", *(f"keras.{part}" for part in _PARTS)))
"""Modules whose members describe a network. Other modules of Keras read files, download or configure Keras."""

_TENSORFLOW_INITIALIZERS = "tensorflow.python.ops.init_ops_v2"
_INITIALIZERS = ("Constant", "Ones", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros")
"""Initializers of TensorFlow itself, as in the EfficientNetV2 of Keras 2; that module also holds other names."""

_INTERNAL = (
    *(f"keras.src.{part}." for part in ("engine", "layers", "models", "ops")),
    "keras.engine.",
    "tf_keras.src.engine.",
)
"""Where Keras 2 and 3 define network classes without a public name: Functional, and operations."""

_CODE = {
    "Lambda": "a Lambda layer, which would run code from the file",
    "__lambda__": "a Python function, which would run code from the file",
    "TFSMLayer": "a TFSMLayer, which would run a SavedModel stored elsewhere",
    "TorchModuleWrapper": "a PyTorch layer, which would run code from the file",
    "JaxLayer": "a JAX layer, which would run code from the file",
    "FlaxLayer": "a Flax layer, which would run code from the file",
}
_BARE_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty")
"""How Keras 2 saves arithmetic that was done without a layer."""

_NOT_USER_PACKAGES = frozenset(
    (*sys.stdlib_module_names, "builtins", "keras", "keras_cv", "keras_hub", "keras_nlp", "tf_keras")
)


def check_architecture(config: Any, custom: CustomObjects, name: str, *, operations: bool = False) -> None:
    """Refuse an architecture that names anything but parts of a network.

    Args:
        config: The architecture as Keras saves it: objects, lists and plain values, parsed from JSON.
        custom: What it may name besides Keras's own classes and functions.
        name: The file's name, for messages.
        operations: Whether it may contain operations of TensorFlow that compute, as Keras 2 stores them.

    Raises:
        SourceError: If it contains code, names a member of another module, or reads another file.
    """
    for node in _objects(config):
        _check_vocabulary(node, name)
        if isinstance(node.get("class_name"), str):
            _check_class(node, custom, name, operations=operations)


def unknown_class_error(class_name: str, name: str, custom: CustomObjects, module: str | None = None) -> SourceError:
    """Return the error for a class that neither Keras nor a module in `--custom-objects` defines."""
    used = f"{name} uses {class_name!r}" + (f" from module {module!r}" if module else "")
    missing = f"neither Keras nor {', '.join(custom.modules)} defines" if custom.modules else "Keras does not define"
    return SourceError(
        f"{used}, which {missing}",
        hint="Pass the Python module that defines it, if you trust both the file and the module: "
        f"--custom-objects {_suggested_module(module, custom)}",
    )


def _suggested_module(module: str | None, custom: CustomObjects) -> str:
    """Return the module that the file names if the user may have written it.

    A hint must not talk the user into importing a module of a file's choice, such as `os`.
    """
    valid = module is not None and all(part.isidentifier() for part in module.split("."))
    if not valid or module in ("__main__", *custom.modules):
        return "package.module"
    return "package.module" if str(module).partition(".")[0] in _NOT_USER_PACKAGES else str(module)


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every JSON object at any depth, in the order of the file."""
    waiting = [config]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _check_class(node: dict[str, Any], custom: CustomObjects, name: str, *, operations: bool) -> None:
    class_name, module = str(node["class_name"]), node.get("module")
    if operations and class_name in OPERATION_LAYERS and _is_operation_layer(node):
        check_operation(node.get("config", {}), name)
        return
    called = str(node.get("config")) if class_name == "function" else class_name
    registered = str(node.get("registered_name", called))  # if it is null, Keras looks in the module
    is_custom = _is_custom(called, module, custom)
    # Code is refused under both names: tf_keras looks for the second if a module lacks the first.
    _check_code(node, {class_name, called, registered} - ({called} if is_custom else set()), name)
    # Keras takes a registered object whatever the module is: `__main__` for a layer defined in a notebook.
    lookup_name = called if class_name == "function" else registered
    if not (is_custom or lookup_name in custom.by_name or _is_keras(node, called)):
        raise unknown_class_error(called, name, custom, str(module))


def _is_operation_layer(node: dict[str, Any]) -> bool:
    module = node.get("module")
    own = node.get("registered_name") in (None, node["class_name"])
    return own and (module is None or str(module).startswith(("keras.", "tf_keras.src.")))


def _check_code(node: dict[str, Any], names: set[str], name: str) -> None:
    for found in sorted(names.intersection(_BARE_OPERATIONS)):
        raise _bare_operation_error(node, found, name)
    for found in sorted(names.intersection(_CODE)):
        raise SourceError(
            f"{name} contains {_CODE[found]}{_layer_of(node)}",
            hint="Replace it with a Keras layer, or, if you trust the file, load it with Keras 3 in Python and pass "
            "the model to export_model",
        )


def _layer_of(node: dict[str, Any]) -> str:
    config = node.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return f" (layer {name!r})" if isinstance(name, str) else ""


def _bare_operation_error(node: dict[str, Any], kind: str, name: str) -> SourceError:
    config = node.get("config")
    settings = config if isinstance(config, dict) else {}
    layer = settings.get("name", node.get("name", kind))
    operation = settings.get("function", settings.get("method_name", settings.get("attr_name", kind)))
    return SourceError(
        f"{name} contains the TensorFlow operation {operation!r} (layer {layer!r}), which Keras 3 cannot load",
        hint="Rebuild the model with a Keras layer in its place, such as Rescaling, or export the part after it and "
        "pass the preprocessing that it did: --preprocess PRESET",
    )


def _is_custom(called: str, module: Any, custom: CustomObjects) -> bool:
    """Return whether the user's class or function of this name is defined in this module."""
    known = custom.by_name.get(called)
    return known is not None and (known.__name__, known.__module__) == (called, module)


def _is_keras(node: dict[str, Any], called: str) -> bool:
    module = node.get("module")
    if module == _TENSORFLOW_INITIALIZERS:
        return called in _INITIALIZERS and node["class_name"] == called
    if module == "builtins":  # means Keras's own functions, but tf_keras also looks in Python's builtins
        return not hasattr(builtins, called)
    if called in APPLICATION_LAYERS and module in _application_modules(called):
        return True
    # Older files name no modules; Keras then looks only in its own tables.
    return (
        module is None or module in _MODULES or (node["class_name"] != "function" and str(module).startswith(_INTERNAL))
    )


def _application_modules(called: str) -> tuple[str, ...]:
    module = APPLICATION_LAYERS[called]
    return f"keras.{module}", f"tf_keras.{module}", f"keras.{module.removeprefix('src.')}"


def _check_vocabulary(node: dict[str, Any], name: str) -> None:
    if isinstance(node.get("vocabulary"), str):
        raise SourceError(
            f"{name} would read another file: {node['vocabulary']}",
            hint="Save the model with the vocabulary inside, as a list",
        )
