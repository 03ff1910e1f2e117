"""A Keras model as a flat list of steps, so that it can be read, rewritten and built again.

Keras keeps a model as layers that remember each other, nested models inside. `trace` flattens that into a `Network`:
steps in the order in which they run, each a layer (or Keras operation) with the values it takes and gives. Rewrites
are functions from network to network; `build` makes a Keras model of the result. Layers that no rewrite touched are
shared with the model they came from, so a rewrite costs no second copy of the weights.
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

__all__ = ["Network", "Step", "Value", "build", "run", "trace"]

_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


@dataclass(frozen=True)
class Value:
    """A tensor that flows through a network, told from the others by its number.

    Attributes:
        number: Its number in the network.
        shape: Its shape, None for the batch.
    """

    number: int
    shape: tuple[int | None, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Attributes:
        operation: What is called.
        args: Positional arguments, with a `Value` wherever a tensor goes in.
        kwargs: Keyword arguments, likewise.
        outputs: The values that the call gives.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Value, ...]

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.operation.name)

    @property
    def kind(self) -> str:
        """The layer's class, for messages."""
        return type(self.operation).__name__

    @cached_property
    def inputs(self) -> tuple[Value, ...]:
        """The values that the call takes, in order."""
        leaves = keras.tree.flatten((self.args, dict(self.kwargs)))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Value))

    def called_with(self, substitute: Callable[[Value], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, each value replaced by what `substitute` says."""
        return keras.tree.map_structure(  # type: ignore[no-any-return]
            lambda leaf: substitute(leaf) if isinstance(leaf, Value) else leaf, (self.args, dict(self.kwargs))
        )

    def renamed(self, names: Mapping[Value, Value]) -> Step:
        """The same call on other values."""
        args, kwargs = self.called_with(lambda value: names.get(value, value))
        return replace(self, args=args, kwargs=kwargs)


@dataclass(frozen=True)
class Network:
    """A classifier as steps.

    Attributes:
        name: The model's name.
        shape: Input shape without the batch, NHWC: (height, width, channels).
        dtype: Data type of the input.
        input: The value that enters.
        output: The value that leaves.
        steps: The calls, in an order in which they can run.
    """

    name: str
    shape: tuple[int, int, int]
    dtype: str
    input: Value
    output: Value
    steps: tuple[Step, ...]

    def producer(self, value: Value) -> Step | None:
        """The step that gives the value; None for the network's input."""
        return self._producers.get(value)

    def consumers(self, value: Value) -> tuple[Step, ...]:
        """The steps that take the value."""
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
        """Every layer that is called, once."""
        return list({id(step.operation): step.operation for step in self.steps if _is_layer(step.operation)}.values())

    def after(self, value: Value) -> tuple[Step, ...]:
        """The steps that depend on the value, in order."""
        reached = {value}
        steps = []
        for step in self.steps:
            if not reached.isdisjoint(step.inputs):
                reached.update(step.outputs)
                steps.append(step)
        return tuple(steps)

    def calls(self, operation: Any) -> int:
        """How often the layer is called."""
        return sum(step.operation is operation for step in self.steps)

    def fresh(self, shape: tuple[int | None, ...]) -> Value:
        """A value that the network does not use yet."""
        return Value(1 + max(value.number for step in self.steps for value in (self.input, *step.outputs)), shape)

    def with_steps(self, steps: Iterable[Step], *, output: Value | None = None) -> Network:
        """The same network with other steps."""
        return replace(self, steps=tuple(steps), output=output or self.output)

    def without(self, unneeded: Callable[[Step], bool]) -> Network:
        """The network with some one-in, one-out steps taken out and their input passed on in their place."""
        names: dict[Value, Value] = {}
        kept = []
        for step in self.steps:
            renamed = step.renamed(names)
            if unneeded(step):
                names[step.outputs[0]] = renamed.inputs[0]
            else:
                kept.append(renamed)
        return self.with_steps(kept, output=names.get(self.output, self.output))


def trace(model: keras.Model) -> Network:
    """Reads a functional or sequential Keras model, nested models flattened into it.

    Raises:
        SourceError: If the model is subclassed, has not one image input `[batch, height, width, channels]` of fixed
            size, or not one output.
    """
    inputs, outputs = _graph_ends(model)
    tracer = _Tracer()
    entry = tracer.new(inputs[0])
    output = tracer.value_of(outputs[0])
    _check_names(tracer.steps)
    _, height, width, channels = inputs[0].shape
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    return Network(model.name, (height, width, channels), dtype, entry, output, tuple(tracer.steps))


def _check_names(steps: Iterable[Step]) -> None:
    """Refuses names that TensorFlow cannot open a scope of; Keras's own `predict` fails on them too."""
    for step in steps:
        if _is_layer(step.operation) and not _SCOPE.fullmatch(step.name):
            raise SourceError(
                f"layer {step.name!r} has a name that TensorFlow cannot use",
                hint="Build it again with a name of letters, digits, '_', '.' and '-', and load the weights into it",
            )


def run(
    network: Network,
    image: Any,
    wanted: Sequence[Value],
    scope: Callable[[int], AbstractContextManager[Any]] = nullcontext,
) -> list[Any]:
    """Runs the network on a batch and gives the values asked for.

    The layers are called one after the other, with no model around them: their names need not differ, and the model
    that they came from does not notice. A value is let go once its last reader has run.

    Args:
        network: What to run.
        image: `[batch, height, width, channels]`.
        wanted: Values of the network.
        scope: Entered around each step, with the step's place in the network.
    """
    tensors: dict[Value, Any] = {network.input: image}
    for place, step in enumerate(network.steps):
        args, kwargs = step.called_with(tensors.__getitem__)
        with scope(place):
            results = keras.tree.flatten(step.operation(*args, **kwargs))
        tensors.update(zip(step.outputs, results, strict=True))
        for value in step.inputs:
            if value not in wanted and network.consumers(value)[-1] is step:
                tensors.pop(value, None)
    return [tensors[value] for value in wanted]


def build(network: Network) -> keras.Model:
    """Makes a Keras model of the network. Its layers must have different names."""
    entry = keras.Input(network.shape, dtype=network.dtype)
    return keras.Model(entry, run(network, entry, [network.output])[0], name=network.name)


def _graph_ends(model: keras.Model) -> tuple[list[Any], list[Any]]:
    if isinstance(model, keras.Sequential) and not model.built:
        raise SourceError(
            f"model {model.name!r} was never built, so nobody knows the size of its images",
            hint="Begin it with keras.Input((height, width, channels))",
        )
    if not _is_graph(model):
        raise SourceError(
            f"model {model.name!r} is a subclassed {type(model).__name__}, whose layers cannot be read from outside",
            hint="Wrap it as a functional model (keras.Input, then its layers one after the other) and export that",
        )
    inputs, outputs = list(model.inputs), list(model.outputs)
    if len(inputs) != 1 or len(outputs) != 1:
        raise SourceError(
            f"model {model.name!r} has {len(inputs)} inputs and {len(outputs)} outputs; a classifier has one of each",
            hint="Build a model of the image input and the class output alone: keras.Model(image, classes)",
        )
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or None in shape[1:]:
        raise SourceError(
            f"model {model.name!r} takes {shape}; camserve needs [batch, height, width, channels] of fixed size",
            hint="Build the model again with an Input of fixed height and width",
        )
    return inputs, outputs


def _is_graph(model: Any) -> bool:
    if isinstance(model, keras.Sequential):
        return bool(model.built and model.layers)
    # A subclass that is built like a functional model but called otherwise does not do what its layers tell.
    calls_its_layers = isinstance(model, keras.Model) and type(model).call.__module__.startswith("keras.")
    return calls_its_layers and getattr(model, "_nodes_by_depth", None) is not None


def _is_layer(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer)


class _Tracer:
    """Walks back from a tensor to the input and notes the steps on the way, each once."""

    def __init__(self, *, training: bool = False) -> None:
        self.steps: list[Step] = []
        self._training = training
        self._values: dict[int, Value] = {}
        self._count = 0

    def new(self, tensor: Any) -> Value:
        self._count += 1
        self._values[id(tensor)] = Value(self._count, tuple(tensor.shape))
        return self._values[id(tensor)]

    def value_of(self, tensor: Any) -> Value:
        # An explicit stack: a deep network is deeper than Python's recursion limit allows.
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
                self._run(node)
        return self._values[id(tensor)]

    def _run(self, node: Any) -> None:
        if _is_graph(node.operation):
            return self._inline(node)
        args, kwargs = node.arguments.fill_in(self._values)
        if self._training:
            kwargs = {"training": True, **kwargs}
        outputs = tuple(self.new(output) for output in node.output_tensors)
        self.steps.append(Step(node.operation, tuple(args), dict(kwargs), outputs))
        return None

    def _inline(self, node: Any) -> None:
        """Runs the inside of a nested model, which may be called more than once and so keeps no values of its own."""
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
        raise SourceError("the model uses a tensor that does not come from its input")
    node = history.operation._inbound_nodes[history.node_index]
    if node.is_input:
        raise SourceError(
            f"the model reads a second input, {history.operation.name!r}",
            hint="Build a model of the image input and the class output alone: keras.Model(image, classes)",
        )
    return node
