"""Queries with encoded image files, which the server decodes: what `send="files"` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.predictions import check_finite, check_probabilities, top_predictions
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.answers.served_model import Model
from camserve.clients.session import Session
from camserve.clients.steps import Steps, Wait
from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.values import Reply, Request, ServedTensor
from camserve.errors import ContractError, NotLoadedError, UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.files import read_bytes
from camserve.images.loading import OpenedImage
from camserve.tensors import PROBABILITIES

__all__ = ["FileToSend", "Opened", "Sent", "check_sent", "classify_files", "read_file", "takes_files"]

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


def takes_files(request: ClassifyRequest) -> bool:
    """Return whether the server can answer a request for image files, by decoding them as this process would."""
    options = request.decode_options
    simple = not (request.cam or request.crops or request.timings)
    return simple and options == DecodeOptions(exif=options.exif)


def read_file(image: Any, decode_options: DecodeOptions) -> FileToSend:
    """Read an image file.

    Raises:
        ImageError: If it cannot be read, or is too large.
    """
    return FileToSend(read_bytes(image, decode_options.max_bytes)[0])


def classify_files(
    session: Session, exchange: Exchange, files: Sequence[bytes], request: ClassifyRequest
) -> Steps[list[Classification]]:
    """Classify encoded images, which the model `NAME_file` decodes, in one request.

    Args:
        session: The model `NAME`.
        exchange: Sends the requests.
        files: The bytes of the files.
        request: What to return: classes, see `takes_files`.

    Raises:
        ImageError: If the server cannot decode one of the files.
        CamserveError: If there is no answer, or it does not match the contract.
    """
    deadline, name = Deadline(session.timeout), f"{session.name}_file"
    parameters = (("top", int(request.top)), ("exif", request.decode_options.exif))
    content, shape = _serialized(files), (len(files), 1)
    message = Request(name, "", _INPUT, content, _OUTPUTS, shape=shape, parameters=parameters)
    while True:
        try:
            reply = yield from exchange.infer_file(message, deadline=deadline)
        except NotLoadedError as error:
            error.hint = _PUBLISH
            raise
        began = time.perf_counter()
        version = _version(reply, name, len(files))
        answering = yield from session.model_at(exchange, reply.url, version, deadline)
        if answering is not None:
            return _read(reply, answering, request, len(files), began)
        yield from Wait(min(_PAUSE, deadline.remaining()))


def _serialized(files: Sequence[bytes]) -> Any:
    """Return the content of a BYTES tensor: for each element its length in four bytes, and itself."""
    parts = [part for file in files for part in (len(file).to_bytes(4, "little"), file)]
    return np.frombuffer(b"".join(parts), np.uint8)


def _version(reply: Reply, name: str, images: int) -> str:
    found = reply.tensors.get(_VERSION)
    if found is None or found.dtype != np.int64 or found.shape != (images, 1) or (found != found[0, 0]).any():
        raise _violation(name, _VERSION)
    return str(found[0, 0])


def _read(reply: Reply, model: Model, request: ClassifyRequest, images: int, began: float) -> list[Classification]:
    probabilities, index = reply.tensors.get(PROBABILITIES), reply.tensors.get(_INDEX)
    classes = model.contract.classes
    if probabilities is None or probabilities.shape != (images, classes) or probabilities.dtype != np.float32:
        raise _violation(f"{model.name}_file", PROBABILITIES)
    check_finite(probabilities, PROBABILITIES)
    check_probabilities(probabilities, model.contract.activation)
    expected = (images, min(request.top, classes))
    if index is None or index.shape != expected or not all(_are_classes(each, classes) for each in index.tolist()):
        raise _violation(f"{model.name}_file", _INDEX)
    timings = Timings(prepare=0.0, call=reply.seconds, read=time.perf_counter() - began)
    return [
        Classification(
            top=top_predictions(row, best, model.labels, request.top),
            cams=(),
            model=model.name,
            version=model.version,
            url=reply.url,
            timings=timings,
            probabilities=row,
        )
        for row, best in zip(probabilities, index.tolist(), strict=True)
    ]


def _are_classes(index: Sequence[int], classes: int) -> bool:
    return len(set(index)) == len(index) and all(0 <= each < classes for each in index)


def _violation(name: str, output: str) -> ContractError:
    return ContractError(f"model {name!r} returned no valid output {output!r}", hint=_PUBLISH)
