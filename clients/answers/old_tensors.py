"""Tensors on their way out and in, refused where they are not what the contract says."""

from __future__ import annotations

from typing import Any

import numpy as np

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import ContractError, UsageError

__all__ = ["check_answer", "check_batch", "output_spec"]

_NUMPY = {"FP32": np.dtype(np.float32), "UINT8": np.dtype(np.uint8), "INT32": np.dtype(np.int32)}


def output_spec(contract: ModelContract, name: str, model: str) -> TensorSpec:
    """The output of that name.

    Raises:
        UsageError: If the model has none.
    """
    spec = contract.output(name)
    if spec is None:
        known = ", ".join(output.name for output in contract.outputs)
        raise UsageError(f"model {model!r} has no output {name!r}", hint=f"It has {known}")
    return spec


def check_batch(batch: np.ndarray[Any, Any], spec: TensorSpec, max_batch_size: int, model: str) -> None:
    """Refuses a batch for the input `spec` that the server would refuse, or that holds no numbers.

    Raises:
        UsageError: If type, byte order or shape are not the input's, the batch is empty or over the maximum, or holds
            NaN or infinity.
    """
    if batch.dtype != _NUMPY[spec.dtype] or batch.shape[1:] != spec.shape or batch.size == 0:
        raise UsageError(
            f"a batch of {batch.dtype} {list(batch.shape)} does not fit the input of model {model!r}",
            hint=f"Give {_NUMPY[spec.dtype]} of shape [pictures, {', '.join(map(str, spec.shape))}]",
        )
    if 0 < max_batch_size < len(batch):
        raise UsageError(
            f"a batch of {len(batch)} is over the maximum of model {model!r}",
            hint=f"Send at most {max_batch_size} pictures at once",
        )
    if batch.dtype == np.float32 and not np.isfinite(batch).all():
        raise UsageError("the batch holds NaN or infinity", hint="Check how the pictures were prepared")


def check_answer(array: np.ndarray[Any, Any] | None, spec: TensorSpec, count: int, model: str) -> None:
    """Refuses an output that did not come, or came in another type or shape than promised.

    Raises:
        ContractError: If so.
    """
    expected = (count, *spec.shape)
    if array is None or array.shape != expected or array.dtype != _NUMPY[spec.dtype]:
        found = "nothing that can be read" if array is None else f"{array.dtype} {list(array.shape)}"
        raise ContractError(
            f"model {model!r} answered {found} as {spec.name!r}, promised {spec.dtype} {list(expected)}",
            hint="Publish the model again from its bundle",
        )
