"""Several images for one request: decoded one after the other, each error kept in the place of its image."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from camserve.clients.answers.classification import Classification
from camserve.clients.answers.query import ClassifyRequest, Query, outputs_for_classes, query_classes
from camserve.clients.answers.readout import Answer, read_classes, read_each
from camserve.clients.answers.served_model import Model
from camserve.errors import CamserveError, ImageError
from camserve.images.decoding_memory import DECODING
from camserve.images.decoding_turns import TURNS
from camserve.images.loading import OpenedImage
from camserve.images.memory import enough_memory
from camserve.images.placement import Fitted
from camserve.images.preprocess import fit_image, to_tensor
from camserve.tensors import DATA_TYPES

__all__ = ["ImageBatch", "NoImageLeftError"]

Array = np.ndarray[Any, Any]

_NOTHING = np.empty(0, np.uint8)
_of_thread = threading.local()


class NoImageLeftError(Exception):
    """No image of a batch can be decoded."""


class ImageBatch:
    """The images of one request.

    Args:
        images: One or more images; exactly one if the request has crops.
        request: What to return for each.
        check: Called before each image is decoded; raises an error to stop.

    Attributes:
        errors: The error of each image that the last query does not contain, by its place.
    """

    def __init__(
        self, images: Sequence[OpenedImage], request: ClassifyRequest, check: Callable[[], object] = lambda: None
    ) -> None:
        self.images = images
        self.request = request
        self.errors: dict[int, ImageError] = {}
        self._check = check

    def query(self, model: Model) -> Query:
        """Decode and preprocess the images for a model. May be called again, for another model.

        The batch of several images is valid until this thread makes the next one.

        Raises:
            NoImageLeftError: If every image has an error.
            UsageError: If the request does not match the model, such as maps of a model without.
        """
        self.errors = {}
        if self.request.crops is not None:
            return self._of_one(model)
        with TURNS.turn():
            return self._of_several(model)

    def results(self, answer: Answer | None) -> list[Classification | CamserveError]:
        """Return the result for each image, in order, from the answer to the last query; None if no image was left.

        Raises:
            RequestError: If the answer for the crops of an image contains NaN.
            ContractError: If the answer does not match the contract.
        """
        if answer is None:
            return [self.errors[place] for place in range(len(self.images))]
        if self.request.crops is not None:
            return [read_classes(answer, self.request)]
        answers = iter(read_each(answer, self.request))
        return [self.errors[place] if place in self.errors else next(answers) for place in range(len(self.images))]

    def _of_one(self, model: Model) -> Query:
        (image,) = self.images
        self._check()
        try:
            with TURNS.turn(), DECODING.hold(image.decoded_bytes), enough_memory(image.name):
                return query_classes(image.load, model, self.request)
        except ImageError as error:
            self.errors[0] = error
        raise NoImageLeftError

    def _of_several(self, model: Model) -> Query:
        outputs = outputs_for_classes(model, self.request)
        spec = model.contract.input
        batch = _scratch((len(self.images), *spec.shape), np.dtype(DATA_TYPES[spec.dtype].numpy))
        views: list[Fitted] = []
        count = 0
        for place, image in enumerate(self.images):
            self._check()
            try:
                with enough_memory(image.name):
                    with DECODING.hold(image.decoded_bytes):
                        fitted = fit_image(image.load(), model.contract)
                    batch[count] = to_tensor(fitted, model.contract)
            except ImageError as error:
                self.errors[place] = error
                continue
            count += 1
            if self.request.cam:  # only maps need them
                views.append(fitted)
        if not count:
            raise NoImageLeftError
        return Query(model, batch[:count], outputs, tuple(views))


def _scratch(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array that this thread uses again for its next batch: new memory would cost more than the copy."""
    needed = math.prod(shape) * dtype.itemsize
    if getattr(_of_thread, "bytes", _NOTHING).nbytes < needed:
        _of_thread.bytes = np.empty(needed, np.uint8)
    array: Array = _of_thread.bytes[:needed].view(dtype).reshape(shape)
    return array
