"""The batch sizes for which a model is made ready, from its configuration.

With fixed sizes there is one session for each, which only ever runs with its own size. On CUDA, ONNX Runtime plans the
convolutions of a session anew whenever the size of the batch changes, which takes longer than most batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .declared_tensors import configured_shape
from .parameters import ModelRefusedError, text_parameter

__all__ = ["SizeChoice", "choose_sizes", "smallest_size"]

_PARAMETER = "batch_sizes"
_FREE = "none"
_DEFAULTS = (1, 8, 32)


@dataclass(frozen=True)
class SizeChoice:
    """The batch sizes of an instance.

    Attributes:
        sizes: In increasing order, the maximum batch size last; empty if one session runs batches of any size.
        warnings: Why the sizes are not the default ones.
    """

    sizes: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_sizes(config: Mapping[str, Any], *, cuda: bool) -> SizeChoice:
    """Choose the batch sizes of an instance: those of the parameter `batch_sizes`, or else fixed ones on CUDA only.

    Args:
        config: The model's configuration.
        cuda: Whether the instance runs on the CUDA provider.

    Raises:
        ModelRefusedError: If the parameter is invalid, or does not suit the model.
    """
    text = text_parameter(config, _PARAMETER)
    if text == _FREE or (text is None and not cuda):
        return SizeChoice()
    obstacle = _obstacle(config)
    if text is None and config["max_batch_size"] <= 0:
        return SizeChoice()
    if text is None:
        warning = f"runs each batch with its own size, since {obstacle}; on CUDA, each change of it is slow"
        return SizeChoice(warnings=(warning,)) if obstacle else SizeChoice(_default_sizes(config["max_batch_size"]))
    if obstacle:
        raise ModelRefusedError(f"{_PARAMETER} cannot be {text}, since {obstacle}", hint=_hint(_FREE))
    return SizeChoice(_parse(text, config["max_batch_size"]))


def smallest_size(sizes: Sequence[int], rows: int) -> int:
    """Return the smallest of the sizes, which increase, that holds a number of rows.

    Raises:
        ValueError: If none does.
    """
    for size in sizes:
        if rows <= size:
            return size
    raise ValueError(f"a batch of {rows} exceeds the largest of the batch sizes, {sizes[-1]}")


def _default_sizes(maximum: int) -> tuple[int, ...]:
    return (*(size for size in _DEFAULTS if size < maximum), maximum)


def _obstacle(config: Mapping[str, Any]) -> str | None:
    """Return why a model cannot run with fixed sizes, or None if it can."""
    if config["max_batch_size"] <= 0:
        return "max_batch_size is 0"
    for role in ("input", "output"):
        for tensor in config[role]:
            if -1 in configured_shape(tensor):
                return f"{role} '{tensor['name']}' has a dimension of any size"
    return None


def _parse(text: str, maximum: int) -> tuple[int, ...]:
    example = _hint(",".join(map(str, _default_sizes(maximum))))
    try:
        sizes = tuple(sorted({int(size) for size in text.split(",")}))
    except ValueError:
        raise ModelRefusedError(
            f"{_PARAMETER} must be sizes such as 1,8,32, or {_FREE}, got '{text}'", hint=example
        ) from None
    if sizes[0] < 1:
        raise ModelRefusedError(f"{_PARAMETER} must be at least 1, got {text}", hint=example)
    if sizes[-1] != maximum:
        raise ModelRefusedError(
            f"the largest of {_PARAMETER} must be max_batch_size, {maximum}, got {text}", hint=example
        )
    return sizes


def _hint(sizes: str) -> str:
    return f"Publish the model again with --set {_PARAMETER}={sizes}"
