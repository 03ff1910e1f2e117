"""Queries with encoded image files, which the server decodes: what `send="files"` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.predictions import top_predictions
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.answers.served_model import Model
from camserve.clients.session import Session
from camserve.clients.steps import Steps, Wait
from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.values import Reply, Request, ServedTensor
from camserve.errors import ContractError, NotLoadedError, UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.files import is_file_input, read_bytes
from camserve.images.loading import OpenedImage
from camserve.tensors import PROBABILITIES

__all__ = ["FileToSend", "Opened", "Sent", "check_sent", "classify_file", "read_file", "takes_files"]

Sent = Literal["pixels", "files"]
"""What is sent of an image file."""

_INPUT = ServedTensor("image_file", "BYTES", (-1, 1))
_INDEX, _VERSION = "index", "version"
_PAUSE = 0.05
_OUTPUTS = (_INDEX, PROBABILITIES, _VERSION)
_PUBLISH = "Publish it with: camserve publish BUNDLE --repository DIR --image-files"


@dataclass(frozen=True)
class FileToSend:
    """The bytes of an image file that is sent as it is."""

    data: bytes

    @property
    def decoded_bytes(self) -> int:
        """Memory that it takes in this process."""
        return len(self.data)


Opened = OpenedImage | FileToSend
"""An image of a stream, as far as it is read before it is its turn."""


def check_sent(send: object, decode_options: DecodeOptions, *, pinned: bool) -> None:
    """Check what a classifier sends.

    Raises:
        UsageError: If it is unknown, or the server cannot decode as requested, or answer with a requested version.
    """
    if send not in get_args(Sent):
        raise UsageError(f"unknown send {send!r}", hint=f"Choose one of {', '.join(get_args(Sent))}")
    if send == "files" and pinned:
        raise UsageError(
            "send='files' gets answers of the newest version, but a version is requested",
            hint="Leave out version and pin_version, or send='files'",
        )
    if send == "files" and decode_options != DecodeOptions(exif=decode_options.exif):
        raise UsageError(
            "send='files' decodes in the server, with its own limits and decoder",
            hint="Leave out max_bytes, max_pixels and fast_jpeg of decode_options, or send='files'",
        )


def takes_files(image: object, request: ClassifyRequest) -> bool:
    """Return whether an image is sent as a file."""
    return is_file_input(image) and not (request.cam or request.crops or request.timings)


def read_file(image: Any, decode_options: DecodeOptions) -> FileToSend:
    """Read an image file.

    Raises:
        ImageError: If it cannot be read, or is too large.
    """
    return FileToSend(read_bytes(image, decode_options.max_bytes)[0])


def classify_file(
    session: Session, exchange: Exchange, file: FileToSend, request: ClassifyRequest
) -> Steps[Classification]:
    """Classify an encoded image, which the model `NAME_file` decodes.

    Args:
        session: The model `NAME`.
        exchange: Sends the requests.
        file: The file.
        request: What to return: classes, without maps, crops or the server's share of the time.

    Raises:
        ImageError: If the server cannot decode the file.
        CamserveError: If there is no answer, or it does not match the contract.
    """
    deadline, name = Deadline(session.timeout), f"{session.name}_file"
    parameters = (("top", int(request.top)), ("exif", request.decode_options.exif))
    message = Request(name, "", _INPUT, _serialized(file.data), _OUTPUTS, shape=(1, 1), parameters=parameters)
    while True:
        try:
            reply = yield from exchange.infer_file(message, deadline=deadline)
        except NotLoadedError as error:
            error.hint = _PUBLISH
            raise
        began = time.perf_counter()
        version = _version(reply, name)
        answering = yield from session.model_at(exchange, reply.url, version, deadline)
        if answering is not None:
            return _read(reply, answering, request, began)
        yield from Wait(min(_PAUSE, deadline.remaining()))


def _serialized(file: bytes) -> Any:
    """Return the content of a BYTES tensor of one element: its length in four bytes, and itself."""
    return np.frombuffer(len(file).to_bytes(4, "little") + file, np.uint8)


def _version(reply: Reply, name: str) -> str:
    found = reply.tensors.get(_VERSION)
    if found is None or found.dtype != np.int64 or found.shape != (1, 1):
        raise _violation(name, _VERSION)
    return str(found[0, 0])


def _read(reply: Reply, model: Model, request: ClassifyRequest, began: float) -> Classification:
    probabilities, index = reply.tensors.get(PROBABILITIES), reply.tensors.get(_INDEX)
    classes = model.contract.classes
    if probabilities is None or probabilities.shape != (1, classes) or probabilities.dtype != np.float32:
        raise _violation(f"{model.name}_file", PROBABILITIES)
    if index is None or index.shape != (1, min(request.top, classes)) or not _are_classes(index[0].tolist(), classes):
        raise _violation(f"{model.name}_file", _INDEX)
    return Classification(
        top=top_predictions(probabilities[0], index[0].tolist(), model.labels, request.top),
        cams=(),
        model=model.name,
        version=model.version,
        url=reply.url,
        timings=Timings(prepare=0.0, call=reply.seconds, read=time.perf_counter() - began),
        probabilities=probabilities[0],
    )


def _are_classes(index: Sequence[int], classes: int) -> bool:
    return len(set(index)) == len(index) and all(0 <= each < classes for each in index)


def _violation(name: str, output: str) -> ContractError:
    return ContractError(f"model {name!r} returned no valid output {output!r}", hint=_PUBLISH)
