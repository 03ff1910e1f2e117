"""What is asked of a model: an image made into the batch that it expects, and the outputs that answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from camserve.argument_checks import check_type
from camserve.clients.answers.batch_tensors import check_batch
from camserve.clients.answers.known_versions import check_prepared, check_same
from camserve.clients.answers.map_selection import check_class, class_index, outputs_for_maps
from camserve.clients.answers.predictions import check_top
from camserve.clients.answers.served_model import Model
from camserve.clients.images.crops import Crops, crop_image
from camserve.clients.images.decode_options import AS_KERAS, DecodeOptions
from camserve.clients.images.placement import Fitted
from camserve.clients.images.preprocess import fit_image, to_tensor
from camserve.contract import ModelContract
from camserve.errors import UsageError
from camserve.tensors import LOGITS

__all__ = [
    "ClassifyRequest",
    "Query",
    "query_batch",
    "query_classes",
    "query_logits",
]

Array = np.ndarray[Any, Any]
Load = Callable[[], Image.Image]
"""Decodes the image. It is not handed over itself, so that its pixels are free before the tensor is made: where both
live at once, the C library gives their memory back to the system each time, which costs more than the tensor."""

_TRUTH = (bool, np.bool_)


@dataclass(frozen=True)
class ClassifyRequest:
    """What a caller wants to know of an image.

    Attributes:
        top: How many classes to name.
        cam: Whether to ask for their maps, too.
        class_: The class whose map alone to ask for, by number or label.
        crops: Parts of the image that are asked in its place.
        timings: Whether to ask the server how long it took.
        decode_options: How the image is read.

    Raises:
        UsageError: If a value is of another kind, `top` is less than one, maps are asked of an average, or one of a
            class without `cam`.
    """

    top: int = 5
    cam: bool = False
    class_: int | str | None = None
    crops: Crops | None = None
    timings: bool = False
    decode_options: DecodeOptions = AS_KERAS

    def __post_init__(self) -> None:
        check_top(self.top)
        check_type("cam", self.cam, _TRUTH, "True or False; class_ names the class of one map")
        check_type("timings", self.timings, _TRUTH, "True or False")
        if self.crops is not None:
            check_type("crops", self.crops, Crops, "Crops(), or Crops(count=5)")
        if self.class_ is not None:
            check_class(self.class_)
            if not self.cam:
                raise UsageError("class_ names a map, and none is asked for", hint="Give cam=True too")
        if self.cam and self.crops is not None and self.crops.choose == "average":
            raise UsageError(
                "an average over crops has no maps: each crop shows another part of the image",
                hint="Choose the crop with the highest confidence, or leave the maps out",
            )


@dataclass(frozen=True, eq=False)
class Query:
    """A batch made for one model, and the outputs asked for.

    Attributes:
        model: The model.
        batch: `[images, height, width, channels]`.
        outputs: By the contract's names.
        views: The images behind the batch; empty where the caller prepared it.
    """

    model: Model
    batch: Array
    outputs: tuple[str, ...]
    views: tuple[Fitted, ...] = ()


def query_classes(load: Load, model: Model, wanted: ClassifyRequest) -> Query:
    """Asks which classes an image shows.

    Raises:
        ImageError: If the image cannot be fitted to the input.
        UsageError: If maps are asked of a model without, or one of a class that there is not.
    """
    if wanted.class_ is not None:
        class_index(model, wanted.class_)
    outputs = (model.scores, *(outputs_for_maps(model, wanted.class_) if wanted.cam else ()))
    if wanted.crops is None:
        return _question((fit_image(load(), model.contract),), model, outputs)
    return _question(crop_image(load(), model.contract, wanted.crops), model, outputs)


def query_logits(load: Load, model: Model) -> Query:
    """Asks for what stands before the activation.

    Raises:
        ImageError: If the image cannot be fitted to the input.
        UsageError: If the model does not answer with it.
    """
    model.output(LOGITS)
    return _question((fit_image(load(), model.contract),), model, (LOGITS,))


def query_batch(
    batch: Array, outputs: Sequence[str], model: Model, called_with: Model, contract: ModelContract | None = None
) -> Query:
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
        check_type("contract", contract, ModelContract, "the contract of the classifier when it prepared the batch")
        check_prepared(contract, called_with, outputs)
    check_batch(batch, called_with)
    names = tuple(called_with.output(name).name for name in outputs)
    check_same(called_with, model, names)
    return Query(model, batch, names)


def _check_outputs(outputs: Sequence[str], model: Model) -> None:
    """A server that is asked for no output answers with all of them, and one name alone is a sequence of letters."""
    if isinstance(outputs, str) or not isinstance(outputs, Sequence) or not outputs:
        known = ", ".join(output.name for output in model.contract.outputs)
        raise UsageError(f"outputs is {outputs!r}", hint=f"Give a list of one or more of {known}")


def _question(views: tuple[Fitted, ...], model: Model, outputs: tuple[str, ...]) -> Query:
    batch = np.stack([to_tensor(view.image, model.contract) for view in views])
    return Query(model, batch, outputs, views)
