"""The classifier of threads: an image in, its classes and their maps out."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.arguments import check_several
from camserve.clients.base import BaseClassifier
from camserve.clients.images.crops import Crops
from camserve.clients.images.loading import ImageInput, open_image
from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Call, Steps, Walk
from camserve.clients.stream import Stream
from camserve.clients.window import WINDOW_BYTES, Errors, Window
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.transport import Transport
from camserve.contract import ModelContract
from camserve.errors import CamserveError, UsageError

__all__ = ["Classifier"]

Array = np.ndarray[Any, Any]
T = TypeVar("T")


class Classifier(BaseClassifier):
    """A served image classifier. May be used from several threads; close it, or use it in a `with` block.

    It connects when it is made.

    Raises:
        UsageError: If an option makes no sense.
        ConnectionFailedError: If no server answers.
        DeadlineError: If none answers within `connect_timeout`.
        RequestError: If the model is not loaded.
        ContractError: If the model has no contract, or its tensors disagree with it.
    """

    def _open(self, options: ConnectionOptions, monitor: Monitor) -> None:
        self._dial = partial(Transport, self.urls, options, monitor)
        self._transports: set[Transport] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._transport = self._opened()
        try:
            self._run(self._session.connect())
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
        """Names what an image shows.

        Args:
            image: A path, the bytes of an image file, a stream open in binary, a Pillow image, `Pixels` of stated
                order, or a gray uint8 array.
            top: How many classes to name, best first.
            cam: Whether to ask for the maps too: one for each class named, up to the number that the model gives.
            class_: With `cam`, the number, label or identifier of a class whose map alone to ask for, in place of those
                of the best. There is none where the model gives only those of the best, and this is not one of them.
            crops: Parts of the image to ask about in its place, in one batch.
            timings: Whether to ask the server, too, how long the answer took; that is two more requests.

        Raises:
            ImageError: If the image cannot be read or fitted to the input.
            UsageError: If `top` is less than one, there is no such class, or maps are asked of a model or an average
                that has none.
            DeadlineError: If the answer does not come in time.
            ConnectionFailedError: If the server has gone.
            RequestError: If the server refuses, or answers NaN.
            ContractError: If the answer is not what the contract promises, or the model was replaced meanwhile by one
                with another contract; the next call follows that.
        """
        wanted = ClassifyRequest(
            top=top, cam=cam, class_=class_, crops=crops, timings=timings, decode_options=self._decode_options
        )
        return self._run(self._classifying(image, wanted))

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
        """Names what each of many images shows, in their order and over any number of them.

        The images are taken from `images` as answers are taken from the iterator, so that neither need fit into
        memory. Threads and a connection of its own end with the iterator, whether it is read to its end, closed or
        dropped; requests under way are ended, too.

        An answer is handed out once the next image was taken up or `images` has ended. Where `images` waits for an
        answer before it gives the next image, both would wait for ever: call `classify` for each of those.

        Args:
            images: Images as `classify` takes them.
            top: How many classes to name, best first.
            cam: Whether to ask for the maps too.
            class_: With `cam`, the class whose map alone to ask for, as in `classify`.
            crops: Parts of each image to ask about in its place.
            concurrency: How many images are decoded and asked about at a time.
            window_bytes: What they may take together, in bytes, 256 MiB unless given: each its file, from before that
                is read, and then its pixels, too. The first image under way is never held up, so this may be exceeded
                by what that one takes. Of an image that is given in memory, or as a stream of unknown length, nothing
                counts until its header was read.
            errors: What becomes of an error that concerns one image, which is an ImageError, or a refusal by a
                server that still serves the model. It is raised (`raise`), or stands in the place of the answer
                (`yield`). Whatever would meet every image alike is raised in both cases.

        Raises:
            UsageError: If an option makes no sense, or one image is given alone.
            CamserveError: What `classify` raises, at the place of the image that it was met with.
        """
        wanted = ClassifyRequest(top=top, cam=cam, class_=class_, crops=crops, decode_options=self._decode_options)
        check_several(images)
        self._check_open()
        return self._stream(images, wanted, Window(concurrency, window_bytes, errors))

    def logits(self, image: ImageInput) -> Array:
        """What the model says of each class before its activation, float32 `[classes]`.

        Raises:
            UsageError: If the model does not answer with it.
            CamserveError: As `classify`.
        """
        return self._run(self._finding_logits(image))

    def cam(self, image: ImageInput, class_: int | str | None = None) -> ActivationMap:
        """The map of one class: how much each part of the image speaks for it.

        Args:
            image: As `classify` takes it.
            class_: Number, label or identifier of any class where the model was exported with `--cam-all`, otherwise
                of one of the image's best; the best unless given.

        Raises:
            UsageError: If the model has no maps, no such class, or gives no map of it for this image.
            CamserveError: As `classify`.
        """
        return self._run(self._finding_map(image, class_))

    def prepare(self, image: ImageInput) -> Array:
        """The tensor that `classify` sends for an image, `[height, width, channels]`.

        Raises:
            ImageError: If the image cannot be read or fitted to the input.
        """
        return self._run(self._preparing(image))

    def infer(self, batch: Array, outputs: Sequence[str], *, contract: ModelContract | None = None) -> dict[str, Array]:
        """Sends prepared images and returns raw outputs by name, all from one version of the model.

        Args:
            batch: `[images, height, width, channels]`, as `prepare` makes them. More than the server takes at once
                are sent in parts, and the outputs joined.
            outputs: Names of outputs of the contract.
            contract: The contract that the batch was prepared for; that of now unless given. Where other threads or
                tasks share the classifier, one of their calls may meet a new version of the model after the batch was
                prepared: read the `contract` of the classifier first, then prepare, and give it here. It says nothing
                of the labels.

        Returns:
            Each output by its name, batch first; read-only.

        Raises:
            UsageError: If the batch does not fit the input, holds NaN or infinity, or an output is not the model's.
            DeadlineError: If the answer does not come in time.
            ConnectionFailedError: If the server has gone.
            RequestError: If the server refuses.
            ContractError: If the answer is not what the contract promises, or the model was replaced by one that has
                another contract than the batch was prepared for: prepare the images again.
        """
        return self._run(self._inferring(batch, outputs, contract))

    def is_ready(self) -> bool:
        """Whether a server says that it serves the model.

        Raises:
            ConnectionFailedError: If the server has gone.
            DeadlineError: If the server does not answer in time.
        """
        return self._run(self._session.is_ready())

    def close(self) -> None:
        """Ends every request and connection; closing twice changes nothing."""
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

    def _run(self, steps: Steps[T], transport: Transport | None = None) -> T:
        walk = Walk(steps)
        while (step := walk.next) is not None:
            try:
                outcome = step.of(transport or self._transport) if isinstance(step, Call) else step.run()
            except Exception as error:  # noqa: BLE001  (the steps decide what becomes of it)
                walk.failed(error)
            else:
                walk.took(outcome)
        return walk.result

    def _stream(
        self, images: Iterable[ImageInput], wanted: ClassifyRequest, window: Window
    ) -> Generator[Classification | CamserveError, None, None]:
        transport = self._opened()  # so that its end ends the requests of this stream, and of no other
        stream: Stream[ImageInput, Classification] = Stream(
            window,
            open_=lambda image: open_image(image, wanted.decode_options),
            answer=lambda opened: self._run(self._classifying(opened, wanted), transport),
            concerns_one=lambda error: self._run(self._concerns_one_image(error), transport),
        )
        yield from stream.answers(images, leave=lambda: self._end(transport))

    def _opened(self) -> Transport:
        with self._lock:
            self._check_open()
            transport = self._dial()
            self._transports.add(transport)
        return transport

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the classifier of model {self.model!r} is closed", hint="Make a new Classifier")

    def _end(self, transport: Transport) -> None:
        transport.close()
        with self._lock:
            self._transports.discard(transport)
