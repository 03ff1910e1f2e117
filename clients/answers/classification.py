"""The result of a classification, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.predictions import Prediction

__all__ = ["Classification", "Timings"]


@dataclass(frozen=True)
class Timings:
    """The time that a classification took, in seconds.

    `queue`, `compute` and `network` are measured with `timings=True` only. They are computed from the server's
    statistics before and after the request: exact if no other client used the model at that time, otherwise the mean
    over all requests.

    Attributes:
        prepare: Decoding, resizing and preprocessing; `classify_many` reads the file before.
        call: From sending the request to the reply, including retries.
        read: Checking the reply and decoding it into classes and maps.
        queue: Waiting in the server's queue.
        compute: The server's computation: input, inference and output.
        network: The rest of `call`: transfer in both directions, and its processing in client and server.
    """

    prepare: float
    call: float
    read: float
    queue: float | None = None
    compute: float | None = None
    network: float | None = None


@dataclass(frozen=True)
class Classification:
    """The result for one image.

    Results are equal if model, version and `top` are equal; maps, server, timings and the probabilities of other
    classes are not compared.

    Attributes:
        top: The most probable classes, in descending order.
        cams: The maps of the most probable classes, in descending order, or the map of the requested class; empty if
            no map was requested, or the model returned none of the requested class for this image.
        model: Name of the model.
        version: Version of the model that returned the result.
        url: `HOST:PORT` of the server that returned the result.
        timings: The time that the classification took.
        probabilities: Probabilities of all classes, float32 `[classes]`.
    """

    top: tuple[Prediction, ...]
    cams: tuple[ActivationMap, ...] = field(compare=False)
    model: str
    version: str
    url: str = field(compare=False)
    timings: Timings = field(repr=False, compare=False)
    probabilities: np.ndarray[Any, Any] = field(repr=False, compare=False)
