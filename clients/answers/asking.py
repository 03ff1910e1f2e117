"""What is asked of a model, and what its answer says: questions and readings, without a server in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients.answers.classification import Classification, Timings
from camserve.clients.answers.decode import check_finite, check_top, probabilities_of, top_predictions
from camserve.clients.answers.maps import best_maps, check_has_maps, class_index, map_of_class, outputs_for_class
from camserve.clients.answers.results import ActivationMap
from camserve.clients.answers.served import CAM, CAM_CLASS, LOGITS, PROBABILITIES, Model
from camserve.clients.answers.tensors import check_batch, join, outputs_of, split
from camserve.clients.pictures.crops import Crops, crop_image
from camserve.clients.pictures.placement import Fitted
from camserve.clients.pictures.preprocess import fit_image, to_tensor
from camserve.clients.pictures.reading import Reading
from camserve.clients.wire.messages import Reply
from camserve.errors import UsageError

__all__ = [
    "Answer",
    "Asked",
    "Question",
    "ask_batch",
    "ask_classes",
    "ask_logits",
    "ask_map",
    "held_to_contract",
    "read_classes",
    "read_logits",
    "read_map",
]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Asked:
    """What a caller wants to know of a picture.

    Attributes:
        top: How many classes to name.
        cam: Whether to ask for their maps, too.
        crops: Parts of the picture that are asked in its place.
        timings: Whether to ask the server how long it took.
        reading: How the picture is read.

    Raises:
        UsageError: If `top` is less than one, or maps are asked of an average.
    """

    top: int = 5
    cam: bool = False
    crops: Crops | None = None
    timings: bool = False
    reading: Reading = Reading()

    def __post_init__(self) -> None:
        check_top(self.top)
        if self.cam and self.crops is not None and self.crops.choose == "average":
            raise UsageError(
                "an average over crops has no maps: each crop shows another part of the picture",
                hint="Choose the crop with the highest confidence, or leave the maps out",
            )


@dataclass(frozen=True, eq=False)
class Question:
    """A batch made for one model, and the outputs asked for.

    Attributes:
        model: The model.
        batch: `[pictures, height, width, channels]`.
        outputs: By the contract's names.
        views: The pictures behind the batch; empty where the caller prepared it.
    """

    model: Model
    batch: Array
    outputs: tuple[str, ...]
    views: tuple[Fitted, ...] = ()


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

    question: Question
    tensors: Mapping[str, Array]
    version: str
    url: str
    timings: Timings


def ask_classes(image: Image.Image, model: Model, asked: Asked) -> Question:
    """Asks which classes a picture shows.

    Raises:
        ImageError: If the picture cannot be fitted to the input.
        UsageError: If maps are asked of a model without.
    """
    if asked.cam:
        check_has_maps(model)
    views = (fit_image(image, model.contract),)
    if asked.crops is not None:
        views = crop_image(image, model.contract, asked.crops)
    return _question(views, model, (_scores(model), CAM, CAM_CLASS) if asked.cam else (_scores(model),))


def ask_logits(image: Image.Image, model: Model) -> Question:
    """Asks for what stands before the activation."""
    model.output(LOGITS)
    return _question((fit_image(image, model.contract),), model, (LOGITS,))


def ask_map(image: Image.Image, model: Model, class_: int | str | None) -> Question:
    """Asks for the map of one class.

    Raises:
        ImageError: If the picture cannot be fitted to the input.
        UsageError: If the model has no maps, or no such class.
    """
    if class_ is not None:
        class_index(model, class_)
    outputs = (_scores(model), *outputs_for_class(model, class_))
    return _question((fit_image(image, model.contract),), model, outputs)


def ask_batch(batch: Array, model: Model, outputs: Sequence[str]) -> Question:
    """Asks for outputs of a batch that the caller prepared.

    Raises:
        UsageError: If the batch does not fit the input, or an output is not the model's.
    """
    check_batch(batch, model)
    return Question(model, batch, tuple(model.output(name).name for name in outputs))


def held_to_contract(question: Question, replies: Sequence[Reply], timings: Timings) -> Answer:
    """The answer that the replies to the parts of a question make together.

    Raises:
        ContractError: If one of them is not what the contract promises.
    """
    parts = zip(split(question.batch, question.model.limit), replies, strict=True)
    tensors = [outputs_of(reply.tensors, question.outputs, len(part), question.model) for part, reply in parts]
    return Answer(question, join(tensors), replies[0].version, replies[0].url, timings)


def read_classes(answer: Answer, asked: Asked) -> Classification:
    """The classes that an answer names, and their maps where they were asked for.

    Raises:
        RequestError: If the model answered NaN or infinity.
    """
    model = answer.question.model
    rows = _probabilities(answer)
    chosen = int(rows.max(axis=1).argmax())
    probabilities = rows[chosen]
    if asked.crops is not None and asked.crops.choose == "average":
        probabilities = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    cams: tuple[ActivationMap, ...] = ()
    if asked.cam:
        tensors = {name: array[chosen] for name, array in answer.tensors.items()}
        cams = best_maps(model, tensors, probabilities, answer.question.views[chosen], asked.reading)[: asked.top]
    return Classification(
        top=top_predictions(probabilities, model.labels, asked.top),
        cams=cams,
        model=model.name,
        version=answer.version,
        url=answer.url,
        timings=answer.timings,
        probabilities=probabilities,
    )


def read_logits(answer: Answer) -> Array:
    """The logits of one picture, float32 `[classes]`.

    Raises:
        RequestError: If the model answered NaN or infinity.
    """
    logits = answer.tensors[LOGITS][0]
    check_finite(logits, LOGITS)
    return logits


def read_map(answer: Answer, class_: int | str | None, reading: Reading) -> ActivationMap:
    """The map of one class of one picture.

    Raises:
        UsageError: If the model gave no map of this class.
        RequestError: If the model answered NaN or infinity.
    """
    tensors = {name: array[0] for name, array in answer.tensors.items()}
    question = answer.question
    return map_of_class(question.model, tensors, _probabilities(answer)[0], question.views[0], reading, class_)


def _question(views: tuple[Fitted, ...], model: Model, outputs: tuple[str, ...]) -> Question:
    batch = np.stack([to_tensor(view.picture, model.contract) for view in views])
    return Question(model, batch, outputs, views)


def _scores(model: Model) -> str:
    """The output that probabilities are read from."""
    return LOGITS if model.contract.output(PROBABILITIES) is None else PROBABILITIES


def _probabilities(answer: Answer) -> Array:
    """Of each picture, float32 `[pictures, classes]`."""
    name = _scores(answer.question.model)
    check_finite(answer.tensors[name], name)
    if name == PROBABILITIES:
        return answer.tensors[name]
    return probabilities_of(answer.tensors[name], answer.question.model.contract.activation)
