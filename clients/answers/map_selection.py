"""Select the outputs with the maps of a class, and the maps in a reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral
from typing import Any

import numpy as np

from camserve.argument_checks import check_type
from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.predictions import check_finite
from camserve.clients.answers.served_model import PUBLISH_AGAIN, Model
from camserve.errors import RequestError, UsageError
from camserve.images.decode_options import DecodeOptions
from camserve.images.placement import Fitted
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS
from camserve.text import count, listed, shortened

__all__ = ["Maps", "check_class", "class_index", "outputs_for_maps"]

Array = np.ndarray[Any, Any]

_LABEL_CHARACTERS = 60
"""The most characters of a label in a message."""


def check_class(class_: int | str) -> None:
    """Check that a value can be the number or the label of a class.

    Raises:
        UsageError: If it is neither a whole number nor a string.
    """
    if not isinstance(class_, str):
        check_type("class_", class_, Integral, "the number of a class, or its label")


def class_index(model: Model, class_: int | str) -> int:
    """Return the number of the class with a number, label or identifier.

    Raises:
        UsageError: If the model has no such class, or several classes have the label.
    """
    check_class(class_)
    if isinstance(class_, str):
        return _index_of_label(model, class_)
    if class_ not in range(model.contract.classes):
        raise UsageError(
            f"model {model.name!r} has no class {class_}",
            hint=f"Choose a number from 0 to {model.contract.classes - 1}",
        )
    return int(class_)


def _index_of_label(model: Model, label: str) -> int:
    found = [index for index, each in enumerate(model.labels) if label in (each.name, each.identifier)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"the label {label!r} of model {model.name!r} is ambiguous: classes {', '.join(map(str, found))}",
            hint="Use the number of the class",
        )
    names = [each.name for each in model.labels]
    close = get_close_matches(label, names)
    raise UsageError(
        f"model {model.name!r} has no class {label!r}",
        hint=f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Choose one of {listed(names)}",
    )


def outputs_for_maps(model: Model, class_: int | str | None) -> tuple[str, ...]:
    """Return the outputs that contain the map of a class, or for None the maps of the most probable classes.

    Raises:
        UsageError: If the model has no maps.
    """
    if model.contract.cam is None:
        raise UsageError(
            f"model {model.name!r} has no maps",
            hint="Leave out cam=True or --cam-dir, or export the model again without --no-cam",
        )
    if class_ is not None and model.contract.output(CAM_ALL) is not None:
        return (CAM_ALL,)
    return (CAM, CAM_CLASS)


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps in the reply for one image.

    Attributes:
        model: The model.
        tensors: Its outputs for this image: `cam` and `cam_class`, or `cam_all`.
        probabilities: Its probabilities for this image, `[classes]`.
        ranked: The numbers of all classes, best first.
        view: The image.
        decode_options: How the image was decoded.
    """

    model: Model
    tensors: Mapping[str, Array]
    probabilities: Array
    ranked: Sequence[int]
    view: Fitted
    decode_options: DecodeOptions

    def best(self) -> tuple[ActivationMap, ...]:
        """Return the maps of the best classes, in the order of `ranked`, which may differ from the server's for ties.

        Raises:
            RequestError: If a map contains NaN or infinity, or belongs to a class that the model does not have, two
                belong to the same class, or the best class has no map.
        """
        pairs = zip(self.tensors[CAM_CLASS].tolist(), self.tensors[CAM], strict=True)
        maps = [self._map(index, grid) for index, grid in pairs]
        if len({each.index for each in maps}) < len(maps):
            raise self._two_maps_of_a_class([each.index for each in maps])
        ordered = tuple(sorted(maps, key=lambda each: self.ranked.index(each.index)))
        if ordered[0].index != self.ranked[0]:
            raise self._no_map_of_best([each.index for each in ordered])
        return ordered

    def of_class(self, class_: int | str) -> tuple[ActivationMap, ...]:
        """Return the map of a class; empty if the model returns maps of the most probable classes without this one.

        Raises:
            UsageError: If the model has no such class.
            RequestError: If the map contains NaN or infinity.
        """
        index = class_index(self.model, class_)
        if CAM_ALL in self.tensors:
            return (self._map(index, self.tensors[CAM_ALL][index]),)
        return tuple(each for each in self.best() if each.index == index)

    def one(self, class_: int | str | None) -> ActivationMap:
        """Return the map of a class, or for None that of the most probable class.

        Raises:
            UsageError: If the model returned no map of this class.
            RequestError: If the map contains NaN or infinity.
        """
        if class_ is None:
            return self.best()[0]
        found = self.of_class(class_)
        if not found:
            raise self._no_map_of(class_index(self.model, class_))
        return found[0]

    def _no_map_of(self, index: int) -> UsageError:
        best = self.best()
        available = ", ".join(f"{each.index} ({shortened(each.label, _LABEL_CHARACTERS)})" for each in best)
        return UsageError(
            f"model {self.model.name!r} returns the maps of the {len(best)} most probable classes of an image, "
            f"without class {index} ({shortened(self.model.labels[index].name, _LABEL_CHARACTERS)})",
            hint=f"Choose one of {shortened(available, 1_000)}, or export the model with --cam-all, or with a "
            "larger --cam-top-k, to get the map of any class",
        )

    def _no_map_of_best(self, found: Sequence[int]) -> RequestError:
        best = self.ranked[0]
        return RequestError(
            f"model {self.model.name!r} returned maps of classes {shortened(', '.join(map(str, found)))}, but none of "
            f"its best class {best} ({shortened(self.model.labels[best].name, _LABEL_CHARACTERS)})",
            hint="Leave out cam=True or --cam-dir, or publish the model with another accelerator: its logits and its "
            "TopK disagree",
        )

    def _two_maps_of_a_class(self, found: Sequence[int]) -> RequestError:
        return RequestError(
            f"model {self.model.name!r} returned several maps of one class: its maps are of classes "
            f"{shortened(', '.join(map(str, found)))}",
            hint=PUBLISH_AGAIN,
        )

    def _map(self, index: int, grid: Array) -> ActivationMap:
        if not 0 <= index < self.model.contract.classes:
            raise RequestError(
                f"model {self.model.name!r} returned a map of class {index}, but has "
                f"{count(self.model.contract.classes, 'class')}",
                hint=PUBLISH_AGAIN,
            )
        check_finite(grid, CAM)
        return ActivationMap(
            index=index,
            label=self.model.labels[index].name,
            probability=float(self.probabilities[index]),
            grid=_read_only_copy(grid),
            image=self.view.image,
            placement=self.view.placement,
            decode_options=self.decode_options,
            method="linear" if self.model.contract.cam is None else self.model.contract.cam.method,
        )


def _read_only_copy(grid: Array) -> Array:
    """Copy a map, so that the reply, which may contain the maps of all classes, can be released."""
    copied = grid.copy()
    copied.setflags(write=False)
    return copied
