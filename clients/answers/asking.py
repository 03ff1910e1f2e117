"""What is asked of a model: a picture made into the batch that it expects, and the outputs that answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients.answers.decode import check_top
from camserve.clients.answers.maps import check_class, class_index, outputs_for_maps
from camserve.clients.answers.served import LOGITS, Model
from camserve.clients.answers.tensors import check_batch
from camserve.clients.answers.versions import check_prepared, check_same
from camserve.clients.pictures.crops import Crops, crop_image
from camserve.clients.pictures.placement import Fitted
from camserve.clients.pictures.preprocess import fit_image, to_tensor
from camserve.clients.pictures.reading import AS_KERAS, Reading
from camserve.contract import ModelContract
from camserve.errors import UsageError
from camserve.kinds import check_kind

__all__ = [
    "Question",
    "Wanted",
    "ask_batch",
    "ask_classes",
    "ask_logits",
]

Array = np.ndarray[Any, Any]
Load = Callable[[], Image.Image]
"""Decodes the picture. It is not handed over itself, so that its pixels are free before the tensor is made: where both
live at once, the C library gives their memory back to the system each time, which costs more than the tensor."""

_TRUTH = (bool, np.bool_)


@dataclass(frozen=True)
class Wanted:
    """What a caller wants to know of a picture.

    Attributes:
        top: How many classes to name.
        cam: Whether to ask for their maps, too.
        class_: The class whose map alone to ask for, by number or label.
        crops: Parts of the picture that are asked in its place.
        timings: Whether to ask the server how long it took.
        reading: How the picture is read.

    Raises:
        UsageError: If a value is of another kind, `top` is less than one, maps are asked of an average, or one of a
            class without `cam`.
    """

    top: int = 5
    cam: bool = False
    class_: int | str | None = None
    crops: Crops | None = None
    timings: bool = False
    reading: Reading = AS_KERAS

    def __post_init__(self) -> None:
        check_top(self.top)
        check_kind("cam", self.cam, _TRUTH, "True or False; class_ names the class of one map")
        check_kind("timings", self.timings, _TRUTH, "True or False")
        if self.crops is not None:
            check_kind("crops", self.crops, Crops, "Crops(), or Crops(count=5)")
        if self.class_ is not None:
            check_class(self.class_)
            if not self.cam:
                raise UsageError("class_ names a map, and none is asked for", hint="Give cam=True too")
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


def ask_classes(load: Load, model: Model, wanted: Wanted) -> Question:
    """Asks which classes a picture shows.

    Raises:
        ImageError: If the picture cannot be fitted to the input.
        UsageError: If maps are asked of a model without, or one of a class that there is not.
    """
    if wanted.class_ is not None:
        class_index(model, wanted.class_)
    outputs = (model.scores, *(outputs_for_maps(model, wanted.class_) if wanted.cam else ()))
    if wanted.crops is None:
        return _question((fit_image(load(), model.contract),), model, outputs)
    return _question(crop_image(load(), model.contract, wanted.crops), model, outputs)


def ask_logits(load: Load, model: Model) -> Question:
    """Asks for what stands before the activation.

    Raises:
        ImageError: If the picture cannot be fitted to the input.
        UsageError: If the model does not answer with it.
    """
    model.output(LOGITS)
    return _question((fit_image(load(), model.contract),), model, (LOGITS,))


def ask_batch(
    batch: Array, outputs: Sequence[str], model: Model, called_with: Model, contract: ModelContract | None = None
) -> Question:
    """Asks for outputs of a batch that the caller prepared.

    Args:
        batch: The batch.
        outputs: Names of outputs.
        model: The model to ask.
        called_with: The one that was known when the caller asked: this, or another before it.
        contract: What the batch was prepared for; that of `called_with` unless given.

    Raises:
        UsageError: If the batch does not fit the input, no output is named, one is not the model's, or `contract` is
            none.
        ContractError: If the batch was prepared for another contract.
    """
    _check_outputs(outputs, called_with)
    if contract is not None:
        check_kind("contract", contract, ModelContract, "the contract of the classifier when it prepared the batch")
        check_prepared(contract, called_with, outputs)
    check_batch(batch, called_with)
    names = tuple(called_with.output(name).name for name in outputs)
    check_same(called_with, model, names)
    return Question(model, batch, names)


def _check_outputs(outputs: Sequence[str], model: Model) -> None:
    """A server that is asked for no output answers with all of them, and one name alone is a sequence of letters."""
    if isinstance(outputs, str) or not isinstance(outputs, Sequence) or not outputs:
        known = ", ".join(output.name for output in model.contract.outputs)
        raise UsageError(f"outputs is {outputs!r}", hint=f"Give a list of one or more of {known}")


def _question(views: tuple[Fitted, ...], model: Model, outputs: tuple[str, ...]) -> Question:
    batch = np.stack([to_tensor(view.picture, model.contract) for view in views])
    return Question(model, batch, outputs, views)
