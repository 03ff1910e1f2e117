"""Input and output tensors: checked against the contract, split into requests and joined again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from camserve.clients.answers.served_model import PUBLISH_AGAIN, Model
from camserve.contract import TensorSpec
from camserve.errors import ContractError, UsageError
from camserve.tensors import DATA_TYPES
from camserve.text import listed

__all__ = ["check_batch", "join", "select_outputs", "split"]

Array = np.ndarray[Any, Any]

_NUMPY = {name: np.dtype(dtype.numpy) for name, dtype in DATA_TYPES.items()}


def check_batch(batch: object, model: Model) -> None:
    """Check that a batch matches the input of a model, as the server would, and is finite.

    Raises:
        UsageError: If its type, byte order or shape differ from the input, or it is empty or contains NaN or infinity.
    """
    spec = model.contract.input
    if not isinstance(batch, np.ndarray):
        raise UsageError(
            f"batch must be a NumPy array, got {type(batch).__name__}", hint="Convert it: numpy.asarray(batch)"
        )
    if batch.dtype != _NUMPY[spec.dtype] or batch.shape[1:] != spec.shape or batch.size == 0:
        raise UsageError(
            f"a batch of {batch.dtype} {list(batch.shape)} does not match the input of model {model.name!r}",
            hint=f"Pass {_NUMPY[spec.dtype]} of shape [images, {', '.join(map(str, spec.shape))}]",
        )
    if batch.dtype == np.float32 and not _is_finite(batch):
        raise UsageError("the batch contains NaN or infinity", hint="Check how the images were preprocessed")


def _is_finite(batch: Array) -> bool:
    if batch.flags.c_contiguous:
        # NaN and infinity remain in the sum of squares, which needs no temporary array. It may also overflow.
        flat = batch.reshape(-1)
        with np.errstate(all="ignore"):
            if np.isfinite(np.dot(flat, flat)):
                return True
    return bool(np.isfinite(batch).all())


def split(batch: Array, limit: int) -> Iterator[Array]:
    """Split a batch into parts of at most `limit` images (0: no limit). Law: `concatenate(split(b, n)) == b`."""
    step = limit or len(batch)
    return (batch[start : start + step] for start in range(0, len(batch), step))


def join(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Join the outputs of the parts of a batch, in order, as read-only arrays."""
    if len(parts) == 1:
        return dict(parts[0])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for array in joined.values():
        array.setflags(write=False)
    return joined


def select_outputs(tensors: Mapping[str, Array], names: Sequence[str], images: int, model: Model) -> dict[str, Array]:
    """Check the tensors of a reply and return the requested outputs, in the requested order.

    Args:
        tensors: The tensors of the reply, by the server's names.
        names: The requested outputs, by the contract's names.
        images: Number of images in the request.
        model: The model.

    Returns:
        The outputs by the contract's names.

    Raises:
        ContractError: If an output is missing, was not requested, or has another type or shape than in the contract.
    """
    extra = sorted(tensors.keys() - {model.served_name(name) for name in names})
    if extra:
        raise _violation(model, f"returned {listed(extra)}, which was not requested")
    return {name: _checked(tensors.get(model.served_name(name)), model.output(name), images, model) for name in names}


def _checked(array: Array | None, spec: TensorSpec, images: int, model: Model) -> Array:
    expected = (images, *spec.shape)
    if array is not None and array.shape == expected and array.dtype == _NUMPY[spec.dtype]:
        return array
    found = "no readable tensor" if array is None else f"{array.dtype} {list(array.shape)}"
    raise _violation(model, f"returned {found} as {spec.name!r}, expected {spec.dtype} {list(expected)}")


def _violation(model: Model, what: str) -> ContractError:
    return ContractError(f"model {model.name!r} {what}", hint=PUBLISH_AGAIN)
