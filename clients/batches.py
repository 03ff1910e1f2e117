"""Classify several images in one request, with an answer or an error for each."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence

from camserve.clients.answers.classification import Classification
from camserve.clients.answers.image_batch import ImageBatch, NoImageLeftError
from camserve.clients.answers.query import ClassifyRequest
from camserve.clients.answers.served_model import Model
from camserve.clients.file_queries import classify_files, takes_files
from camserve.clients.session import Session
from camserve.clients.steps import Steps
from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.transport import Transport
from camserve.clients.wire.values import Statistics
from camserve.errors import CamserveError, ImageError, RequestError
from camserve.images.loading import OpenedImage
from camserve.images.memory import enough_memory

__all__ = ["Batches", "Results", "affects_one_image"]

_log = logging.getLogger("camserve.clients")

_STATISTICS_SECONDS = 0.5

Results = list[Classification | CamserveError]


class Batches:
    """Classifies batches of images over connections of their own. May be used from several threads.

    Args:
        session: The model.
        transport: The connections.
        close: Closes them.
        send_files: Whether image files are sent as they are, where `file_queries.takes_files` allows it.
    """

    def __init__(
        self, session: Session, transport: Transport, close: Callable[[], None], *, send_files: bool = False
    ) -> None:
        self._session = session
        self._transport = transport
        self._close = close
        self._send_files = send_files
        self._most = self._suspect = sys.maxsize

    @property
    def model(self) -> Model:
        """The model that the next batch is made for."""
        return self._session.model

    def classify(self, images: Sequence[OpenedImage], request: ClassifyRequest) -> Results:
        """Return the result for each image, in order.

        All images are in one request; with crops, those of each image. An image that cannot be decoded, or whose answer
        contains NaN, has its error as result. If the server refuses a request of several images, it is sent in halves.

        Raises:
            CamserveError: If an error would affect every image.
        """
        return self._transport.run(self._classify, images, request)

    def statistics(self) -> Statistics | None:
        """Return the time that the servers have spent on the model since it was loaded; None if it is unknown."""
        try:
            found = self._transport.run(self._statistics)
        except CamserveError:  # a server may restrict it
            return None
        totals = [(each.requests, each.queue, each.compute) for each in found.values()]
        return Statistics(*map(sum, zip(*totals, strict=True))) if totals else None

    def close(self) -> None:
        """End the wait for every pending request at once. Closing twice has no effect."""
        self._close()

    def _statistics(self, exchange: Exchange) -> Steps[dict[str, Statistics]]:
        return self._session.statistics(exchange, self.model.version, Deadline(_STATISTICS_SECONDS))

    def _classify(self, exchange: Exchange, images: Sequence[OpenedImage], request: ClassifyRequest) -> Steps[Results]:
        step = min(len(images), self._most) if request.crops is None else 1
        results: Results = []
        for start in range(0, len(images), step):
            results += yield from self._part(exchange, images[start : start + step], request)
        return results

    def _part(self, exchange: Exchange, images: Sequence[OpenedImage], request: ClassifyRequest) -> Steps[Results]:
        """Return the result for each image of a request; if it is refused, of two requests with half of the images."""
        try:
            results = yield from self._together(exchange, images, request)
        except (RequestError, ImageError) as error:  # refused, or not enough memory for all
            if len(images) == 1:
                if not (yield from affects_one_image(self._session, exchange, error)):
                    raise
                return [error]
        else:
            if len(images) >= self._suspect:
                self._suspect = sys.maxsize
            return results
        half = (len(images) + 1) // 2
        results = yield from self._part(exchange, images[:half], request)
        results += yield from self._part(exchange, images[half:], request)
        if not any(isinstance(each, RequestError) for each in results):
            self._record_refusal(len(images))
        return results

    def _record_refusal(self, images: int) -> None:
        """Record that a request was refused whose halves were not.

        If this happens again at the same size, it is too large for the server, or for a proxy before it: requests are
        smaller from then on.
        """
        smaller = max(1, images // 2)
        if images <= self._suspect < sys.maxsize and smaller < self._most:
            self._most = smaller
            _log.warning(
                "requests of %d images were refused, whose halves were not: they have at most %d from now on, which is "
                "slower",
                images,
                smaller,
            )
        self._suspect = min(self._suspect, images)

    def _together(self, exchange: Exchange, images: Sequence[OpenedImage], request: ClassifyRequest) -> Steps[Results]:
        if self._send_files and takes_files(request) and all(image.file for image in images):
            return (yield from self._files(exchange, [image.file for image in images], request))
        batch = ImageBatch(images, request, self._transport.check_open)
        with enough_memory("the images of a request"):
            try:
                answer = yield from self._session.query(exchange, batch.query)
            except NoImageLeftError:
                return batch.results(None)
            return batch.results(answer)

    def _files(self, exchange: Exchange, files: Sequence[bytes], request: ClassifyRequest) -> Steps[Results]:
        """Return the result for each file, from requests of as many as the model takes at once."""
        limit = self._session.model.max_batch_size or len(files)
        results: Results = []
        for start in range(0, len(files), limit):
            part = files[start : start + limit]
            results += yield from classify_files(self._session, exchange, part, request)
        return results


def affects_one_image(session: Session, exchange: Exchange, error: CamserveError) -> Steps[bool]:
    """Return whether an error affects only its image, so that the next image may succeed.

    An invalid image does. A refusal does if the model is still served. Any other error, such as a server that hangs,
    would affect every image.
    """
    if isinstance(error, ImageError):
        return True
    return isinstance(error, RequestError) and (yield from session.is_ready(exchange))
