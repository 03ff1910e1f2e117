"""What the answer of a model says: held to the contract, and read as classes, logits and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.batch_tensors import join, outputs_of, split
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.map_selection import Maps
from camserve.clients.answers.predictions import check_finite, check_probabilities, probabilities_of, top_predictions
from camserve.clients.answers.query import ClassifyRequest, Query
from camserve.clients.wire.messages import Reply
from camserve.tensors import LOGITS, PROBABILITIES

__all__ = ["Answer", "read_classes", "read_logits", "read_map", "validate_replies"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back to a question, held to the contract.

    Attributes:
        question: The question.
        tensors: The outputs asked for, by the contract's names, batch first.
        version: The version that answered.
        url: The server that answered.
        timings: Where the time went, but for the reading.
    """

    question: Query
    tensors: Mapping[str, Array]
    version: str
    url: str
    timings: Timings


def validate_replies(question: Query, replies: Sequence[Reply], timings: Timings) -> Answer:
    """The answer that the replies to the parts of a question make together.

    Raises:
        ContractError: If one of them is not what the contract promises.
    """
    parts = zip(split(question.batch, question.model.max_batch_size), replies, strict=True)
    tensors = [outputs_of(reply.tensors, question.outputs, len(part), question.model) for part, reply in parts]
    return Answer(question, join(tensors), replies[0].version, replies[0].url, timings)


def read_classes(answer: Answer, wanted: ClassifyRequest) -> Classification:
    """The classes that an answer names, and their maps where they were asked for.

    Raises:
        RequestError: If the model answered NaN or infinity.
    """
    model = answer.question.model
    rows = _probabilities(answer)
    chosen = int(rows.max(axis=1).argmax())
    probabilities = rows[chosen]
    if wanted.crops is not None and wanted.crops.choose == "average":
        probabilities = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    probabilities.setflags(write=False)  # a result is a value, wherever its numbers were made
    cams: tuple[ActivationMap, ...] = ()
    if wanted.cam:
        maps = _maps(answer, chosen, probabilities, wanted)
        cams = maps.best()[: wanted.top] if wanted.class_ is None else maps.of_class(wanted.class_)
    return Classification(
        top=top_predictions(probabilities, model.labels, wanted.top),
        cams=cams,
        model=model.name,
        version=answer.version,
        url=answer.url,
        timings=answer.timings,
        probabilities=probabilities,
    )


def read_logits(answer: Answer) -> Array:
    """The logits of one image, float32 `[classes]`.

    Raises:
        RequestError: If the model answered NaN or infinity.
    """
    logits: Array = answer.tensors[LOGITS][0]
    check_finite(logits, LOGITS)
    return logits


def read_map(answer: Answer, wanted: ClassifyRequest) -> ActivationMap:
    """The map of one image that was asked for: that of the class, or of the best one.

    Raises:
        UsageError: If the model gave no map of this class.
        RequestError: If the model answered NaN or infinity.
    """
    return _maps(answer, 0, _probabilities(answer)[0], wanted).one(wanted.class_)


def _maps(answer: Answer, place: int, probabilities: Array, wanted: ClassifyRequest) -> Maps:
    """The maps of the image at that place of the batch."""
    tensors = {name: array[place] for name, array in answer.tensors.items()}
    return Maps(answer.question.model, tensors, probabilities, answer.question.views[place], wanted.decode_options)


def _probabilities(answer: Answer) -> Array:
    """Of each image, float32 `[images, classes]`."""
    name = answer.question.model.scores
    check_finite(answer.tensors[name], name)
    activation = answer.question.model.contract.activation
    if name != PROBABILITIES:
        return probabilities_of(answer.tensors[name], activation)
    check_probabilities(answer.tensors[name], activation)
    return answer.tensors[name]
