"""What a server is sent and replies, as values; they depend neither on gRPC nor on Triton's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Reply", "Request", "ServedModel", "ServedTensor", "Statistics"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ServedTensor:
    """A tensor as the server describes it; `shape` includes the batch dimension, and -1 is a variable one."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ServedModel:
    """A version of a model as the server describes it.

    Attributes:
        name: The model.
        version: The version described; empty if the server reports none.
        inputs: Its inputs.
        outputs: Its outputs.
        max_batch_size: Maximum batch size; 0 if the server does not batch.
        parameters: The parameters in its configuration.
    """

    name: str
    version: str
    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]
    max_batch_size: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Request:
    """One batch for a model.

    Attributes:
        model: The model.
        version: Its version; empty for the newest that is served.
        tensor: The input.
        batch: The values, of the data type of `tensor`, batch first.
        outputs: Names of the requested outputs.
        shape: Shape of the input if `batch` contains the bytes of elements of any size (default: that of `batch`).
        parameters: Parameters of the request by name, whole numbers or booleans.
    """

    model: str
    version: str
    tensor: ServedTensor
    batch: Array = field(repr=False)
    outputs: Sequence[str]
    shape: tuple[int, ...] | None = None
    parameters: tuple[tuple[str, int | bool], ...] = ()


@dataclass(frozen=True, eq=False)
class Reply:
    """The reply of a server to a request.

    Attributes:
        version: The version that replied.
        url: The server that replied.
        tensors: The outputs by name, read-only.
        seconds: Duration, from the first attempt on.
        attempts: Number of attempts.
        size: Size of the message, in bytes.
    """

    version: str
    url: str
    tensors: Mapping[str, Array] = field(repr=False)
    seconds: float
    attempts: int
    size: int


@dataclass(frozen=True)
class Statistics:
    """The time that a server has spent on a version since it was loaded; seconds, cumulative.

    Attributes:
        requests: Number of successful requests.
        queue: Time in the queue.
        compute: Time for inputs, inference and outputs.
    """

    requests: int
    queue: float
    compute: float
