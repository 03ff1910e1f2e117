"""Classify chunks of images with the ONNX file of a bundle, in this process and without a server.

Images are prepared, and outputs checked and read, by the code that does it for a server.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from camserve.argument_checks import check_type
from camserve.clients.answers.batch_tensors import split
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.image_batch import ImageBatch, NoImageLeftError
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.answers.readout import Answer, validate_replies
from camserve.clients.answers.served_model import PUBLISH_AGAIN, Model, Overrides, read_model
from camserve.clients.scoring.bundle_session import BundleSession, open_session
from camserve.clients.wire.values import Reply, ServedModel
from camserve.contract import CONTRACT_PARAMETER, LABELS_PARAMETER
from camserve.errors import BundleError, CamserveError, ContractError, ImageError, RequestError, UsageError
from camserve.images.loading import OpenedImage
from camserve.images.memory import enough_memory
from camserve.text import printable

if TYPE_CHECKING:
    from camserve.bundle import Bundle

__all__ = ["BundleAnswerer", "BundleOptions"]

_log = logging.getLogger("camserve.clients")

Result = TypeVar("Result")

_BATCH = 8
"""Most images of a run, as of a published model: on the CPU, larger batches are no faster."""

_EXPORT_AGAIN = "Export the model again: camserve export SOURCE --out BUNDLE"
_DIGITS = 12


@dataclass(frozen=True)
class BundleOptions:
    """A bundle that answers through ONNX Runtime, or in bf16 through OpenVINO, in this process, on the CPU.

    Attributes:
        path: The folder that `camserve export` wrote.
        version: The version that it must have, as worker processes must have that of their coordinator (default: any).

    Raises:
        UsageError: If `path` is not a path.
    """

    path: str | Path
    version: str | None = None

    def __post_init__(self) -> None:
        check_type("path", self.path, (str, os.PathLike), "the folder of a bundle")

    def open(self) -> BundleAnswerer:
        """Verify the bundle and load its ONNX file.

        Raises:
            BundleError: If it is not a complete bundle, has no ONNX file, does not match its contract, or has another
                version.
            UsageError: If what computes it is not installed.
        """
        from camserve.bundle import load_bundle  # noqa: PLC0415  (clients of a server need no bundle)

        answerer = BundleAnswerer(load_bundle(self.path))
        if self.version not in (None, answerer.model.version):
            raise BundleError(
                f"{printable(self.path)} was replaced: its version is {answerer.model.version}, and was {self.version}",
                hint="Score again with one bundle",
            )
        return answerer

    def for_workers(self, model: Model) -> BundleOptions:
        """Return the options for worker processes, which require the same bundle, from any folder."""
        return replace(self, path=Path(self.path).absolute(), version=model.version)


class BundleAnswerer:
    """Classifies chunks of images with a bundle. May be used from several threads, which share its weights.

    Args:
        bundle: The bundle.

    Raises:
        BundleError: If the bundle has no ONNX file, or it does not match the contract.
        UsageError: If what computes it is not installed.
    """

    def __init__(self, bundle: Bundle) -> None:
        session = open_session(bundle)
        self._model = _model_of(bundle, session)
        self._session: BundleSession | None = session
        self._has_split = False

    @property
    def model(self) -> Model:
        """The model of the bundle. Its version is `bundle-` and the start of the checksum of the bundle's manifest."""
        return self._model

    def classify(
        self, images: Sequence[OpenedImage], request: ClassifyRequest
    ) -> Sequence[Classification | CamserveError]:
        """Return the answer for each image, or the error that affects only this image.

        All images are in one batch; with crops, those of each image. If it cannot be run, each image is run
        by itself.

        Raises:
            UsageError: If maps are requested of a model without, or the answerer is closed.
            ContractError: If the outputs do not match the contract.
        """
        if request.crops is None and len(images) > 1:
            try:
                return self._together(images, request)
            except (RequestError, ImageError) as error:  # such as not enough memory for all: some may succeed
                if not self._has_split:
                    self._has_split = True
                    _log.warning("images that cannot be run together are run one by one, slower: %s", error.message)
        return [self._alone(image, request) for image in images]

    def close(self) -> None:
        """End the work on chunks before their next image, and release the weights when no run uses them."""
        self._session = None

    def _alone(self, image: OpenedImage, request: ClassifyRequest) -> Classification | CamserveError:
        try:
            return self._together([image], request)[0]
        except (RequestError, ImageError) as error:
            return _with_hint(error)

    def _together(
        self, images: Sequence[OpenedImage], request: ClassifyRequest
    ) -> Sequence[Classification | CamserveError]:
        batch = ImageBatch(images, request, self._check_open)
        with enough_memory("the images of a batch"):
            try:
                return [_with_hint(each) for each in batch.results(self._answer(batch))]
            except NoImageLeftError:
                return batch.results(None)
            except ContractError as error:
                raise _with_hint(error) from None

    def _answer(self, batch: ImageBatch) -> Answer:
        began = time.perf_counter()
        query = batch.query(self._model)
        prepared = time.perf_counter()
        parts = split(query.batch, self._model.max_batch_size)
        session = self._check_open()
        outputs = [session.run(part, query.outputs) for part in parts]
        timings = Timings(prepare=prepared - began, call=time.perf_counter() - prepared, read=0.0)
        replies = [Reply(self._model.version, "", each, timings.call, attempts=1, size=0) for each in outputs]
        return validate_replies(query, replies, timings)

    def _check_open(self) -> BundleSession:
        session = self._session
        if session is None:
            raise UsageError(f"the bundle of model {self._model.name!r} is closed", hint="Open it again")
        return session


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


def _with_hint(result: Result) -> Result:
    """Let an error name the remedy for a bundle instead of that for a published model."""
    if isinstance(result, CamserveError) and result.hint == PUBLISH_AGAIN:
        result.hint = _EXPORT_AGAIN
    return result
