"""Whether the tensors of a configuration are those of the model: what Triton's C++ backends refuse is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .parameters import ModelRefusedError

__all__ = ["Tensor", "check_inputs", "check_outputs", "check_type"]

_NOT_HERE = {
    "sequence_batching": "sequences",
    "batch_input": "batch inputs",
    "batch_output": "batch outputs",
}


@dataclass(frozen=True)
class Tensor:
    """A tensor as the model declares it.

    Attributes:
        name: Its name.
        data_type: As a configuration writes it, such as `TYPE_FP32`; what it has no word for is in the framework's own.
        shape: With -1 for what is free; None where the model does not say even the rank.
    """

    name: str
    data_type: str
    shape: tuple[int, ...] | None


def check_type(config: Mapping[str, Any]) -> None:
    """Refuses what only the C++ backends do, rather than answer it wrongly.

    Raises:
        ModelRefusedError: If the configuration asks for that.
    """
    for key, what in _NOT_HERE.items():
        if config.get(key):
            raise ModelRefusedError(f"this Python backend has no {what}; serve the model with Triton's C++ backend")
    for tensor in [*config["input"], *config["output"]]:
        if tensor.get("allow_ragged_batch") or tensor["data_type"] == "TYPE_STRING":
            raise ModelRefusedError(
                f"tensor '{tensor['name']}' is ragged or of strings, which this Python backend has not; serve the "
                "model with Triton's C++ backend"
            )


def check_inputs(config: Mapping[str, Any], found: Iterable[Tensor], optional: Iterable[Tensor] = ()) -> None:
    """Holds the configured inputs against those of the model.

    Args:
        config: The model's configuration.
        found: Inputs that the model needs.
        optional: Inputs that it has a value of its own for.

    Raises:
        ModelRefusedError: If one is unknown, missing, or of another type or shape.
    """
    needed = {tensor.name: tensor for tensor in found}
    known = {**needed, **{tensor.name: tensor for tensor in optional}}
    batched = config["max_batch_size"] > 0
    for configured in config["input"]:
        if configured.get("optional") and batched:
            raise ModelRefusedError(f"input '{configured['name']}' is optional, which a model that batches cannot have")
        _check("input", configured, known, batched=batched, exact=False)
    missing = needed.keys() - {configured["name"] for configured in config["input"]}
    if missing:
        raise ModelRefusedError(f"the configuration lacks the model's inputs {', '.join(sorted(missing))}")


def check_outputs(config: Mapping[str, Any], found: Iterable[Tensor]) -> None:
    """Holds the configured outputs against those of the model, which may have more.

    Raises:
        ModelRefusedError: If one is unknown, or of another type or shape.
    """
    known = {tensor.name: tensor for tensor in found}
    for configured in config["output"]:
        _check("output", configured, known, batched=config["max_batch_size"] > 0, exact=True)


def _check(
    role: str, configured: Mapping[str, Any], known: Mapping[str, Tensor], *, batched: bool, exact: bool
) -> None:
    name = configured["name"]
    if name not in known:
        raise ModelRefusedError(f"the model has no {role} '{name}'; it has {', '.join(sorted(known))}")
    tensor = known[name]
    if configured["data_type"] != tensor.data_type:
        raise ModelRefusedError(
            f"{role} '{name}' is {tensor.data_type} in the model and {configured['data_type']} in the configuration"
        )
    if tensor.shape is not None:
        _check_shape(f"{role} '{name}'", _dims(configured), tensor.shape, batched=batched, exact=exact)


def _check_shape(which: str, dims: list[int], shape: tuple[int, ...], *, batched: bool, exact: bool) -> None:
    if batched and shape[:1] != (-1,):
        raise ModelRefusedError(f"{which} has no free batch dimension in the model: {list(shape)}")
    expected = [-1, *dims] if batched else dims
    # What the model leaves free, an input may narrow; of an output, the configuration must say what the model says.
    fits = len(expected) == len(shape) and all(
        given == found or (found == -1 and not exact) for given, found in zip(expected, shape, strict=True)
    )
    if not fits:
        raise ModelRefusedError(f"{which} is of shape {list(shape)} in the model and {expected} in the configuration")


def _dims(configured: Mapping[str, Any]) -> list[int]:
    reshape = configured.get("reshape", {}).get("shape")
    return [int(side) for side in (configured["dims"] if reshape is None else reshape)]
