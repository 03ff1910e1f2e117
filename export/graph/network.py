"""A Keras model as a flat list of steps, which can be analyzed, rewritten and run.

Keras stores a model as a graph of layers, with models nested inside. `trace` flattens it into a `Network`: steps in the
order in which they run, each a layer (or Keras operation) with its input and output values. Rewrites are functions from
network to network. Layers that a rewrite does not change are shared with the model, so that weights are not copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError
from camserve.text import count

__all__ = ["Call", "Network", "Step", "Value", "is_layer", "run", "trace"]

_ONE_INPUT = "Build a model from the image input to the class output: keras.Model(image, classes)"
Call = Callable[[int, tuple[Any, ...], dict[str, Any]], Any]
"""Runs a step of a network: its index, its arguments and its keyword arguments, to the tensors that it returns."""

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


@dataclass(frozen=True)
class Value:
    """A tensor in a network.

    Attributes:
        number: Its number, which identifies it in the network.
        shape: Its shape, with None for the batch.
    """

    number: int
    shape: tuple[int | None, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Attributes:
        operation: What is called.
        args: Positional arguments, with a `Value` in place of each tensor.
        kwargs: Keyword arguments, with a `Value` in place of each tensor.
        outputs: The values that the call returns.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Value, ...]

    @property
    def name(self) -> str:
        """Return the layer's name."""
        return str(self.operation.name)

    @property
    def kind(self) -> str:
        """Return the name of the layer's class, for messages."""
        return type(self.operation).__name__

    @cached_property
    def inputs(self) -> tuple[Value, ...]:
        """Return the input values of the call, in order."""
        leaves = keras.tree.flatten((self.args, dict(self.kwargs)))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Value))

    def called_with(self, substitute: Callable[[Value], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments, with each value replaced by the result of `substitute`."""
        return keras.tree.map_structure(  # type: ignore[no-any-return]
            lambda leaf: substitute(leaf) if isinstance(leaf, Value) else leaf, (self.args, dict(self.kwargs))
        )

    def renamed(self, names: Mapping[Value, Value]) -> Step:
        """Return the same call on other values."""
        args, kwargs = self.called_with(lambda value: names.get(value, value))
        return replace(self, args=args, kwargs=kwargs)


@dataclass(frozen=True)
class Network:
    """A classifier as steps.

    Attributes:
        name: The model's name.
        shape: Input shape without the batch, NHWC: (height, width, channels).
        dtype: Data type of the input.
        input: The input value.
        output: The output value.
        steps: The calls, in an order in which they can run.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: str
    input: Value
    output: Value
    steps: tuple[Step, ...]

    def producer(self, value: Value) -> Step | None:
        """Return the step that computes the value; None for the network's input."""
        return self._producers.get(value)

    def consumers(self, value: Value) -> tuple[Step, ...]:
        """Return the steps that read the value."""
        return tuple(self._consumers.get(value, ()))

    @cached_property
    def _producers(self) -> dict[Value, Step]:
        return {value: step for step in self.steps for value in step.outputs}

    @cached_property
    def _consumers(self) -> dict[Value, list[Step]]:
        readers: dict[Value, list[Step]] = {}
        for step in self.steps:
            for value in dict.fromkeys(step.inputs):
                readers.setdefault(value, []).append(step)
        return readers

    @property
    def layers(self) -> list[Any]:
        """Return every layer that is called, once each."""
        return list({id(step.operation): step.operation for step in self.steps if is_layer(step.operation)}.values())

    def after(self, value: Value) -> tuple[Step, ...]:
        """Return the steps that depend on the value, in order."""
        reached = {value}
        steps = []
        for step in self.steps:
            if not reached.isdisjoint(step.inputs):
                reached.update(step.outputs)
                steps.append(step)
        return tuple(steps)

    def calls(self, operation: Any) -> int:
        """Return how often the layer is called."""
        return sum(step.operation is operation for step in self.steps)

    def fresh(self, shape: tuple[int | None, ...]) -> Value:
        """Return a value that the network does not contain yet."""
        return Value(1 + max(value.number for step in self.steps for value in (self.input, *step.outputs)), shape)

    def with_steps(self, steps: Iterable[Step], *, output: Value | None = None) -> Network:
        """Return the same network with other steps."""
        return replace(self, steps=tuple(steps), output=output or self.output)

    def without(self, remove: Callable[[Step], bool]) -> Network:
        """Return the network without some steps, each replaced by its input; such a step has one input and output."""
        names: dict[Value, Value] = {}
        kept = []
        for step in self.steps:
            renamed = step.renamed(names)
            if remove(step):
                names[step.outputs[0]] = renamed.inputs[0]
            else:
                kept.append(renamed)
        return self.with_steps(kept, output=names.get(self.output, self.output))


def trace(model: keras.Model) -> Network:
    """Read a functional or sequential Keras model and flatten the models nested in it.

    Raises:
        SourceError: If the model is subclassed, or does not have exactly one image input
            `[batch, height, width, channels]` of fixed size and one output.
    """
    inputs, outputs = _graph_ends(model)
    tracer = _Tracer()
    entry = tracer.add_value(inputs[0])
    output = tracer.value_of(outputs[0])
    _check_names(tracer.steps)
    _, height, width, channels = inputs[0].shape
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    return Network(model.name, (height, width, channels), dtype, entry, output, tuple(tracer.steps))


def _check_names(steps: Iterable[Step]) -> None:
    """Refuse names that cannot be a TensorFlow name scope; Keras's `predict` fails on them too."""
    for step in steps:
        if is_layer(step.operation) and not _SCOPE.fullmatch(step.name):
            raise SourceError(
                f"layer {step.name!r} has a name that TensorFlow does not support",
                hint="Rebuild the model with layer names of letters, digits, '_', '.' and '-', and load its weights",
            )


def run(
    network: Network,
    image: Any,
    values: Sequence[Value],
    scope: Callable[[int], AbstractContextManager[Any]] = nullcontext,
    call: Call | None = None,
) -> list[Any]:
    """Run the network on a batch and return some of its values.

    The layers are called one after the other, outside a Keras model, so that their names need not be unique and the
    original model is not changed. A value is released once its last reader has run.

    Args:
        network: The network.
        image: `[batch, height, width, channels]`.
        values: The values to return.
        scope: Context in which a step runs, by the step's index in the network.
        call: Runs a step, given its index, arguments and keyword arguments (default: calls its operation).
    """
    tensors: dict[Value, Any] = {network.input: image}
    for place, step in enumerate(network.steps):
        args, kwargs = step.called_with(tensors.__getitem__)
        with scope(place):
            results = keras.tree.flatten(call(place, args, kwargs) if call else step.operation(*args, **kwargs))
        tensors.update(zip(step.outputs, results, strict=True))
        for value in step.inputs:
            if value not in values and network.consumers(value)[-1] is step:
                tensors.pop(value, None)
    return [tensors[value] for value in values]


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
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or None in shape[1:]:
        raise SourceError(
            f"model {model.name!r} has the input shape {shape}; expected a fixed [batch, height, width, channels]",
            hint="Rebuild the model with an Input of fixed height and width",
        )
    return inputs, outputs


def _is_graph(model: Any) -> bool:
    if isinstance(model, keras.Sequential):
        return bool(model.built and model.layers)
    # A subclass of a functional model may override call, and then its layers are not what it computes.
    calls_its_layers = isinstance(model, keras.Model) and type(model).call.__module__.startswith("keras.")
    return calls_its_layers and getattr(model, "_nodes_by_depth", None) is not None


def is_layer(operation: Any) -> bool:
    """Return whether an operation is a layer, which may have weights, and not a Keras operation without."""
    return isinstance(operation, keras.layers.Layer)


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
