"""Answers: the classes, and the map that explains each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from camserve import heatmap
from camserve.clients.answers.decode import Prediction

__all__ = ["ActivationMap", "Classification"]


@dataclass(frozen=True, eq=False)
class ActivationMap:
    """The class activation map of one class: how much each cell of the picture speaks for it.

    Attributes:
        class_index: The class.
        label: Its name.
        probability: Its probability.
        grid: The map as the model gave it, float32 `[rows, columns]`, in units of the logit.
        picture: The picture as the network saw it, fitted to the input.
    """

    class_index: int
    label: str
    probability: float
    grid: np.ndarray[Any, Any] = field(repr=False)
    picture: Image.Image = field(repr=False)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return (self.picture.height, self.picture.width)

    def upsample(self, size: tuple[int, int] | None = None) -> np.ndarray[Any, Any]:
        """The map enlarged linearly, corners aligned, to (height, width); to the network's input unless given."""
        return heatmap.upsample(self.grid, size or self.input_size)

    def overlay(self, size: tuple[int, int] | None = None, alpha: float = 0.5) -> Image.Image:
        """The map in jet over the picture as the network saw it.

        Args:
            size: Height and width of the result; those of the network's input unless given.
            alpha: Opacity of the map, from 0 to 1.
        """
        height, width = size or self.input_size
        picture = heatmap.as_rgb(self.picture)
        if (height, width) != self.input_size:
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        return heatmap.overlay(picture, self.grid, alpha)


@dataclass(frozen=True)
class Classification:
    """What a model says of one picture.

    Attributes:
        top: The best classes, best first.
        cams: The maps of the best classes, best first; empty unless asked for.
        model: The model that answered.
        version: The version of it that answered.
        probabilities: Of every class, float32 `[classes]`.
    """

    top: tuple[Prediction, ...]
    cams: tuple[ActivationMap, ...]
    model: str
    version: str
    probabilities: np.ndarray[Any, Any] = field(repr=False, compare=False)
