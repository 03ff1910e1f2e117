"""Classify encoded image files inside a server: what the model `NAME_file` does for the model `NAME`.

It runs in Triton, from a copy in the model repository, and consists of the code that decodes, preprocesses and reads
answers in the client, so that both give the same classes and maps. It needs NumPy, Pillow and pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camserve.argument_checks import check_type
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.image_batch import ImageBatch, NoImageLeftError
from camserve.clients.answers.map_drawing import draw_map, encode_png
from camserve.clients.answers.query import ClassifyRequest, Query
from camserve.clients.answers.readout import validate_replies
from camserve.clients.answers.served_model import Model, Overrides, read_model
from camserve.clients.wire.values import Reply, ServedModel, ServedTensor
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER, ModelContract
from camserve.errors import CamserveError, RequestError, UsageError
from camserve.images.base64_text import from_base64, is_base64_text, to_base64
from camserve.images.decode_options import DecodeOptions
from camserve.images.loading import OpenedImage, open_image
from camserve.tensors import CAM, CAM_CLASS, PROBABILITIES
from camserve.text import listed

__all__ = [
    "ALWAYS",
    "FileRequest",
    "ImageFileModel",
    "Infer",
    "ModelContract",
    "RequestError",
    "read_request",
]

Array = np.ndarray[Any, Any]
Infer = Callable[[Array, Sequence[str]], Mapping[str, Array]]
"""Runs the model on a batch and returns the outputs with these names."""

LABEL, PROBABILITY, INDEX, VERSION, OVERLAY = "label", "probability", "index", "version", "overlay"
ALWAYS = (LABEL, PROBABILITY, INDEX, VERSION)
"""The outputs that a request gets which names none: others are large, and cost time."""

_BY_PARAMETER = {"probabilities": (PROBABILITIES,), "maps": (CAM, CAM_CLASS), "overlay": (OVERLAY,)}
_SWITCHES = (*_BY_PARAMETER, "exif")


@dataclass(frozen=True)
class FileRequest:
    """What to return for the image files of a request.

    Attributes:
        outputs: Names of the outputs.
        top: Number of classes.
        exif: Whether to turn images upright, as their EXIF data says.
    """

    outputs: tuple[str, ...]
    top: int = 5
    exif: bool = False


def read_request(requested: Sequence[str], outputs: Sequence[str], parameters: Mapping[str, Any]) -> FileRequest:
    """Read the parameters of a request.

    A request that names no outputs cannot be told from one that names all: both get those of `ALWAYS`, and those that
    the parameters `probabilities`, `maps` and `overlay` select.

    Args:
        requested: Names of the requested outputs.
        outputs: Names of all outputs.
        parameters: The parameters of the request.

    Raises:
        UsageError: If a parameter is unknown or has another type.
    """
    unknown = sorted(parameters.keys() - {"top", *_SWITCHES})
    if unknown:
        raise UsageError(
            f"unknown {'parameter' if len(unknown) == 1 else 'parameters'} {listed(unknown)}",
            hint=f"Use top, {', '.join(_SWITCHES[:-1])} or {_SWITCHES[-1]}",
        )
    for name in _SWITCHES:
        check_type(name, parameters.get(name, False), bool, "true or false")
    chosen = ALWAYS if set(requested) >= set(outputs) else tuple(requested)
    added = [each for name, names in _BY_PARAMETER.items() if parameters.get(name) for each in names]
    missing = sorted(set(added) - set(outputs))
    if missing:
        raise UsageError(f"the model has no {missing[0]}", hint="Export it without --no-cam to get maps")
    return FileRequest(
        tuple(dict.fromkeys((*chosen, *added))),
        **{name: parameters[name] for name in ("top", "exif") if name in parameters},
    )


class ImageFileModel:
    """The model `NAME_file`.

    Args:
        contract: The contract of the model `NAME`.
        labels: The text of its labels, one line for each class.
        version: Its version.
        infer: Runs that model.
    """

    def __init__(self, contract: ModelContract, labels: str, version: str, infer: Infer) -> None:
        self._infer = infer
        self._model = _model(contract, labels, version)

    def answer(
        self, requests: Sequence[tuple[Sequence[bytes], FileRequest]]
    ) -> list[Mapping[str, Array] | CamserveError]:
        """Answer several requests with one batch.

        Args:
            requests: The image files, or their base64 text, and what to return for each.

        Returns:
            For each request its outputs, images first, or its error, which concerns no other request.
        """
        prepared = [self._prepare(files, request) for files, request in requests]
        queries = [each.query for each in prepared if isinstance(each, _Prepared)]
        if not queries:
            return [each for each in prepared if isinstance(each, CamserveError)]
        names = tuple(dict.fromkeys(name for query in queries for name in query.outputs))
        try:
            tensors = self._infer(np.concatenate([query.batch for query in queries]), names)
        except CamserveError as error:
            return [each if isinstance(each, CamserveError) else error for each in prepared]
        results: list[Mapping[str, Array] | CamserveError] = []
        start = 0
        for each in prepared:
            if isinstance(each, CamserveError):
                results.append(each)
                continue
            part = slice(start, start + len(each.query.batch))
            start = part.stop
            results.append(each.read({name: tensors[name][part] for name in each.query.outputs}))
        return results

    def _prepare(self, files: Sequence[bytes], request: FileRequest) -> _Prepared | CamserveError:
        try:
            return _prepare(files, request, self._model)
        except CamserveError as error:
            return error


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A request whose images were decoded and preprocessed."""

    files: Sequence[bytes]
    as_text: Sequence[bool]
    request: FileRequest
    batch: ImageBatch
    query: Query

    def read(self, tensors: Mapping[str, Array]) -> Mapping[str, Array] | CamserveError:
        """Return the outputs of the request from those of the model."""
        model = self.query.model
        reply = Reply(model.version, "", tensors, 0.0, 1, 0)
        try:
            results = self.batch.results(validate_replies(self.query, [reply], Timings(0.0, 0.0, 0.0)))
            answers = [_or_raise(each) for each in results]
            return {name: self._output(name, answers) for name in self.request.outputs}
        except CamserveError as error:  # of the model: callers must not take it for one of their file
            return RequestError(error.message, hint=error.hint)

    def _output(self, name: str, answers: Sequence[Classification]) -> Array:
        if name == OVERLAY:
            overlays = zip(answers, self.files, self.as_text, strict=True)
            return np.array([[_overlay(*each)] for each in overlays], np.object_)
        read, dtype = _READ[name]
        return np.array([read(answer) for answer in answers], dtype)


_READ: Mapping[str, tuple[Callable[[Classification], Any], Any]] = {
    LABEL: (lambda answer: [each.label.encode() for each in answer.top], np.object_),
    PROBABILITY: (lambda answer: [each.probability for each in answer.top], np.float32),
    INDEX: (lambda answer: [each.index for each in answer.top], np.int32),
    VERSION: (lambda answer: [int(answer.version)], np.int64),
    PROBABILITIES: (lambda answer: answer.probabilities, np.float32),
    CAM: (lambda answer: [cam.grid for cam in answer.cams], np.float32),
    CAM_CLASS: (lambda answer: [cam.index for cam in answer.cams], np.int32),
}
"""By output, how it is read from the answer for an image, and its data type."""


def _prepare(files: Sequence[bytes], request: FileRequest, model: Model) -> _Prepared:
    decode_options = DecodeOptions(exif=request.exif)
    as_text = [is_base64_text(file) for file in files]
    binary = [
        from_base64(file, decode_options.max_bytes) if text else file for file, text in zip(files, as_text, strict=True)
    ]
    cam = not {CAM, CAM_CLASS, OVERLAY}.isdisjoint(request.outputs)
    opened = [_open(file, place, len(files), decode_options) for place, file in enumerate(binary)]
    batch = ImageBatch(opened, ClassifyRequest(top=request.top, cam=cam, decode_options=decode_options))
    try:
        query = batch.query(model)
    except NoImageLeftError:
        raise batch.errors[0] from None
    if batch.errors:
        raise next(iter(batch.errors.values()))
    return _Prepared(binary, as_text, request, batch, _own(query))


def _own(query: Query) -> Query:
    """Copy the batch of a query, which is valid only until this thread makes the next one."""
    return Query(query.model, query.batch.copy(), query.outputs, query.views)


def _open(file: bytes, place: int, count: int, decode_options: DecodeOptions) -> OpenedImage:
    name = f"image {place + 1} of {count}" if count > 1 else None
    return open_image(file, decode_options, name=name)


def _or_raise(result: Classification | CamserveError) -> Classification:
    if isinstance(result, CamserveError):
        raise result
    return result


def _overlay(answer: Classification, file: bytes, as_text: bool) -> bytes:
    """Return the map of the best class over the image, as a PNG file, or its base64 text if the image came as text."""
    png = encode_png(draw_map(answer.cams[0], file), {})
    return to_base64(png) if as_text else png


def _model(contract: ModelContract, labels: str, version: str) -> Model:
    def tensor(spec: Any) -> ServedTensor:
        return ServedTensor(spec.name, spec.dtype, (-1, *spec.shape))

    served = ServedModel(
        name=contract.name,
        version=version,
        inputs=(tensor(contract.input),),
        outputs=tuple(map(tensor, contract.outputs)),
        max_batch_size=0,
        parameters={CONTRACT_PARAMETER: contract.to_json(), LABELS_PARAMETER: labels},
    )
    return read_model(served, Overrides())
