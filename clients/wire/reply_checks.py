"""Checks of what a server sends, before memory is allocated for it: names, versions, and the shapes of tensors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from camserve.clients.wire.failures import CallFailed, InvalidReply
from camserve.text import listed, shortened

__all__ = [
    "check_max_batch_size",
    "check_model",
    "read_array",
    "read_names",
    "read_version",
    "reading",
]

Array = np.ndarray[Any, Any]

_DTYPES = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_VERSION_CHARACTERS = 64
"""Triton's versions are integers of at most 19 digits; other servers have names."""

_NAME_CHARACTERS = 1_000
_MOST_TENSORS = 1_000
_MOST_DIMENSIONS = 16
_LARGEST_MESSAGE = 2**31 - 1
_SHOWN = 60


@contextmanager
def reading() -> Iterator[None]:
    """Raise what fails while a reply is read as `CallFailed`: what the checks below miss is still the server's fault.

    Raises:
        CallFailed: If it is not a message of Triton's protocol, or cannot be read.
    """
    try:
        yield
    except DecodeError:
        raise CallFailed("UNIMPLEMENTED", "the reply is not a message of Triton's protocol") from None
    except MemoryError:
        raise InvalidReply("it does not fit into memory") from None
    except (ArithmeticError, ValueError, RecursionError) as error:
        raise InvalidReply(f"it cannot be read: {error}") from error


def check_model(name: str, requested: str) -> None:
    """Check that a reply is about the requested model; some servers do not name it.

    Raises:
        InvalidReply: If it is about another one.
    """
    if name not in ("", requested):
        raise InvalidReply(f"it is about model '{shortened(name, _SHOWN)}'")


def read_version(version: str, requested: str = "") -> str:
    """Return the version of a model, which may be empty or any short text: a proxy may send anything.

    Raises:
        InvalidReply: If it is longer, is not printable, or is not the requested one.
    """
    if len(version) > _VERSION_CHARACTERS or not version.isprintable():
        raise InvalidReply(f"its version is '{shortened(version, _SHOWN)}'")
    if requested and version not in ("", requested):
        raise InvalidReply(f"it is from version {version}")
    return version


def check_max_batch_size(size: int) -> int:
    """Return the maximum batch size of a model; 0 means that the server does not batch.

    Raises:
        InvalidReply: If it is negative.
    """
    if size < 0:
        raise InvalidReply(f"max_batch_size is {size}")
    return size


def read_names(tensors: Sequence[Any], kind: str) -> list[str]:
    """Return the names of described tensors.

    Raises:
        InvalidReply: If there are too many, a name is too long, two are equal, or a shape has too many dimensions.
    """
    if len(tensors) > _MOST_TENSORS:
        raise InvalidReply(f"it has {len(tensors):,} {kind}s, more than {_MOST_TENSORS:,}")
    names = []
    for tensor in tensors:
        names.append(tensor.name)
        if len(tensor.name) > _NAME_CHARACTERS or len(tensor.datatype) > _NAME_CHARACTERS:
            raise InvalidReply(f"the name or data type of {kind} '{shortened(tensor.name, _SHOWN)}' is too long")
        if len(tensor.shape) > _MOST_DIMENSIONS:
            raise InvalidReply(f"{kind} '{shortened(tensor.name, _SHOWN)}' has {len(tensor.shape):,} dimensions")
    if len(set(names)) < len(names):
        several = [name for name, number in Counter(names).items() if number > 1]
        raise InvalidReply(f"it contains several tensors for {kind} {listed(several)}")
    return names


def read_array(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """Return an output as a read-only view of its bytes.

    Raises:
        InvalidReply: If its data type is unknown or has no fixed size, or its bytes do not match its shape.
    """
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise InvalidReply(f"{_what(name)} has the unsupported data type '{shortened(datatype, _SHOWN)}'")
    sides = tuple(shape)
    expected = math.prod(sides) * dtype.itemsize
    # A dimension of 0 hides the others from the number of bytes, but not from NumPy.
    largest = expected or math.prod(max(1, side) for side in sides) * dtype.itemsize
    if min(sides, default=0) < 0 or largest > _LARGEST_MESSAGE:
        raise InvalidReply(f"{_what(name)} has the impossible shape {list(sides)}")
    if len(raw) != expected:
        raise InvalidReply(f"{_what(name)} of {datatype} {list(sides)} has {len(raw):,} bytes instead of {expected:,}")
    return np.frombuffer(raw, dtype).reshape(sides)


def _what(name: str) -> str:
    return f"output '{shortened(name, _SHOWN)}'"
