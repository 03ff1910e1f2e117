"""Decode the replies to a query: check them against the contract, and read classes, logits and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.batch_tensors import join, select_outputs, split
from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.map_selection import Maps
from camserve.clients.answers.predictions import check_finite, check_probabilities, probabilities_of, top_predictions
from camserve.clients.answers.query import ClassifyRequest, Query
from camserve.clients.wire.values import Reply
from camserve.errors import RequestError
from camserve.ranking import best_classes, rank_classes
from camserve.tensors import CAM_CLASS, LOGITS, PROBABILITIES

__all__ = ["Answer", "read_classes", "read_each", "read_logits", "read_map", "validate_replies"]

Array = np.ndarray[Any, Any]

_ROUNDING = 1e-6
"""Largest difference between two probabilities whose logits may be in another order."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to a query, checked against the contract.

    Attributes:
        query: The query.
        tensors: The requested outputs by the contract's names, batch first.
        version: The version of the model that replied.
        url: The server that replied.
        timings: The time that it took so far.
    """

    query: Query
    tensors: Mapping[str, Array]
    version: str
    url: str
    timings: Timings


def validate_replies(query: Query, replies: Sequence[Reply], timings: Timings) -> Answer:
    """Check the replies to the parts of a query, and join them.

    Raises:
        ContractError: If a reply does not match the contract.
    """
    parts = zip(split(query.batch, query.model.max_batch_size), replies, strict=True)
    tensors = [select_outputs(reply.tensors, query.outputs, len(part), query.model) for part, reply in parts]
    return Answer(query, join(tensors), replies[0].version, replies[0].url, timings)


def read_classes(answer: Answer, request: ClassifyRequest) -> Classification:
    """Decode an answer into the best classes and, if requested, their maps.

    Classes are sorted by their logits, or by their probabilities if the model returns no logits, and of equal values
    the smaller class number comes first. An average of crops is sorted by the average probability, then by the average
    logit, then by the class number.

    Raises:
        RequestError: If the model returned NaN or infinity.
    """
    model = answer.query.model
    rows = _probabilities(answer)
    chosen = int(rows.max(axis=1).argmax())
    probabilities, ranked = rows[chosen], _ranked(answer, chosen, rows[chosen])
    if request.crops is not None and request.crops.choose == "average":
        exact = rows.mean(axis=0, dtype=np.float64)
        probabilities = exact.astype(np.float32)
        ranked = rank_classes(exact, _scores(answer).mean(axis=0, dtype=np.float64)).tolist()
    probabilities.setflags(write=False)  # results are immutable, also if the array was computed here
    cams: tuple[ActivationMap, ...] = ()
    if request.cam:
        maps = _maps(answer, chosen, probabilities, ranked, request)
        cams = maps.best()[: request.top] if request.class_ is None else maps.of_class(request.class_)
    return Classification(
        top=top_predictions(probabilities, ranked, model.labels, request.top),
        cams=cams,
        model=model.name,
        version=answer.version,
        url=answer.url,
        timings=answer.timings,
        probabilities=probabilities,
    )


def read_each(answer: Answer, request: ClassifyRequest) -> list[Classification | RequestError]:
    """Decode the answer for several images, each as `read_classes` does: NaN in one concerns no other image."""
    if not request.cam:
        with suppress(RequestError):  # of some of the images
            return _read_together(answer, request)
    return [_read_one(_of_image(answer, place), request) for place in range(len(answer.query.batch))]


def _read_together(answer: Answer, request: ClassifyRequest) -> list[Classification | RequestError]:
    """Decode the answer for several images without maps: the same in a fraction of the time."""
    model = answer.query.model
    probabilities = _probabilities(answer)
    probabilities.setflags(write=False)
    ranked = best_classes(_scores(answer), request.top).tolist()
    return [
        Classification(
            top=top_predictions(row, best, model.labels, request.top),
            cams=(),
            model=model.name,
            version=answer.version,
            url=answer.url,
            timings=answer.timings,
            probabilities=row,
        )
        for row, best in zip(probabilities, ranked, strict=True)
    ]


def _of_image(answer: Answer, place: int) -> Answer:
    """Return the part of an answer that belongs to one image."""
    one = slice(place, place + 1)
    query = replace(answer.query, batch=answer.query.batch[one], views=answer.query.views[one])
    return replace(answer, query=query, tensors={name: array[one] for name, array in answer.tensors.items()})


def _read_one(answer: Answer, request: ClassifyRequest) -> Classification | RequestError:
    try:
        return read_classes(answer, request)
    except RequestError as error:
        return error


def read_logits(answer: Answer) -> Array:
    """Return the logits of one image, float32 `[classes]`.

    Raises:
        RequestError: If the model returned NaN or infinity.
    """
    logits: Array = answer.tensors[LOGITS][0]
    check_finite(logits, LOGITS)
    return logits


def read_map(answer: Answer, request: ClassifyRequest) -> ActivationMap:
    """Return the requested map of one image: that of the class, or of the best class.

    Raises:
        UsageError: If the model returned no map of this class.
        RequestError: If the model returned NaN or infinity.
    """
    probabilities = _probabilities(answer)[0]
    return _maps(answer, 0, probabilities, _ranked(answer, 0, probabilities), request).one(request.class_)


def _maps(answer: Answer, place: int, probabilities: Array, ranked: Sequence[int], request: ClassifyRequest) -> Maps:
    """Return the maps of one image of the batch."""
    tensors = {name: array[place] for name, array in answer.tensors.items()}
    return Maps(answer.query.model, tensors, probabilities, ranked, answer.query.views[place], request.decode_options)


def _ranked(answer: Answer, place: int, probabilities: Array) -> list[int]:
    """Return the numbers of the classes of one image, best first: of all, or of those with a map.

    Without logits in the answer, the order of the maps is that of the logits in the graph. It is not used if it
    contradicts the probabilities.
    """
    if answer.query.model.ranked_by in answer.tensors:
        return list(rank_classes(_scores(answer)[place]).tolist())
    best: list[int] = answer.tensors[CAM_CLASS][place].tolist()
    by_probability: list[int] = rank_classes(probabilities).tolist()
    if len(set(best)) == len(best) and set(best).issubset(by_probability):
        differences = probabilities[best] - probabilities[by_probability[: len(best)]]
        if np.abs(differences).max() <= _ROUNDING:
            return best
    return by_probability


def _scores(answer: Answer) -> Array:
    """Return the values by which the classes of all images are sorted, `[images, classes]`; they may be infinite."""
    name = answer.query.model.ranked_by
    if np.isnan(answer.tensors[name]).any():
        check_finite(answer.tensors[name], name)
    return answer.tensors[name]


def _probabilities(answer: Answer) -> Array:
    """Return the probabilities of all images, float32 `[images, classes]`."""
    name = answer.query.model.scores
    check_finite(answer.tensors[name], name)
    activation = answer.query.model.contract.activation
    if name != PROBABILITIES:
        return probabilities_of(answer.tensors[name], activation)
    check_probabilities(answer.tensors[name], activation)
    return answer.tensors[name]
