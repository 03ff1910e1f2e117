"""Checks of the tensors of a configuration against the model, as in Triton's C++ backends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .parameters import ModelRefusedError

__all__ = ["Tensor", "check_inputs", "check_outputs", "check_supported", "configured_shape"]

_UNSUPPORTED = {
    "sequence_batching": "sequence batching",
    "batch_input": "batch inputs",
    "batch_output": "batch outputs",
}
_USE_CPP = "serve the model with Triton's C++ backend"


@dataclass(frozen=True)
class Tensor:
    """A tensor as the model declares it.

    Attributes:
        name: Its name.
        data_type: Name of the type in a configuration, such as `TYPE_FP32`; without such a name, the framework's own.
        shape: Its shape, with -1 for dimensions of any size; None if the rank is unknown.
    """

    name: str
    data_type: str
    shape: tuple[int, ...] | None


def check_supported(config: Mapping[str, Any]) -> None:
    """Refuse features that only the C++ backends have.

    Raises:
        ModelRefusedError: If the configuration uses one.
    """
    for key, feature in _UNSUPPORTED.items():
        if config.get(key):
            raise ModelRefusedError(f"this Python backend does not support {feature}; {_USE_CPP}")
    for tensor in [*config["input"], *config["output"]]:
        if tensor.get("allow_ragged_batch") or tensor["data_type"] == "TYPE_STRING":
            raise ModelRefusedError(
                "this Python backend does not support ragged batches or strings "
                f"(tensor '{tensor['name']}'); {_USE_CPP}"
            )


def check_inputs(config: Mapping[str, Any], found: Iterable[Tensor], optional: Iterable[Tensor] = ()) -> None:
    """Check the configured inputs against those of the model.

    Args:
        config: The model's configuration.
        found: The required inputs of the model.
        optional: Inputs for which the model has a default value.

    Raises:
        ModelRefusedError: If an input is unknown or missing, or has another type or shape.
    """
    required = {tensor.name: tensor for tensor in found}
    known = {**required, **{tensor.name: tensor for tensor in optional}}
    batched = config["max_batch_size"] > 0
    for configured in config["input"]:
        if configured.get("optional") and batched:
            raise ModelRefusedError(
                f"input '{configured['name']}' is optional, which is not supported together with batching"
            )
        _check("input", configured, known, batched=batched, exact=False)
    missing = required.keys() - {configured["name"] for configured in config["input"]}
    if missing:
        raise ModelRefusedError(f"the configuration lacks the model's inputs {', '.join(sorted(missing))}")


def check_outputs(config: Mapping[str, Any], found: Iterable[Tensor]) -> None:
    """Check the configured outputs against those of the model, which can have more.

    Raises:
        ModelRefusedError: If an output is unknown, or has another type or shape.
    """
    known = {tensor.name: tensor for tensor in found}
    for configured in config["output"]:
        _check("output", configured, known, batched=config["max_batch_size"] > 0, exact=True)


def configured_shape(configured: Mapping[str, Any]) -> list[int]:
    """Return the shape of a configured tensor in the model, without the batch; -1 is a dimension of any size."""
    reshape = configured.get("reshape", {}).get("shape")
    return [int(side) for side in (configured["dims"] if reshape is None else reshape)]


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
        _check_shape(f"{role} '{name}'", configured_shape(configured), tensor.shape, batched=batched, exact=exact)


def _check_shape(tensor: str, dims: list[int], shape: tuple[int, ...], *, batched: bool, exact: bool) -> None:
    if batched and shape[:1] != (-1,):
        raise ModelRefusedError(f"{tensor} has no free batch dimension in the model: {list(shape)}")
    configured = [-1, *dims] if batched else dims
    # An input may restrict a dimension of any size. The configuration of an output must match the model exactly.
    fits = len(configured) == len(shape) and all(
        size == found or (found == -1 and not exact) for size, found in zip(configured, shape, strict=True)
    )
    if not fits:
        raise ModelRefusedError(f"{tensor} has shape {list(shape)} in the model and {configured} in the configuration")
