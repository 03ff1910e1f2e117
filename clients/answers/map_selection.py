"""Which maps to ask a model for, and the maps that its answer holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral
from typing import Any

import numpy as np

from camserve.argument_checks import check_type
from camserve.clients.answers.activation_map import ActivationMap
from camserve.clients.answers.predictions import check_finite, ranking
from camserve.clients.answers.served_model import Model
from camserve.clients.images.decode_options import DecodeOptions
from camserve.clients.images.placement import Fitted
from camserve.errors import RequestError, UsageError
from camserve.tensors import CAM, CAM_ALL, CAM_CLASS

__all__ = ["Maps", "check_class", "class_index", "outputs_for_maps"]

Array = np.ndarray[Any, Any]

_NAMED = 10
"""How many classes a message lists."""


def check_class(class_: int | str) -> None:
    """Refuses what can be neither the number of a class nor its label.

    Raises:
        UsageError: If so.
    """
    if not isinstance(class_, str):
        check_type("class_", class_, Integral, "the number of a class, or its label")


def class_index(model: Model, class_: int | str) -> int:
    """The class of that number or label.

    Raises:
        UsageError: If there is none, or several have the label.
    """
    check_class(class_)
    if isinstance(class_, str):
        return _labelled(model, class_)
    if class_ not in range(model.contract.classes):
        raise UsageError(
            f"model {model.name!r} has no class {class_}", hint=f"Give a number from 0 to {model.contract.classes - 1}"
        )
    return int(class_)


def _labelled(model: Model, label: str) -> int:
    found = [index for index, each in enumerate(model.labels) if label in (each.name, each.identifier)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"classes {', '.join(map(str, found))} of model {model.name!r} are all called {label!r}",
            hint="Give the number of the class",
        )
    names = [each.name for each in model.labels]
    close = get_close_matches(label, names)
    raise UsageError(
        f"model {model.name!r} has no class {label!r}",
        hint=f"Did you mean {' or '.join(map(repr, close))}?" if close else f"It has {_some(names)}",
    )


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names[:_NAMED]))
    return listed if len(names) <= _NAMED else f"{listed} and {len(names) - _NAMED:,} more"


def outputs_for_maps(model: Model, class_: int | str | None) -> tuple[str, ...]:
    """Outputs that hold the map of a class; for None, those of the best classes.

    Raises:
        UsageError: If the model has no maps.
    """
    _check_has_maps(model)
    if class_ is not None and model.contract.output(CAM_ALL) is not None:
        return (CAM_ALL,)
    return (CAM, CAM_CLASS)


def _check_has_maps(model: Model) -> None:
    if model.contract.cam is None:
        raise UsageError(
            f"model {model.name!r} has no maps",
            hint="Leave the maps out (cam; --cam-dir at the command line), or export the model without --no-cam",
        )


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps in the answer to one image.

    Attributes:
        model: The model.
        tensors: Its outputs `cam` and `cam_class`, or `cam_all`, of this image.
        probabilities: Its probabilities, `[classes]`.
        view: The image.
        decode_options: How it was read.
    """

    model: Model
    tensors: Mapping[str, Array]
    probabilities: Array
    view: Fitted
    decode_options: DecodeOptions

    def best(self) -> tuple[ActivationMap, ...]:
        """The maps of the best classes, the most probable first.

        Raises:
            RequestError: If a map is not finite, or of a class that there is not.
        """
        ranked = ranking(self.probabilities)
        pairs = zip(self.tensors[CAM_CLASS].tolist(), self.tensors[CAM], strict=True)
        maps = [self._map(index, grid) for index, grid in pairs]
        # The model ranks by logits; equal probabilities are put into the order of the classes named.
        return tuple(sorted(maps, key=lambda each: ranked.index(each.index)))

    def of_class(self, class_: int | str) -> tuple[ActivationMap, ...]:
        """The map of a class, by number or label; none where the model gives those of the best, and not of this.

        Raises:
            UsageError: If there is no such class.
            RequestError: If the map is not finite.
        """
        index = class_index(self.model, class_)
        if CAM_ALL in self.tensors:
            return (self._map(index, self.tensors[CAM_ALL][index]),)
        return tuple(each for each in self.best() if each.index == index)

    def one(self, class_: int | str | None) -> ActivationMap:
        """The map of a class, by number or label; for None, that of the best class.

        Raises:
            UsageError: If the model gave no map of this class.
            RequestError: If the map is not finite.
        """
        if class_ is None:
            return self.best()[0]
        found = self.of_class(class_)
        if not found:
            raise self._none_of(class_index(self.model, class_))
        return found[0]

    def _none_of(self, index: int) -> UsageError:
        best = self.best()
        had = ", ".join(f"{each.index} ({each.label})" for each in best)
        return UsageError(
            f"model {self.model.name!r} gives maps of the {len(best)} best classes of an image, and {index} "
            f"({self.model.labels[index].name}) is not among them",
            hint=f"Of this image there are {had}; export the model with --cam-all to have the map of any class",
        )

    def _map(self, index: int, grid: Array) -> ActivationMap:
        if not 0 <= index < self.model.contract.classes:
            raise RequestError(
                f"model {self.model.name!r} answered a map of class {index}, which it does not have",
                hint="Publish the model again from its bundle",
            )
        check_finite(grid, CAM)
        return ActivationMap(
            index=index,
            label=self.model.labels[index].name,
            probability=float(self.probabilities[index]),
            grid=_alone(grid),
            image=self.view.image,
            placement=self.view.placement,
            decode_options=self.decode_options,
        )


def _alone(grid: Array) -> Array:
    """The same without the answer that it stood in, which may hold the maps of all classes; read-only, as that is."""
    copied = grid.copy()
    copied.setflags(write=False)
    return copied
