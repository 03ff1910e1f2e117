"""Tensors on their way out and in: refused where they are not what the contract says, split and joined again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from camserve.clients.answers.served_model import Model
from camserve.contract import TensorSpec
from camserve.errors import ContractError, UsageError
from camserve.tensors import DATA_TYPES

__all__ = ["check_batch", "join", "outputs_of", "split"]

Array = np.ndarray[Any, Any]

_NUMPY = {name: np.dtype(dtype.numpy) for name, dtype in DATA_TYPES.items()}


def check_batch(batch: object, model: Model) -> None:
    """Refuses a batch that the server would refuse, or that holds no numbers.

    Raises:
        UsageError: If type, byte order or shape are not the input's, the batch is empty, or holds NaN or infinity.
    """
    spec = model.contract.input
    if not isinstance(batch, np.ndarray):
        raise UsageError(f"a batch is a numpy array, and not {type(batch).__name__}", hint="Give numpy.asarray(batch)")
    if batch.dtype != _NUMPY[spec.dtype] or batch.shape[1:] != spec.shape or batch.size == 0:
        raise UsageError(
            f"a batch of {batch.dtype} {list(batch.shape)} does not fit the input of model {model.name!r}",
            hint=f"Give {_NUMPY[spec.dtype]} of shape [images, {', '.join(map(str, spec.shape))}]",
        )
    if batch.dtype == np.float32 and not _is_finite(batch):
        raise UsageError("the batch holds NaN or infinity", hint="Check how the images were prepared")


def _is_finite(batch: Array) -> bool:
    """Whether there is neither NaN nor infinity in it."""
    if batch.flags.c_contiguous:
        # Either would be left over in the sum of squares, which needs no array of its own; so may very large numbers.
        flat = batch.reshape(-1)
        with np.errstate(all="ignore"):
            if np.isfinite(np.dot(flat, flat)):
                return True
    return bool(np.isfinite(batch).all())


def split(batch: Array, limit: int) -> Iterator[Array]:
    """The batch in parts of at most `limit` images; whole where that is 0. Law: `concatenate(split(b, n)) == b`."""
    step = limit or len(batch)
    return (batch[start : start + step] for start in range(0, len(batch), step))


def join(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The outputs of a batch from those of its parts, in order, and as read-only. Law: with `split`, whole again."""
    if len(parts) == 1:
        return dict(parts[0])
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for array in joined.values():
        array.setflags(write=False)
    return joined


def outputs_of(tensors: Mapping[str, Array], names: Sequence[str], count: int, model: Model) -> dict[str, Array]:
    """The outputs asked for, by the contract's names and in the order asked for.

    Args:
        tensors: What came, by the server's names, in any order.
        names: What was asked for, by the contract's names.
        count: Number of images.
        model: The model asked.

    Raises:
        ContractError: If one did not come or came in another type or shape than promised, or one came that was not
            asked for.
    """
    extra = sorted(tensors.keys() - {model.served_name(name) for name in names})
    if extra:
        raise _broken(model, f"answered {', '.join(map(repr, extra))}, which was not asked for")
    return {name: _checked(tensors.get(model.served_name(name)), model.output(name), count, model) for name in names}


def _checked(array: Array | None, spec: TensorSpec, count: int, model: Model) -> Array:
    expected = (count, *spec.shape)
    if array is not None and array.shape == expected and array.dtype == _NUMPY[spec.dtype]:
        return array
    found = "nothing that can be read" if array is None else f"{array.dtype} {list(array.shape)}"
    raise _broken(model, f"answered {found} as {spec.name!r}, promised {spec.dtype} {list(expected)}")


def _broken(model: Model, what: str) -> ContractError:
    return ContractError(f"model {model.name!r} {what}", hint="Publish the model again from its bundle")
