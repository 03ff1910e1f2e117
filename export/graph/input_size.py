"""The input size of a network: that of its model, or for a model that takes images of any size the requested one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError, UsageError
from camserve.export.framework_errors import reason
from camserve.export.graph.network import Network, Value

__all__ = ["fixed_shape", "with_shapes"]

_USUAL_SIZE = 224


def fixed_shape(name: str, shape: tuple[int | None, ...], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Return a model's input shape, with the requested size where the model takes any.

    Args:
        name: The model's name, for messages.
        shape: Its input shape with the batch, NHWC; None where it takes any size.
        size: The requested height and width.

    Raises:
        SourceError: If it is not the shape of an image, or its number of channels is not fixed.
        UsageError: If the requested size is missing, or contradicts the model.
    """
    if len(shape) != 4:
        raise SourceError(
            f"model {name!r} has the input shape {shape}; expected [batch, height, width, channels]",
            hint="Build a model from the image input to the class output: keras.Model(image, classes)",
        )
    _, *free, channels = shape
    if channels is None:
        raise SourceError(
            f"model {name!r} has the input shape {shape}, in which the number of channels is not fixed",
            hint="Rebuild the model with keras.Input((height, width, 3)), or 1 for gray images, and load its weights",
        )
    if size is None and None in free:
        raise UsageError(
            f"model {name!r} takes images of any size (input shape {shape}), but an export has a fixed size",
            hint=f"Pass the height and width that it was trained with, e.g. --size {_likely(free)}",
        )
    if size is not None and any(fixed not in (None, wanted) for fixed, wanted in zip(free, size, strict=True)):
        raise UsageError(
            f"--size {_text(size)} contradicts the input of model {name!r}, whose shape is {shape}",
            hint=f"Pass a size that it takes: --size {_likely(free)}" if None in free else "Remove --size",
        )
    height, width = free if size is None else size
    return height, width, channels  # type: ignore[return-value]


def with_shapes(network: Network) -> Network:
    """Return the network with the shape of each value computed from its input shape.

    Keras knows them only up to the size of the image if the model, or a model nested in it, takes any size.

    Raises:
        SourceError: If a layer cannot process images of this size.
    """
    values = {network.input: replace(network.input, shape=(None, *network.shape))}
    tensors: dict[Value, Any] = {network.input: keras.KerasTensor((None, *network.shape), network.dtype)}
    steps = []
    for step in network.steps:
        args, kwargs = step.called_with(tensors.__getitem__)
        try:
            results = keras.tree.flatten(step.operation.compute_output_spec(*args, **kwargs))
        except Exception as error:  # a layer may raise anything
            raise SourceError(
                f"model {network.name!r} cannot process images of {_text(network.shape)}: layer {step.name!r} "
                f"({step.kind}): {reason(error)}",
                hint="Pass the height and width that it was trained with: --size HxW",
            ) from error
        tensors.update(zip(step.outputs, results, strict=True))
        values.update(
            {
                value: replace(value, shape=tuple(result.shape))
                for value, result in zip(step.outputs, results, strict=True)
            }
        )
        steps.append(replace(step.renamed(values), outputs=tuple(values[value] for value in step.outputs)))
    return replace(network, input=values[network.input], output=values[network.output], steps=tuple(steps))


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"


def _likely(free: list[int | None]) -> str:
    height, width = free
    return _text((height or width or _USUAL_SIZE, width or height or _USUAL_SIZE))
