"""Removal of counters and random values from a SavedModel, so that a network always gives the same file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import camserve.export.frameworks  # noqa: F401  sets up TensorFlow before it is imported below

from tensorflow.core.protobuf import saved_model_pb2

__all__ = ["make_deterministic"]

_COUNTED = re.compile(r"(.+?)_(\d+)")


def make_deterministic(path: Path) -> None:
    """Rewrite a SavedModel so that saving the same network twice gives the same bytes.

    Functions are numbered by their order in the file instead of a counter of the process. The random fingerprint, which
    TensorFlow does not require, is removed.

    Args:
        path: The SavedModel's folder.
    """
    file = path / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in model.meta_graphs:
        library = graph.graph_def.library
        del library.registered_gradients[:]  # used only for training
        names = _deterministic_names(function.signature.name for function in library.function)
        for function in library.function:
            function.signature.name = names[function.signature.name]
            _rename_calls(function.node_def, names)
            _rename_arguments(function)
        for gradient in library.gradient:
            gradient.function_name = names.get(gradient.function_name, gradient.function_name)
            gradient.gradient_func = names.get(gradient.gradient_func, gradient.gradient_func)
        library.function.sort(key=lambda function: function.signature.name)
        _rename_calls(graph.graph_def.node, names)
        _rename_in_objects(graph.object_graph_def, names)
    file.write_bytes(model.SerializeToString(deterministic=True))
    (path / "fingerprint.pb").unlink(missing_ok=True)


def _deterministic_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name for each function with its number among those of the same base name."""
    counted = {name: _COUNTED.fullmatch(name) for name in names}
    order = sorted(counted, key=lambda name: (int(found[2]) if (found := counted[name]) else 0, name))
    places: Counter[str] = Counter()
    renamed = {}
    for name in order:
        found = counted[name]
        base = found[1] if found else name
        renamed[name] = f"{base}_{places[base]}"
        places[base] += 1
    return renamed


def _functions(attribute: Any) -> list[Any]:
    return [*([attribute.func] if attribute.HasField("func") else []), *attribute.list.func]


def _rename_arguments(function: Any) -> None:
    """Number the captured tensors of a function by their position among the arguments."""
    names = {}
    for place, argument in enumerate(function.signature.input_arg):
        found = _COUNTED.fullmatch(argument.name)
        if found:
            names[found[0]] = argument.name = f"{found[1]}_captured{place}"
            names[f"^{found[0]}"] = f"^{argument.name}"
    for node in function.node_def:
        node.input[:] = [names.get(name, name) for name in node.input]
    for result, name in function.ret.items():
        function.ret[result] = names.get(name, name)
    for argument in function.arg_attr.values():
        argument.attr.pop("_user_specified_name", None)  # a counter for a captured weight


def _rename_calls(nodes: Iterable[Any], names: Mapping[str, str]) -> None:
    for node in nodes:
        node.op = names.get(node.op, node.op)
        node.attr.pop("_gradient_op_type", None)  # contains a counter
        for attribute in node.attr.values():
            for function in _functions(attribute):
                function.name = names.get(function.name, function.name)


def _rename_in_objects(objects: Any, names: Mapping[str, str]) -> None:
    for node in objects.nodes:
        if node.HasField("function"):
            node.function.concrete_functions[:] = [names[name] for name in node.function.concrete_functions]
        if node.HasField("bare_concrete_function"):
            function = node.bare_concrete_function
            function.concrete_function_name = names[function.concrete_function_name]
        if node.HasField("captured_tensor"):
            captured = node.captured_tensor
            captured.concrete_function = names[captured.concrete_function]
    concrete = {
        names[name]: type(function).FromString(function.SerializeToString())
        for name, function in objects.concrete_functions.items()
    }
    objects.concrete_functions.clear()
    for name, function in concrete.items():
        objects.concrete_functions[name].CopyFrom(function)
