"""The classifier of threads: an image in, its classes and their maps out."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, overload

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.arguments import check_several
from camserve.clients.base import BaseClassifier
from camserve.clients.batches import Batches
from camserve.clients.observing.monitor import Monitor
from camserve.clients.stream import Stream
from camserve.clients.window import WINDOW_BYTES, Errors, Window
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.transport import Transport
from camserve.contract import ModelContract
from camserve.errors import CamserveError, UsageError
from camserve.images.crops import Crops
from camserve.images.loading import ImageInput

__all__ = ["Classifier"]

Array = np.ndarray[Any, Any]


class Classifier(BaseClassifier):
    """A served image classifier. May be used from several threads; close it, or use it in a `with` block.

    It connects when it is created.

    Raises:
        UsageError: If an option is invalid.
        ConnectionFailedError: If no server responds.
        DeadlineError: If none responds within `connect_timeout`.
        RequestError: If the model is not loaded.
        ContractError: If the model has no contract, or its tensors do not match it.
    """

    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        self._new_transport = partial(Transport, self.urls, options, monitor)
        self._transports: set[Transport] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._transport = self._open_transport()
        try:
            self._transport.run(self._session.connect)
        except BaseException:
            self.close()
            raise

    def classify(
        self,
        image: ImageInput,
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        timings: bool = False,
    ) -> Classification:
        """Classify an image.

        Args:
            image: A path, the bytes of an image file, a binary stream, a Pillow image, `Pixels` with their color
                order, or a gray uint8 array.
            top: Number of classes to return, best first.
            cam: Whether to return class activation maps: one for each returned class, up to the model's number of maps.
            class_: With `cam`, the index, label or identifier of the only class to return a map of. There is no map if
                the model returns only those of the best classes, and this is not one of them.
            crops: Crops of the image to classify instead of the whole, in one batch.
            timings: Whether to return the server's share of the time, which takes two more requests.

        Raises:
            ImageError: If the image cannot be read or fitted to the input.
            UsageError: If `top` is less than 1, the class is unknown, or maps are requested of a model without maps or
                of an average over crops.
            DeadlineError: If the server does not respond in time.
            ConnectionFailedError: If no server responds.
            RequestError: If the server refuses the request, or returns NaN.
            ContractError: If the answer does not match the contract, or the model was replaced during the request by
                one with another contract; the next call uses that.
        """
        request = ClassifyRequest(
            top=top, cam=cam, class_=class_, crops=crops, timings=timings, decode_options=self._decode_options
        )
        return self._transport.run(self._classify_steps, image, request)

    @overload
    def classify_many(
        self,
        images: Iterable[ImageInput],
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        concurrency: int = 8,
        window_bytes: int = WINDOW_BYTES,
        errors: Literal["raise"] = "raise",
    ) -> Generator[Classification, None, None]: ...

    @overload
    def classify_many(
        self,
        images: Iterable[ImageInput],
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        concurrency: int = 8,
        window_bytes: int = WINDOW_BYTES,
        errors: Literal["yield"],
    ) -> Generator[Classification | CamserveError, None, None]: ...

    def classify_many(
        self,
        images: Iterable[ImageInput],
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        concurrency: int = 8,
        window_bytes: int = WINDOW_BYTES,
        errors: Errors = "raise",
    ) -> Generator[Classification | CamserveError, None, None]:
        """Classify any number of images concurrently, and yield the results in their order.

        Images are taken from `images` as results are taken from the iterator, so that neither need fit into memory.
        The iterator has its own threads and connection, which end with it, whether it is exhausted, closed or dropped;
        so do pending requests.

        A result is yielded once the next image has been taken or `images` has ended. If `images` waits for a result
        before it yields the next image, both would wait forever: call `classify` for each image instead.

        Args:
            images: Images as in `classify`.
            top: Number of classes to return, best first.
            cam: Whether to return class activation maps.
            class_: With `cam`, the only class to return a map of, as in `classify`.
            crops: Crops of each image to classify instead of the whole.
            concurrency: Number of images to decode and classify at once.
            window_bytes: Memory limit in bytes for the images in progress (default: 256 MiB). An image counts with its
                file before that is read, then with its pixels, too; one in memory, or a stream of unknown length, once
                its header has been read. The first image in progress never waits, so it may exceed the limit.
            errors: What to do with an error that affects one image, which is an ImageError or a refusal by a server
                that still serves the model: raise it (`raise`), or yield it instead of the result (`yield`). An error
                that would affect every image is always raised.

        Raises:
            UsageError: If an option is invalid, or `images` is a single image.
            CamserveError: As in `classify`, in place of the result of the image.
        """
        request = ClassifyRequest(top=top, cam=cam, class_=class_, crops=crops, decode_options=self._decode_options)
        check_several(images)
        self._check_open()
        return self._stream(images, request, Window(concurrency, window_bytes, errors))

    def open_batches(self) -> Batches:
        """Return what classifies batches of images over connections of its own, which the caller closes."""
        transport = self._open_transport()
        close = partial(self._close_transport, transport)
        return Batches(self._session, transport, close, send_files=self._send_files)

    def logits(self, image: ImageInput) -> Array:
        """Return the logits of an image, before the activation: float32 `[classes]`.

        Raises:
            UsageError: If the model has no output of logits.
            CamserveError: As in `classify`.
        """
        return self._transport.run(self._logits_steps, image)

    def cam(self, image: ImageInput, class_: int | str | None = None) -> ActivationMap:
        """Return the class activation map of one class: how much each part of the image contributes to it.

        Args:
            image: As in `classify`.
            class_: Index, label or identifier of any class if the model was exported with `--cam-all`, otherwise of one
                of the best classes of the image (default: the best).

        Raises:
            UsageError: If the model has no maps, or the class is unknown or has no map for this image.
            CamserveError: As in `classify`.
        """
        return self._transport.run(self._map_steps, image, class_)

    def prepare(self, image: ImageInput) -> Array:
        """Return the tensor that `classify` sends for an image, `[height, width, channels]`.

        Raises:
            ImageError: If the image cannot be read or fitted to the input.
        """
        return self._transport.run(self._prepare_steps, image)

    def infer(self, batch: Array, outputs: Sequence[str], *, contract: ModelContract | None = None) -> dict[str, Array]:
        """Send preprocessed images and return raw outputs by name, all from one version of the model.

        Args:
            batch: `[images, height, width, channels]`, as returned by `prepare`. A batch larger than the maximum batch
                size of the model is sent in parts, and the outputs are joined.
            outputs: Names of outputs of the contract.
            contract: The contract for which the batch was preprocessed (default: the current one). If other threads or
                tasks share the classifier, one of their calls may switch it to a new version of the model after the
                batch was preprocessed: read the `contract` of the classifier first, then preprocess, and pass it here.
                The labels are not compared.

        Returns:
            Each output by its name, batch first; read-only.

        Raises:
            UsageError: If the batch does not fit the input, contains NaN or infinity, or an output is unknown.
            DeadlineError: If the server does not respond in time.
            ConnectionFailedError: If no server responds.
            RequestError: If the server refuses the request.
            ContractError: If the answer does not match the contract, or the model was replaced by one with another
                contract than the batch was preprocessed for: preprocess the images again.
        """
        return self._transport.run(self._infer_steps, batch, outputs, contract)

    def is_ready(self) -> bool:
        """Return whether a server serves the model.

        Raises:
            ConnectionFailedError: If no server responds.
            DeadlineError: If the server does not respond in time.
        """
        return self._transport.run(self._session.is_ready)

    def versions(self) -> tuple[str, ...]:
        """Return the versions of the model that a server serves now, the newest first.

        Raises:
            ConnectionFailedError: If no server responds.
            DeadlineError: If the server does not respond in time.
            NotLoadedError: If it does not serve the model any more.
        """
        return self._transport.run(self._session.versions)

    def close(self) -> None:
        """End the wait for every request at once.

        Requests that the server works on are not cancelled: each connection is closed after its last one. Closing twice
        has no effect.
        """
        with self._lock:
            self._closed = True
            transports = list(self._transports)
        for transport in transports:
            transport.close()

    def __enter__(self) -> Classifier:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stream(
        self, images: Iterable[ImageInput], request: ClassifyRequest, window: Window
    ) -> Generator[Classification | CamserveError, None, None]:
        transport = self._open_transport()  # its end ends the requests of this stream, and no others
        stream: Stream[ImageInput, Classification] = Stream(
            window,
            open_=lambda image: self._open_image(image, request),
            answer=lambda opened: transport.run(self._classify_steps, opened, request),
            affects_one=lambda error: transport.run(self._affects_one_image, error),
        )
        yield from stream.answers(images, stop=lambda: self._close_transport(transport))

    def _open_transport(self) -> Transport:
        with self._lock:
            self._check_open()
            transport = self._new_transport()
            self._transports.add(transport)
        return transport

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the classifier of model {self.model!r} is closed", hint="Create a new Classifier")

    def _close_transport(self, transport: Transport) -> None:
        transport.close()
        with self._lock:
            self._transports.discard(transport)
