"""Classify chunks of images with the ONNX file of a bundle, in this process and without a server.

Images are prepared, and outputs checked and read, by the code that does it for a server.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from camserve.argument_checks import check_type, check_whole
from camserve.clients.answers.batch_tensors import join, select_outputs, split
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.query import ClassifyRequest, Query, query_classes
from camserve.clients.answers.readout import Answer, read_classes
from camserve.clients.answers.served_model import PUBLISH_AGAIN, Model, Overrides, read_model
from camserve.clients.scoring.bundle_session import BundleSession, open_session
from camserve.clients.wire.messages import ServedModel
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER
from camserve.errors import BundleError, CamserveError, ContractError, ImageError, RequestError, UsageError
from camserve.images.loading import OpenedImage
from camserve.images.memory import enough_memory
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.bundle import Bundle

__all__ = ["BundleAnswerer", "BundleOptions"]

Array = np.ndarray[Any, Any]
Failure = TypeVar("Failure", bound=CamserveError)

_BATCH = 8
"""Most images of a run, as of a published model: on the CPU, larger batches are no faster."""

_EXPORT_AGAIN = "Export the model again: camserve export SOURCE --out BUNDLE"
_DIGITS = 12


@dataclass(frozen=True)
class BundleOptions:
    """A bundle that answers through ONNX Runtime in this process, on the CPU.

    Attributes:
        path: The folder that `camserve export` wrote.
        threads: Threads within an operator (default: 1, which is the fastest if as many chunks are in progress as there
            are cores).

    Raises:
        UsageError: If `path` is not a path, or `threads` is less than 1.
    """

    path: str | Path
    threads: int = 1

    def __post_init__(self) -> None:
        check_type("path", self.path, (str, os.PathLike), "the folder of a bundle")
        check_whole("threads", self.threads)
        if self.threads < 1:
            raise UsageError(f"threads must be at least 1, got {self.threads}", hint="Pass 1 or more threads")

    def open(self) -> BundleAnswerer:
        """Verify the bundle and load its ONNX file.

        Raises:
            BundleError: If it is not a complete bundle, has no ONNX file, or does not match its contract.
            UsageError: If onnxruntime is not installed.
        """
        from camserve.bundle import load_bundle  # noqa: PLC0415  (clients of a server need no bundle)

        return BundleAnswerer(load_bundle(self.path), threads=self.threads)


class BundleAnswerer:
    """Classifies chunks of images with a bundle. May be used from several threads, which share its weights.

    Args:
        bundle: The bundle.
        threads: Threads within an operator.

    Raises:
        BundleError: If the bundle has no ONNX file, or it does not match the contract.
        UsageError: If onnxruntime is not installed.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        session = open_session(bundle, threads)
        self._model = _model_of(bundle, session)
        self._session: BundleSession | None = session

    @property
    def model(self) -> Model:
        """The model of the bundle. Its version is `bundle-` and the start of the checksum of the bundle's manifest."""
        return self._model

    def classify(
        self, images: Sequence[OpenedImage], request: ClassifyRequest
    ) -> Sequence[Classification | CamserveError]:
        """Return the answer for each image, or the error that affects only this image.

        The times in `Classification.timings` are the means of the chunk.

        Raises:
            UsageError: If maps are requested of a model without, or the answerer is closed.
            ContractError: If the outputs do not match the contract.
        """
        began = time.perf_counter()
        outcomes = [_query(image, self._model, request) for image in images]
        prepared = (time.perf_counter() - began) / max(1, len(images))
        queries = [each for each in outcomes if isinstance(each, Query)]
        with _hints_for_bundles():
            answers = iter(self._answers(queries, request, prepared))
        return [next(answers) if isinstance(each, Query) else each for each in outcomes]

    def close(self) -> None:
        """Release the weights, as soon as no run uses them."""
        self._session = None

    def _answers(
        self, queries: Sequence[Query], request: ClassifyRequest, prepared: float
    ) -> list[Classification | CamserveError]:
        """Return the answer to each query; if a run of several fails, each is run by itself."""
        if not queries:
            return []
        began = time.perf_counter()
        try:
            tensors = self._run(np.concatenate([query.batch for query in queries]), queries[0].outputs)
        except RequestError as error:
            if len(queries) == 1:
                return [error]
            return [answer for query in queries for answer in self._answers([query], request, prepared)]
        timings = Timings(prepare=prepared, call=(time.perf_counter() - began) / len(queries), read=0.0)
        ends = np.cumsum([len(query.batch) for query in queries]).tolist()
        return [
            self._read(query, _rows(tensors, end - len(query.batch), end), request, timings)
            for query, end in zip(queries, ends, strict=True)
        ]

    def _run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Run a batch in parts of at most the maximum batch size, and check the outputs."""
        session = self._session
        if session is None:
            raise UsageError(f"the bundle of model {self._model.name!r} is closed", hint="Open it again")
        parts = split(batch, self._model.max_batch_size)
        return join([select_outputs(session.run(part, outputs), outputs, len(part), self._model) for part in parts])

    def _read(
        self, query: Query, tensors: dict[str, Array], request: ClassifyRequest, timings: Timings
    ) -> Classification | CamserveError:
        began = time.perf_counter()
        try:
            result = read_classes(Answer(query, tensors, self._model.version, "", timings), request)
        except RequestError as error:
            return _with_hint(error)
        return replace(result, timings=replace(timings, read=time.perf_counter() - began))


def _rows(tensors: dict[str, Array], start: int, end: int) -> dict[str, Array]:
    return {name: array[start:end] for name, array in tensors.items()}


def _query(image: OpenedImage, model: Model, request: ClassifyRequest) -> Query | ImageError:
    try:
        with enough_memory(image.name):
            return query_classes(image.load, model, request)
    except ImageError as error:
        return error


def _model_of(bundle: Bundle, session: BundleSession) -> Model:
    """Check the tensors of the file against the contract, as those of a served model."""
    name, outputs = bundle.contract.name, {each.name for each in bundle.contract.outputs}
    returned = tuple(each for each in session.outputs if each.name in outputs)  # a server offers no others, either
    parameters = {CONTRACT_PARAMETER: bundle.contract.to_json(), LABELS_PARAMETER: "\n".join(bundle.labels)}
    served = ServedModel(name, _version(bundle), session.inputs, returned, _BATCH, parameters)
    try:
        return read_model(served, Overrides())
    except ContractError as error:
        raise BundleError(f"{printable(bundle.path)}: {error.message}", hint=_EXPORT_AGAIN) from None


def _version(bundle: Bundle) -> str:
    """Return what rows of a table have as version: a checksum of all files, as the folder may be replaced."""
    digest = hashlib.sha256(json.dumps(bundle.files, sort_keys=True).encode()).hexdigest()
    return f"bundle-{digest[:_DIGITS]}"


@contextmanager
def _hints_for_bundles() -> Iterator[None]:
    try:
        yield
    except ContractError as error:
        raise _with_hint(error) from None


def _with_hint(error: Failure) -> Failure:
    """Name the remedy for a bundle instead of that for a published model."""
    if error.hint == PUBLISH_AGAIN:
        error.hint = _EXPORT_AGAIN
    return error
