"""A Keras model as a flat list of steps, which can be analyzed, rewritten and run.

A `Network` is a list of steps in the order in which they run, each a layer (or Keras operation) with its input and
output values; `trace` reads it from a model. Rewrites are functions from network to network. Layers that a rewrite does
not change are shared with the model, so that weights are not copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from camserve.export.frameworks import keras

__all__ = ["Call", "Network", "Step", "Value", "is_layer", "run"]

Call = Callable[[int, tuple[Any, ...], dict[str, Any]], Any]
"""Runs a step of a network: its index, its arguments and its keyword arguments, to the tensors that it returns."""


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


def is_layer(operation: Any) -> bool:
    """Return whether an operation is a layer, which may have weights, and not a Keras operation without."""
    return isinstance(operation, keras.layers.Layer)
