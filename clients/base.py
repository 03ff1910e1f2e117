"""What the classifier of threads and the one of asyncio have in common: all but the waiting."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from camserve.clients.answers.asking import Answer, Asked, ask_batch, ask_classes, ask_logits, ask_map
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.reading import read_classes, read_logits, read_map
from camserve.clients.answers.results import ActivationMap
from camserve.clients.answers.served import Given
from camserve.clients.observing.metrics import Metrics
from camserve.clients.observing.monitor import Monitor
from camserve.clients.pictures.images import ImageInput, Opened, open_image
from camserve.clients.pictures.preprocess import prepare
from camserve.clients.pictures.reading import AS_KERAS, Reading
from camserve.clients.session import Session
from camserve.clients.steps import Steps, Work
from camserve.clients.wire.options import Compression, ConnectionOptions, parse_urls
from camserve.contract import ModelContract
from camserve.errors import BundleError, CamserveError, ImageError, RequestError, UsageError
from camserve.text import printable
from camserve.tls import ClientTls

__all__ = ["BaseClassifier"]

Array = np.ndarray[Any, Any]


class BaseClassifier:
    """A served image classifier.

    Args:
        url: `HOST:PORT` of Triton's gRPC endpoint; several, as a sequence or with commas between them, for servers that
            serve the same models and stand in for one another.
        model: Name of the model.
        version: Version of the model; the newest that is served unless given.
        timeout: Deadline of each call, over all its tries and parts, in seconds.
        connect_timeout: Seconds within which a server must have told what the model expects.
        retries: How often a request is sent again after its connection was lost or the server was not available: 0 to
            5.
        tls: Files by which the connection is encrypted; it is plain without.
        token: Sent as `authorization: Bearer ...`; refused without TLS unless the server is on this host.
        headers: Further headers of every request, such as an API key; names in lower case.
        compression: Of the messages sent: `none`, `gzip` or `deflate`.
        shared_memory: Hand tensors over in memory that client and server share; the server must be on this host and
            allow it.
        reading: How image files are read: which way up, and how large at most.
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
        version: str = "",
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        retries: int = 5,
        tls: ClientTls | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: Compression = "none",
        shared_memory: bool = False,
        reading: Reading = AS_KERAS,
        metrics: Metrics | None = None,
        contract: ModelContract | str | Path | None = None,
        labels: Sequence[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
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
        given = Given(_read_contract(contract), None if labels is None else tuple(labels), names or {})
        self.urls = parse_urls(url)
        self.model = model
        self._reading = reading
        self._session = Session(model, version, self.urls, given, options)
        self._open(options, Monitor(metrics=metrics))

    @abstractmethod
    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        """Makes the transport."""

    @property
    def contract(self) -> ModelContract:
        """What the model expects and answers; another one after a hot swap that changed it."""
        return self._session.model.contract

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class, in class order."""
        return tuple(label.name for label in self._session.model.labels)

    def _asked(self, **wishes: Any) -> Asked:
        return Asked(reading=self._reading, **wishes)

    def _classifying(self, image: ImageInput | Opened, asked: Asked) -> Steps[Classification]:
        picture = _Picture(image, self._reading)
        make = partial(_make, picture, partial(ask_classes, asked=asked))
        answer = yield from self._session.ask(make, timed=asked.timings)
        began = time.perf_counter()
        result = read_classes(answer, asked)
        return replace(result, timings=replace(result.timings, read=time.perf_counter() - began))

    def _asking_logits(self, image: ImageInput) -> Steps[Array]:
        make = partial(_make, _Picture(image, self._reading), ask_logits)
        return read_logits((yield from self._session.ask(make)))
