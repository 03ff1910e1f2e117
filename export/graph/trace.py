"""Read a Keras model into a network.

Keras stores a model as a graph of layers, with models nested inside; `trace` flattens it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError
from camserve.export.graph.input_size import fixed_shape, with_shapes
from camserve.export.graph.network import Network, Step, Value, is_layer
from camserve.text import count

__all__ = ["trace"]

_ONE_INPUT = "Build a model from the image input to the class output: keras.Model(image, classes)"
_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


def trace(model: keras.Model, size: tuple[int, int] | None = None) -> Network:
    """Read a functional or sequential Keras model and flatten the models nested in it.

    Args:
        model: The model.
        size: Height and width of its images; None for those of its input.

    Raises:
        SourceError: If the model is subclassed, or does not have exactly one image input
            `[batch, height, width, channels]` and one output, or cannot process images of this size.
        UsageError: If the model takes images of any size and `size` is None, or it contradicts the model's input.
    """
    inputs, outputs = _graph_ends(model)
    shape = fixed_shape(model.name, tuple(inputs[0].shape), size)
    tracer = _Tracer()
    entry = tracer.add_value(inputs[0])
    output = tracer.value_of(outputs[0])
    _check_names(tracer.steps)
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    network = Network(model.name, shape, dtype, entry, output, tuple(tracer.steps))
    values = (entry, *(value for step in network.steps for value in step.outputs))
    return with_shapes(network) if any(None in value.shape[1:] for value in values) else network


def _check_names(steps: Iterable[Step]) -> None:
    """Refuse names that cannot be a TensorFlow name scope; Keras's `predict` fails on them too."""
    for step in steps:
        if is_layer(step.operation) and not _SCOPE.fullmatch(step.name):
            raise SourceError(
                f"layer {step.name!r} has a name that TensorFlow does not support",
                hint="Rebuild the model with layer names of letters, digits, '_', '.' and '-', and load its weights",
            )


def _graph_ends(model: keras.Model) -> tuple[list[Any], list[Any]]:
    if isinstance(model, keras.Sequential) and not model.built:
        raise SourceError(
            f"model {model.name!r} is not built, so its input size is unknown",
            hint="Add keras.Input((height, width, channels)) as its first layer",
        )
    if not _is_graph(model):
        raise SourceError(
            f"model {model.name!r} is a subclassed {type(model).__name__}, whose layers cannot be traced",
            hint="Wrap it as a functional model (keras.Input, then its layers one after the other) and export that",
        )
    inputs, outputs = list(model.inputs), list(model.outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        raise SourceError(
            f"model {model.name!r} has {count(len(inputs), 'input')} and {count(len(outputs), 'output')}; "
            "a classifier must have one of each",
            hint=_ONE_INPUT,
        )
    return inputs, outputs


def _is_graph(model: Any) -> bool:
    if isinstance(model, keras.Sequential):
        return bool(model.built and model.layers)
    # A subclass of a functional model may override call, and then its layers are not what it computes.
    calls_its_layers = isinstance(model, keras.Model) and type(model).call.__module__.startswith("keras.")
    return calls_its_layers and getattr(model, "_nodes_by_depth", None) is not None


class _Tracer:
    """Collects the steps from the input to a tensor, each once."""

    def __init__(self, *, training: bool = False) -> None:
        self.steps: list[Step] = []
        self._training = training
        self._values: dict[int, Value] = {}
        self._count = 0

    def add_value(self, tensor: Any) -> Value:
        self._count += 1
        self._values[id(tensor)] = Value(self._count, tuple(tensor.shape))
        return self._values[id(tensor)]

    def value_of(self, tensor: Any) -> Value:
        # An explicit stack, because a deep network exceeds Python's recursion limit.
        waiting = [tensor]
        while waiting:
            if id(waiting[-1]) in self._values:
                waiting.pop()
                continue
            node = _node_of(waiting[-1])
            missing = [source for source in node.input_tensors if id(source) not in self._values]
            if missing:
                waiting.extend(missing)
            else:
                self._add_step(node)
        return self._values[id(tensor)]

    def _add_step(self, node: Any) -> None:
        if _is_graph(node.operation):
            return self._add_nested_model(node)
        args, kwargs = node.arguments.fill_in(self._values)
        if self._training:
            kwargs = {"training": True, **kwargs}
        outputs = tuple(self.add_value(output) for output in node.output_tensors)
        self.steps.append(Step(node.operation, tuple(args), dict(kwargs), outputs))
        return None

    def _add_nested_model(self, node: Any) -> None:
        """Add the steps of a nested model, which may be called more than once and so has no values of its own."""
        inner = _Tracer(training=self._training or bool(node.arguments.kwargs.get("training")))
        inner.steps, inner._count = self.steps, self._count
        sources = [self._values[id(source)] for source in node.input_tensors]
        inner._values = {id(entry): value for entry, value in zip(node.operation.inputs, sources, strict=True)}
        results = [inner.value_of(output) for output in node.operation.outputs]
        self._count = inner._count
        self._values.update((id(output), value) for output, value in zip(node.output_tensors, results, strict=True))


def _node_of(tensor: Any) -> Any:
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None:
        raise SourceError("the output does not depend on the model's input alone", hint=_ONE_INPUT)
    node = history.operation._inbound_nodes[history.node_index]
    if node.is_input:
        raise SourceError(
            f"the output depends on a second input, {history.operation.name!r}",
            hint=_ONE_INPUT,
        )
    return node
