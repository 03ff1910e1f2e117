"""What a model says of one image, and how long that took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.predictions import Prediction

__all__ = ["Classification", "Timings"]


@dataclass(frozen=True)
class Timings:
    """Where the time of one answer went, in seconds.

    The last three are there where `timings=True` asked for them. They come from what the server counted for the model
    around this request: they are exact where nobody else asked it meanwhile, else a mean over all that did.

    Attributes:
        prepare: Reading the image, fitting it and making the tensor; in `classify_many`, its file was read before.
        call: From sending the request to its answer, every try included.
        read: Checking the answer and making classes and maps of it.
        queue: Waiting in the server for its turn.
        compute: The server's own work: input, network and output.
        network: What is left of `call`: the way there and back, and both ends of it.
    """

    prepare: float
    call: float
    read: float
    queue: float | None = None
    compute: float | None = None
    network: float | None = None


@dataclass(frozen=True)
class Classification:
    """What a model says of one image.

    Two are equal when the same version of the same model names the same best classes with the same probabilities; maps,
    server, times and the probabilities of the other classes are not compared.

    Attributes:
        top: The best classes, best first.
        cams: The maps of the best classes, best first, or that of the class asked for, unless the model gives none of
            it for this image; empty unless asked for.
        model: The model that answered.
        version: The version of it that answered.
        url: `HOST:PORT` of the server that answered.
        timings: Where the time went.
        probabilities: Of every class, float32 `[classes]`.
    """

    top: tuple[Prediction, ...]
    cams: tuple[ActivationMap, ...] = field(compare=False)
    model: str
    version: str
    url: str = field(compare=False)
    timings: Timings = field(repr=False, compare=False)
    probabilities: np.ndarray[Any, Any] = field(repr=False, compare=False)
