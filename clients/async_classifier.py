"""The classifier of asyncio: the same names as that of threads, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.arguments import check_several
from camserve.clients.async_stream import AsyncStream
from camserve.clients.base import BaseClassifier
from camserve.clients.images.crops import Crops
from camserve.clients.images.loading import ImageInput, open_image
from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Call, Steps, Walk
from camserve.clients.window import WINDOW_BYTES, Errors, Window
from camserve.clients.wire.async_transport import AsyncTransport
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.contract import ModelContract
from camserve.errors import CamserveError, UsageError

__all__ = ["AsyncClassifier"]

Array = np.ndarray[Any, Any]
T = TypeVar("T")


class AsyncClassifier(BaseClassifier):
    """A served image classifier for one event loop; close it, or use it in an `async with` block.

    It connects when the block begins, with `connect`, or at its first call, and raises then what
    `AsyncClassifier.connect` raises; `contract`, `labels` and `class_index`, which are not awaited, are known from then
    on. Any number of tasks may use it at once, over one connection to each server. Images are decoded in threads.
    Cancelling a task cancels its request.

    Raises:
        UsageError: If an option makes no sense.
    """

    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        self._transport = AsyncTransport(self.urls, options, monitor)
        self._connecting = asyncio.Lock()
        self._closed = False

    async def connect(self) -> None:
        """Reads what the model expects; once it did, does nothing.

        Raises:
            ConnectionFailedError: If no server answers.
            DeadlineError: If a server does not answer in time.
            RequestError: If the model is not loaded.
            ContractError: If the model has no contract, or its tensors disagree with it.
            UsageError: If it was closed, or belongs to another event loop.
        """
        self._check_open()
        async with self._connecting:
            if not self._session.is_connected:
                await self._take(self._session.connect())

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
        """Names what an image shows; see `Classifier.classify`."""
        wanted = ClassifyRequest(
            top=top, cam=cam, class_=class_, crops=crops, timings=timings, decode_options=self._decode_options
        )
        return await self._run(self._classifying(image, wanted))

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
        """Names what each of many images shows, in their order; see `Classifier.classify_many`.

        The images may also come from an asynchronous iterable; a plain one must not block. Tasks and requests end
        with the iterator. Python ends one that was left early when it is dropped; to know when that is, use
        `contextlib.aclosing`.

        An answer is handed out once the next image was taken up or `images` has ended. Where `images` waits for an
        answer before it gives the next image, both would wait for ever: call `classify` for each of those.
        """
        wanted = ClassifyRequest(top=top, cam=cam, class_=class_, crops=crops, decode_options=self._decode_options)
        check_several(images, awaited=True)
        self._check_open()
        return self._stream(images, wanted, Window(concurrency, window_bytes, errors))

    async def logits(self, image: ImageInput) -> Array:
        """What the model says of each class before its activation; see `Classifier.logits`."""
        return await self._run(self._finding_logits(image))

    async def cam(self, image: ImageInput, class_: int | str | None = None) -> ActivationMap:
        """The map of one class; see `Classifier.cam`."""
        return await self._run(self._finding_map(image, class_))

    async def prepare(self, image: ImageInput) -> Array:
        """The tensor that `classify` sends for an image; see `Classifier.prepare`."""
        return await self._run(self._preparing(image))

    async def infer(
        self, batch: Array, outputs: Sequence[str], *, contract: ModelContract | None = None
    ) -> dict[str, Array]:
        """Sends prepared images and returns raw outputs by name; see `Classifier.infer`."""
        return await self._run(self._inferring(batch, outputs, contract))

    async def is_ready(self) -> bool:
        """Whether a server says that it serves the model; see `Classifier.is_ready`."""
        return await self._take(self._session.is_ready())

    async def close(self) -> None:
        """Ends every request and connection; closing twice changes nothing."""
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
            raise UsageError(f"the classifier of model {self.model!r} is closed", hint="Make a new AsyncClassifier")

    async def _run(self, steps: Steps[T]) -> T:
        if not self._session.is_connected:
            await self.connect()
        return await self._take(steps)

    async def _take(self, steps: Steps[T]) -> T:
        walk = Walk(steps)
        while (step := walk.next) is not None:
            try:
                outcome = await (step.of(self._transport) if isinstance(step, Call) else asyncio.to_thread(step.run))
            except Exception as error:  # noqa: BLE001  (the steps decide what becomes of it)
                walk.failed(error)
            else:
                walk.took(outcome)
        return walk.result

    async def _stream(
        self, images: Iterable[ImageInput] | AsyncIterable[ImageInput], wanted: ClassifyRequest, window: Window
    ) -> AsyncGenerator[Classification | CamserveError, None]:
        await self.connect()
        stream: AsyncStream[ImageInput, Classification] = AsyncStream(
            window,
            open_=lambda image: open_image(image, wanted.decode_options),
            answer=lambda opened: self._run(self._classifying(opened, wanted)),
            concerns_one=lambda error: self._run(self._concerns_one_image(error)),
        )
        async with aclosing(stream.answers(images)) as answers:
            async for answer in answers:
                yield answer
