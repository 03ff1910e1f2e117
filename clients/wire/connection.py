"""The wire: a thin shell over tritonclient that puts a deadline on every call and a typed error on every failure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException

from camserve.address import check_address
from camserve.errors import ClientError, ConnectionFailedError, DeadlineError, RequestError, UsageError

__all__ = ["CONNECT_TIMEOUT", "Answer", "Connection", "ServedModel", "ServedTensor"]

CONNECT_TIMEOUT = 5.0
"""Seconds within which a server must have answered the first call."""

_NOT_LOADED = re.compile(r"unknown model|no available versions|is not ready", re.IGNORECASE)


@dataclass(frozen=True)
class ServedTensor:
    """A tensor as the server describes it; `shape` includes the batch dimension, and -1 is a free one."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ServedModel:
    """A model as the server describes it. `max_batch_size` is 0 where the server does not batch."""

    name: str
    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]
    max_batch_size: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Answer:
    """The tensors of one request, by name, and the version of the model that made them."""

    version: str
    tensors: Mapping[str, np.ndarray[Any, Any]]


class Connection:
    """One gRPC channel to one server; may be used from several threads.

    Args:
        url: `HOST:PORT` of the server's gRPC endpoint.
        timeout: Deadline of each call, in seconds.
        connect_timeout: Deadline of the calls that find out whether a server and its model are there.
    """

    def __init__(self, url: str, *, timeout: float = 30.0, connect_timeout: float = CONNECT_TIMEOUT) -> None:
        check_address(url)
        _check_timeout(timeout)
        self.url = url
        self._timeout = timeout
        self._connect_timeout = min(connect_timeout, timeout)
        # channel_args would replace all of tritonclient's own, its message limits included.
        self._client: Any = triton.InferenceServerClient(url)
        self._closed = False

    def close(self) -> None:
        """Closes the channel; closing twice changes nothing."""
        self._closed = True
        self._client.close()

    def describe(self, model: str, version: str = "") -> ServedModel:
        """Asks what a model expects, what it answers and with which parameters it was published.

        Raises:
            ConnectionFailedError: If no server answers at this address.
            DeadlineError: If a server does not answer in time.
            RequestError: If the model is not loaded.
        """
        with self._typed_errors(model, version, self._connect_timeout):
            config = self._client.get_model_config(model, version, client_timeout=self._connect_timeout).config
            metadata = self._client.get_model_metadata(model, version, client_timeout=self._connect_timeout)
        return ServedModel(
            name=model,
            inputs=_tensors(metadata.inputs),
            outputs=_tensors(metadata.outputs),
            max_batch_size=int(config.max_batch_size),
            parameters={key: value.string_value for key, value in config.parameters.items()},
        )

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether the server says that it serves the model.

        Raises:
            ConnectionFailedError: If no server answers at this address.
            DeadlineError: If a server does not answer in time.
        """
        with self._typed_errors(model, version, self._connect_timeout):
            return bool(self._client.is_model_ready(model, version, client_timeout=self._connect_timeout))

    def infer(
        self, model: str, version: str, tensor: ServedTensor, batch: np.ndarray[Any, Any], outputs: Sequence[str]
    ) -> Answer:
        """Sends one batch as the input `tensor` and returns those outputs that were asked for and came.

        Raises:
            ConnectionFailedError: If no server answers at this address.
            DeadlineError: If the answer does not come in time.
            RequestError: If the server refuses the request or fails at it.
        """
        asked = triton.InferInput(tensor.name, list(batch.shape), tensor.datatype)
        asked.set_data_from_numpy(batch)
        wanted = [triton.InferRequestedOutput(name) for name in outputs]
        with self._typed_errors(model, version, self._timeout):
            result = self._client.infer(model, [asked], version, outputs=wanted, client_timeout=self._timeout)
        return Answer(str(result.get_response().model_version), _arrays(result, outputs))

    @contextmanager
    def _typed_errors(self, model: str, version: str, seconds: float) -> Iterator[None]:
        if self._closed:
            raise UsageError(f"the connection to {self.url} is closed", hint="Make a new Classifier")
        subject = f"model {model!r}" + (f" version {version}" if version else "") + f" at {self.url}"
        try:
            yield
        except InferenceServerException as error:
            raise _typed(error, subject, self.url, seconds, may_be_raised=seconds >= self._timeout) from error


def _check_timeout(timeout: float) -> None:
    if not (timeout > 0 and math.isfinite(timeout)):
        raise UsageError(f"a timeout of {timeout} seconds makes no sense", hint="Give a positive number of seconds")


def _tensors(described: Any) -> tuple[ServedTensor, ...]:
    return tuple(ServedTensor(str(each.name), str(each.datatype), tuple(each.shape)) for each in described)


def _arrays(result: Any, names: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The outputs that came; whose bytes do not fill their shape is left out, as if it had not come."""
    arrays = {}
    for name in names:
        try:
            array = result.as_numpy(name)
        except ValueError:
            continue
        if array is not None:
            arrays[name] = array
    return arrays


def _typed(error: Any, subject: str, url: str, seconds: float, *, may_be_raised: bool) -> ClientError:
    status = str(error.status() or "").removeprefix("StatusCode.")
    why = " ".join(str(error.message() or "no reason given").split())
    if _NOT_LOADED.search(why) or status == "NOT_FOUND":
        return RequestError(
            f"{subject} is not loaded: {why}", hint="Check the name, and that the model was published and is ready"
        )
    if status == "DEADLINE_EXCEEDED":
        return DeadlineError(
            f"{subject} gave no answer within {seconds:g} s",
            hint="Check that the server runs and is not overloaded"
            + (", or allow more time (timeout; --timeout at the command line)" if may_be_raised else ""),
        )
    if status in ("UNAVAILABLE", "UNIMPLEMENTED"):
        return ConnectionFailedError(
            f"no Triton server answers at {url}: {why}",
            hint="Start it, and give the address of its gRPC port (8001 unless set otherwise)",
        )
    return RequestError(
        f"{subject} refused the request: {why} ({status or 'in the client'})", hint="The server's log may say more"
    )
