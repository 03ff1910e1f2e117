"""The classifier of asyncio: the methods of `Classifier`, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.arguments import check_several
from camserve.clients.async_stream import AsyncStream
from camserve.clients.base import BaseClassifier
from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Steps
from camserve.clients.window import WINDOW_BYTES, Errors, Window
from camserve.clients.wire.async_transport import AsyncTransport
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.exchange import Exchange
from camserve.contract import ModelContract
from camserve.errors import CamserveError, UsageError
from camserve.images.crops import Crops
from camserve.images.loading import ImageInput

__all__ = ["AsyncClassifier"]

Array = np.ndarray[Any, Any]
P = ParamSpec("P")
T = TypeVar("T")


class AsyncClassifier(BaseClassifier):
    """A served image classifier for one event loop; close it, or use it in an `async with` block.

    It connects when the block begins, with `connect`, or at its first call, and then raises what
    `AsyncClassifier.connect` raises; `contract`, `labels` and `class_index`, which are not awaited, are available from
    then on. Any number of tasks may use it at once, over one connection to each server. Images are decoded in threads.
    Cancelling a task ends its wait at once; its request runs to its end at the server.

    Raises:
        UsageError: If an option is invalid.
    """

    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        self._transport = AsyncTransport(self.urls, options, monitor)
        self._connecting = asyncio.Lock()
        self._closed = False

    async def connect(self) -> None:
        """Read the model, unless it has been read.

        Raises:
            ConnectionFailedError: If no server responds.
            DeadlineError: If the server does not respond in time.
            RequestError: If the model is not loaded.
            ContractError: If the model has no contract, or its tensors do not match it.
            UsageError: If the classifier is closed, or in use on another event loop.
        """
        self._check_open()
        async with self._connecting:
            if not self._session.is_connected:
                await self._transport.run(self._session.connect)

    async def classify(
        self,
        image: ImageInput,
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        timings: bool = False,
    ) -> Classification:
        """Classify an image; see `Classifier.classify`."""
        request = ClassifyRequest(
            top=top, cam=cam, class_=class_, crops=crops, timings=timings, decode_options=self._decode_options
        )
        return await self._run(self._classify_steps, image, request)

    @overload
    def classify_many(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        concurrency: int = 8,
        window_bytes: int = WINDOW_BYTES,
        errors: Literal["raise"] = "raise",
    ) -> AsyncGenerator[Classification, None]: ...

    @overload
    def classify_many(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        concurrency: int = 8,
        window_bytes: int = WINDOW_BYTES,
        errors: Literal["yield"],
    ) -> AsyncGenerator[Classification | CamserveError, None]: ...

    def classify_many(
        self,
        images: Iterable[ImageInput] | AsyncIterable[ImageInput],
        *,
        top: int = 5,
        cam: bool = False,
        class_: int | str | None = None,
        crops: Crops | None = None,
        concurrency: int = 8,
        window_bytes: int = WINDOW_BYTES,
        errors: Errors = "raise",
    ) -> AsyncGenerator[Classification | CamserveError, None]:
        """Classify any number of images concurrently, and yield the results in their order.

        See `Classifier.classify_many`. The images may also come from an asynchronous iterable; a plain one must not
        block. Tasks and requests end with the iterator. Python ends an iterator that was not exhausted at some time
        after it is dropped; use `contextlib.aclosing` to end it at once.

        A result is yielded once the next image has been taken or `images` has ended. If `images` waits for a result
        before it yields the next image, both would wait forever: call `classify` for each image instead.
        """
        request = ClassifyRequest(top=top, cam=cam, class_=class_, crops=crops, decode_options=self._decode_options)
        check_several(images, async_allowed=True)
        self._check_open()
        return self._stream(images, request, Window(concurrency, window_bytes, errors))

    async def logits(self, image: ImageInput) -> Array:
        """Return the logits of an image; see `Classifier.logits`."""
        return await self._run(self._logits_steps, image)

    async def cam(self, image: ImageInput, class_: int | str | None = None) -> ActivationMap:
        """Return the class activation map of one class; see `Classifier.cam`."""
        return await self._run(self._map_steps, image, class_)

    async def prepare(self, image: ImageInput) -> Array:
        """Return the tensor that `classify` sends for an image; see `Classifier.prepare`."""
        return await self._run(self._prepare_steps, image)

    async def infer(
        self, batch: Array, outputs: Sequence[str], *, contract: ModelContract | None = None
    ) -> dict[str, Array]:
        """Send preprocessed images and return raw outputs by name; see `Classifier.infer`."""
        return await self._run(self._infer_steps, batch, outputs, contract)

    async def is_ready(self) -> bool:
        """Return whether a server serves the model; see `Classifier.is_ready`."""
        return await self._transport.run(self._session.is_ready)

    async def versions(self) -> tuple[str, ...]:
        """Return the versions of the model that a server serves now; see `Classifier.versions`."""
        return await self._transport.run(self._session.versions)

    async def close(self) -> None:
        """End the wait for every request at once, and each connection after its last one; see `Classifier.close`."""
        self._closed = True
        await self._transport.close()

    async def __aenter__(self) -> AsyncClassifier:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the classifier of model {self.model!r} is closed", hint="Create a new AsyncClassifier")

    async def _run(
        self, request: Callable[Concatenate[Exchange, P], Steps[T]], *args: P.args, **options: P.kwargs
    ) -> T:
        if not self._session.is_connected:
            await self.connect()
        return await self._transport.run(request, *args, **options)

    async def _stream(
        self, images: Iterable[ImageInput] | AsyncIterable[ImageInput], request: ClassifyRequest, window: Window
    ) -> AsyncGenerator[Classification | CamserveError, None]:
        await self.connect()
        stream: AsyncStream[ImageInput, Classification] = AsyncStream(
            window,
            open_=lambda image: self._open_image(image, request),
            answer=lambda opened: self._run(self._classify_steps, opened, request),
            affects_one=lambda error: self._run(self._affects_one_image, error),
        )
        async with aclosing(stream.answers(images)) as answers:
            async for answer in answers:
                yield answer
