"""What the classifier of threads and the one of asyncio have in common: all but the waiting."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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
from camserve.clients.arguments import check_arguments, given, version_of
from camserve.clients.images.decode_options import AS_KERAS, DecodeOptions
from camserve.clients.images.loading import ImageInput, Opened, load_image, open_image
from camserve.clients.images.preprocess import prepare
from camserve.clients.observing.metrics import Metrics
from camserve.clients.observing.monitor import Monitor
from camserve.clients.session import Session
from camserve.clients.steps import Steps, Work
from camserve.clients.wire.connection_options import Compression, ConnectionOptions, parse_urls
from camserve.contract import ModelContract
from camserve.errors import CamserveError, ImageError, RequestError
from camserve.tls import ClientTls

__all__ = ["BaseClassifier"]

Array = np.ndarray[Any, Any]

_QUICK = 2**22
"""Bytes of a batch that is checked sooner than another thread takes it up."""


class BaseClassifier(ABC):
    """A served image classifier.

    Args:
        url: `HOST:PORT` of Triton's gRPC endpoint; several, as a sequence or with commas between them, for servers that
            serve the same models and stand in for one another.
        model: Name of the model.
        version: Number of the version; the newest that is served unless given.
        timeout: Deadline of each call once its image is prepared, over all its tries and parts, in seconds.
        connect_timeout: Seconds within which a server must have told what the model expects; at most `timeout`.
        retries: How often a request is sent again after its connection was lost or the server was not available: 0 to
            5.
        tls: Files by which the connection is encrypted; it is plain without.
        token: Sent as `authorization: Bearer ...`; refused without TLS unless the server is on this host.
        headers: Further headers of every request, such as an API key; names in lower case.
        compression: Of the messages sent: `none`, `gzip` or `deflate`.
        shared_memory: Hand tensors over in memory that client and server share; the server must be on this host and
            allow it.
        decode_options: How image files are read: which way up, and how large at most.
        metrics: Prometheus counters to keep.
        contract: What the model expects and answers, or the path of a `contract.json`, for a model that does not carry
            it.
        labels: The label of each class, for a model that does not carry them.
        names: The model's own name of a tensor, by the name that the contract gives it, where they differ:
            `{"image": "input_1", "probabilities": "predictions"}`.

    Raises:
        UsageError: If an option makes no sense.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str,
        *,
        version: str | int = "",
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        retries: int = 5,
        tls: ClientTls | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: Compression = "none",
        shared_memory: bool = False,
        decode_options: DecodeOptions = AS_KERAS,
        metrics: Metrics | None = None,
        contract: ModelContract | str | Path | None = None,
        labels: Sequence[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        check_arguments(
            url=url,
            model=model,
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
            labels=labels,
            names=names,
        )
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
        self._session = Session(model, version_of(version), self.urls, given(contract, labels, names), options)
        self._open(options, Monitor(metrics=metrics))

    @abstractmethod
    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        """Makes the transport."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({','.join(self.urls)!r}, {self.model!r})"

    @property
    def decode_options(self) -> DecodeOptions:
        """How image files are decoded."""
        return self._decode_options

    @property
    def contract(self) -> ModelContract:
        """What the model expects and answers; another one after a hot swap that changed it."""
        return self._session.model.contract

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class, in class order."""
        return tuple(label.name for label in self._session.model.labels)

    def class_index(self, class_: int | str) -> int:
        """The number of a class, by its label, by its identifier in the data set, or by that number itself.

        Raises:
            UsageError: If there is no such class, or several have the label.
        """
        return class_index(self._session.model, class_)

    def _classifying(self, image: ImageInput | Opened, wanted: ClassifyRequest) -> Steps[Classification]:
        opened = _OpenImage(image, wanted.decode_options)
        answer = yield from self._session.ask(
            lambda model: query_classes(opened.load, model, wanted), timed=wanted.timings
        )
        began = time.perf_counter()
        result = read_classes(answer, wanted)
        return replace(result, timings=replace(result.timings, read=time.perf_counter() - began))

    def _finding_logits(self, image: ImageInput) -> Steps[Array]:
        opened = _OpenImage(image, self._decode_options)
        answer = yield from self._session.ask(lambda model: query_logits(opened.load, model))
        return read_logits(answer)

    def _finding_map(self, image: ImageInput, class_: int | str | None) -> Steps[ActivationMap]:
        wanted = ClassifyRequest(cam=True, class_=class_, decode_options=self._decode_options)
        opened = _OpenImage(image, wanted.decode_options)
        answer = yield from self._session.ask(lambda model: query_classes(opened.load, model, wanted))
        return read_map(answer, wanted)

    def _preparing(self, image: ImageInput) -> Steps[Array]:
        contract = self._session.model.contract
        tensor: Array = yield Work(lambda: prepare(load_image(image, self._decode_options), contract))
        return tensor

    def _inferring(
        self, batch: Array, outputs: Sequence[str], contract: ModelContract | None
    ) -> Steps[dict[str, Array]]:
        called_with = self._session.model
        answer = yield from self._session.ask(
            lambda model: query_batch(batch, outputs, model, called_with, contract),
            quick=getattr(batch, "nbytes", 0) <= _QUICK,
        )
        return dict(answer.tensors)

    def _concerns_one_image(self, error: CamserveError) -> Steps[bool]:
        """Whether an error is the fault of the image it was met with, so that the next one may well be answered.

        An image that cannot be read is; a refusal is as long as the model is served; whatever else went wrong, such
        as a server that hangs, would meet every image alike.
        """
        if isinstance(error, ImageError):
            return True
        return isinstance(error, RequestError) and (yield from self._session.is_ready())


class _OpenImage:
    """An image that is opened when it is first wanted, and once: a stream can be read but once."""

    def __init__(self, image: ImageInput | Opened, decode_options: DecodeOptions) -> None:
        self._image = image
        self._decode_options = decode_options

    def load(self) -> Image.Image:
        if not isinstance(self._image, Opened):
            self._image = open_image(self._image, self._decode_options)
        return self._image.load()
