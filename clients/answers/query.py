"""Make queries: the batch of an image for a model, and the outputs to request."""

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
from camserve.contract import ModelContract
from camserve.errors import UsageError
from camserve.images.crops import Crops, crop_image
from camserve.images.decode_options import AS_KERAS, DecodeOptions
from camserve.images.placement import Fitted
from camserve.images.preprocess import fit_image, to_tensor
from camserve.tensors import CAM_CLASS, LOGITS

__all__ = [
    "ClassifyRequest",
    "Query",
    "outputs_for_classes",
    "query_batch",
    "query_classes",
    "query_logits",
]

Array = np.ndarray[Any, Any]
Load = Callable[[], Image.Image]
"""Decodes the image. The image itself is not passed, so that its pixels are released before the tensor is created: if
both existed at once, the C library would return their memory to the system each time, at a higher cost."""

_BOOLEAN = (bool, np.bool_)


@dataclass(frozen=True)
class ClassifyRequest:
    """What to return for an image.

    Attributes:
        top: Number of classes.
        cam: Whether to return their maps.
        class_: Number or label of the class whose map is returned instead.
        crops: Crops to classify instead of the whole image.
        timings: Whether to query the server's statistics.
        decode_options: How the image is decoded.

    Raises:
        UsageError: If a value has another type, `top` is less than 1, maps are requested of an average, or `class_` is
            passed without `cam`.
    """

    top: int = 5
    cam: bool = False
    class_: int | str | None = None
    crops: Crops | None = None
    timings: bool = False
    decode_options: DecodeOptions = AS_KERAS

    def __post_init__(self) -> None:
        check_top(self.top)
        check_type("cam", self.cam, _BOOLEAN, "True or False; class_ selects the class of the map")
        check_type("timings", self.timings, _BOOLEAN, "True or False")
        if self.crops is not None:
            check_type("crops", self.crops, Crops, "Crops(), or Crops(count=5)")
        if self.class_ is not None:
            check_class(self.class_)
            if not self.cam:
                raise UsageError("class_ selects a map, but no map is requested", hint="Pass cam=True, too")
        if self.cam and self.crops is not None and self.crops.choose == "average":
            raise UsageError(
                "the average of crops has no map, as each crop shows another part of the image",
                hint='Pass Crops(choose="highest"), or leave out cam=True',
            )


@dataclass(frozen=True, eq=False)
class Query:
    """A batch for one model, and the requested outputs.

    Attributes:
        model: The model.
        batch: `[images, height, width, channels]`.
        outputs: The requested outputs, by the contract's names.
        views: The images of the batch; empty if the caller prepared the batch, or nothing needs them.
    """

    model: Model
    batch: Array
    outputs: tuple[str, ...]
    views: tuple[Fitted, ...] = ()


def query_classes(load: Load, model: Model, request: ClassifyRequest) -> Query:
    """Make the query for the classes of an image, and their maps.

    Raises:
        ImageError: If the image cannot be resized to the input.
        UsageError: If maps are requested of a model without, or the model does not have the class.
    """
    outputs = outputs_for_classes(model, request)
    if request.crops is None:
        return _query((fit_image(load(), model.contract),), model, outputs)
    return _query(crop_image(load(), model.contract, request.crops), model, outputs)


def outputs_for_classes(model: Model, request: ClassifyRequest) -> tuple[str, ...]:
    """Return the outputs from which the classes of an image are read, and their maps.

    Raises:
        UsageError: If maps are requested of a model without, or the model does not have the class.
    """
    if request.class_ is not None:
        class_index(model, request.class_)
    maps = outputs_for_maps(model, request.class_) if request.cam else ()
    ranking = () if _ranks(maps, model, request.top) else (model.ranked_by,)
    return tuple(dict.fromkeys((model.scores, *ranking, *maps)))


def _ranks(maps: tuple[str, ...], model: Model, top: int) -> bool:
    """Return whether the maps come with the order of the `top` best classes, so that the logits are not needed."""
    return model.contract.cam is not None and CAM_CLASS in maps and top <= model.contract.cam.top_k


def query_logits(load: Load, model: Model) -> Query:
    """Make the query for the logits of an image.

    Raises:
        ImageError: If the image cannot be resized to the input.
        UsageError: If the model does not return logits.
    """
    model.output(LOGITS)
    return _query((fit_image(load(), model.contract),), model, (LOGITS,))


def query_batch(
    batch: Array, outputs: Sequence[str], model: Model, called_with: Model, contract: ModelContract | None = None
) -> Query:
    """Make the query for outputs of a batch that the caller prepared.

    Args:
        batch: The batch.
        outputs: Names of outputs.
        model: The model to query.
        called_with: The model that was known at the call: `model`, or an earlier version.
        contract: The contract that the batch was prepared for (default: that of `called_with`).

    Raises:
        UsageError: If the batch does not match the input, `outputs` is empty or names an unknown output, or `contract`
            is not a contract.
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
    """Refuse an empty list, for which a server returns all outputs, and a string, which is a sequence of letters."""
    if isinstance(outputs, str) or not isinstance(outputs, Sequence) or not outputs:
        known = ", ".join(output.name for output in model.contract.outputs)
        raise UsageError(
            f"outputs must be a list of names, got {outputs!r}", hint=f"Pass a list of one or more of {known}"
        )


def _query(views: tuple[Fitted, ...], model: Model, outputs: tuple[str, ...]) -> Query:
    batch = np.stack([to_tensor(view, model.contract) for view in views])
    return Query(model, batch, outputs, views)
