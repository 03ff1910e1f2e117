"""What `Classifier` and `AsyncClassifier` share: all but the waiting."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.map_selection import class_index
from camserve.clients.answers.query import ClassifyRequest, query_batch, query_classes, query_logits
from camserve.clients.answers.readout import read_classes, read_logits, read_map
from camserve.clients.arguments import check_arguments, overrides_of, parse_version
from camserve.clients.batches import affects_one_image
from camserve.clients.file_queries import FileToSend, Opened, Sent, check_sent, classify_files, read_file, takes_files
from camserve.clients.observing.metrics import Metrics
from camserve.clients.observing.monitor import Monitor
from camserve.clients.session import Session
from camserve.clients.steps import Steps, Work
from camserve.clients.wire.connection_options import Compression, ConnectionOptions, MemorySharing, parse_urls
from camserve.clients.wire.exchange import Exchange
from camserve.contract import ModelContract
from camserve.errors import CamserveError
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.images.files import is_file_input
from camserve.images.loading import ImageInput, OpenedImage, open_image
from camserve.images.memory import enough_memory, not_enough_memory
from camserve.images.preprocess import fit_image, to_tensor
from camserve.labels import LabelSource
from camserve.tls import ClientTls

__all__ = ["BaseClassifier"]

Array = np.ndarray[Any, Any]

_QUICK_BYTES = 2**22
"""Size of a batch that is checked faster than another thread would start."""


class BaseClassifier(ABC):
    """A served image classifier.

    Args:
        url: `HOST:PORT` of Triton's gRPC endpoint; several, as a sequence or separated by commas, for servers of the
            same models with load balancing and failover.
        model: Name of the model.
        version: Version of the model (default: the newest that is served).
        pin_version: Whether all answers must be from one version: the one that is served when the classifier connects,
            even if a newer one is loaded later. If it is unloaded, calls fail with a NotLoadedError.
        timeout: Deadline of each call once its image is preprocessed, over all attempts and parts, in seconds.
        connect_timeout: Deadline for reading the model from a server, in seconds; at most `timeout`.
        retries: Maximum number of retries after a lost connection or an unavailable server, 0 to 5 (default: 5, and
            a server that replied before and restarts is waited for until the deadline).
        tls: TLS certificates (default: no encryption).
        token: Sent as `authorization: Bearer ...`; requires TLS unless the server is on this host.
        headers: Further headers of every request, such as an API key; names in lower case.
        compression: Compression of the messages sent: `none`, `gzip` or `deflate`.
        shared_memory: Whether to pass input tensors in shared memory; the server must be on this host and allow it.
            "auto": only to servers that do.
        send: What is sent of an image file: `pixels`, which this process decodes and resizes, or `files`: the file,
            which the model `NAME_file` decodes in the server (`camserve publish --image-files`). Images that are not
            files, and calls with maps, crops or timings, send pixels.
        decode_options: How image files are decoded: EXIF orientation and size limits.
        metrics: Prometheus metrics to update.
        contract: The model's contract, or the path of a `contract.json`, for a model without one in its configuration.
        labels: The label of each class, in any form that `export_model` takes, for a model without labels in its
            configuration.
        names: The model's own tensor names by the names of the contract, where they differ:
            `{"image": "input_1", "probabilities": "predictions"}`.

    Raises:
        UsageError: If an option is invalid.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str,
        *,
        version: str | int = "",
        pin_version: bool = False,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        retries: int | None = None,
        tls: ClientTls | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: Compression = "none",
        shared_memory: MemorySharing = False,
        send: Sent = "pixels",
        decode_options: DecodeOptions = AS_KERAS,
        metrics: Metrics | None = None,
        contract: ModelContract | str | Path | None = None,
        labels: LabelSource | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        check_arguments(
            url=url,
            model=model,
            pin_version=pin_version,
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            tls=tls,
            token=token,
            headers=headers,
            shared_memory=shared_memory,
            decode_options=decode_options,
            metrics=metrics,
            contract=contract,
            names=names,
        )
        check_sent(send, decode_options, pinned=pin_version or version != "")
        options = ConnectionOptions(
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            tls=tls,
            token=token,
            headers=headers or {},
            compression=compression,
            shared_memory=shared_memory,
        )
        self.urls = parse_urls(url)
        self.model = model
        self._decode_options = decode_options
        self._send_files = send == "files"
        overrides = overrides_of(contract, labels, names)
        self._session = Session(model, parse_version(version), self.urls, overrides, options, pin_version=pin_version)
        self._open(options, Monitor(metrics=metrics))

    @abstractmethod
    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        """Create the transport."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({','.join(self.urls)!r}, {self.model!r})"

    @property
    def decode_options(self) -> DecodeOptions:
        """How image files are decoded."""
        return self._decode_options

    @property
    def contract(self) -> ModelContract:
        """The contract of the model; it changes if a hot swap changes it."""
        return self._session.model.contract

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class, in class order."""
        return tuple(label.name for label in self._session.model.labels)

    def class_index(self, class_: int | str) -> int:
        """Return the index of a class, given by its label, its identifier in the data set, or the index itself.

        Raises:
            UsageError: If the class is unknown, or several classes have the label.
        """
        return class_index(self._session.model, class_)

    def _open_image(self, image: ImageInput, request: ClassifyRequest) -> Opened:
        """Read the file of an image and, unless it is sent as it is, its header."""
        if self._sends_file(image, request):
            return read_file(image, request.decode_options)
        return open_image(image, request.decode_options)

    def _sends_file(self, image: object, request: ClassifyRequest) -> bool:
        return self._send_files and is_file_input(image) and takes_files(request)

    def _classify_steps(
        self, exchange: Exchange, image: ImageInput | Opened, request: ClassifyRequest
    ) -> Steps[Classification]:
        if self._sends_file(image, request):
            image = yield from Work(lambda: read_file(image, request.decode_options))
        if isinstance(image, FileToSend):
            (result,) = yield from classify_files(self._session, exchange, [image.data], request)
            return result
        source = _ImageSource(image, request.decode_options)
        with source.enough_memory():
            answer = yield from self._session.query(
                exchange, lambda model: query_classes(source.load, model, request), timed=request.timings
            )
            began = time.perf_counter()
            result = read_classes(answer, request)
        return replace(result, timings=replace(result.timings, read=time.perf_counter() - began))

    def _logits_steps(self, exchange: Exchange, image: ImageInput) -> Steps[Array]:
        source = _ImageSource(image, self._decode_options)
        with source.enough_memory():
            answer = yield from self._session.query(exchange, lambda model: query_logits(source.load, model))
            return read_logits(answer)

    def _map_steps(self, exchange: Exchange, image: ImageInput, class_: int | str | None) -> Steps[ActivationMap]:
        request = ClassifyRequest(cam=True, class_=class_, decode_options=self._decode_options)
        source = _ImageSource(image, self._decode_options)
        with source.enough_memory():
            answer = yield from self._session.query(exchange, lambda model: query_classes(source.load, model, request))
            return read_map(answer, request)

    def _prepare_steps(self, _: Exchange, image: ImageInput) -> Steps[Array]:
        contract = self._session.model.contract
        source = _ImageSource(image, self._decode_options)
        with source.enough_memory():
            return (yield from Work(lambda: to_tensor(fit_image(source.load(), contract), contract)))

    def _infer_steps(
        self, exchange: Exchange, batch: Array, outputs: Sequence[str], contract: ModelContract | None
    ) -> Steps[dict[str, Array]]:
        called_with = self._session.model
        with enough_memory("the batch"):
            answer = yield from self._session.query(
                exchange,
                lambda model: query_batch(batch, outputs, model, called_with, contract),
                quick=getattr(batch, "nbytes", 0) <= _QUICK_BYTES,
            )
        return dict(answer.tensors)

    def _affects_one_image(self, exchange: Exchange, error: CamserveError) -> Steps[bool]:
        return affects_one_image(self._session, exchange, error)


class _ImageSource:
    """An image that is opened at its first use, and only once: a stream cannot be read twice."""

    def __init__(self, image: ImageInput | OpenedImage, options: DecodeOptions) -> None:
        self._image = image
        self._options = options

    def load(self) -> Image.Image:
        if not isinstance(self._image, OpenedImage):
            self._image = open_image(self._image, self._options)
        return self._image.load()

    @contextmanager
    def enough_memory(self) -> Iterator[None]:
        """Raise a lack of memory at any step of the request as an error of this image."""
        try:
            yield
        except MemoryError:
            name = self._image.name if isinstance(self._image, OpenedImage) else "the image"
            raise not_enough_memory(name) from None
