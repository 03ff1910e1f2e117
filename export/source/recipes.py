"""Recipes: the networks that camserve builds by name, with their preprocessing, without loading a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from camserve.contract import PRESETS, Preprocessing

if TYPE_CHECKING:
    import keras

__all__ = ["IMAGENET_CLASSES", "RECIPES", "Recipe", "load_img_preset"]

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Recipe:
    """A network that camserve builds by name.

    Attributes:
        build: Builds the network with random weights. Keyword arguments: `size` (height, width) and `classes`, where
            they differ from the network's own, and `weights="imagenet"` where it has them.
        preprocessing: The preprocessing of its images.
        labels: The labels of its classes; None for the classes of ImageNet.
        imagenet: Whether it has ImageNet weights, which Keras downloads.
    """

    build: Callable[..., keras.Model]
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    imagenet: bool = False

    @property
    def classes(self) -> int:
        """Number of classes."""
        return IMAGENET_CLASSES if self.labels is None else len(self.labels)


def load_img_preset(name: str) -> Preprocessing:
    """Return a preset with the resize filter of Keras's `load_img`, the one of Keras's documented pipelines."""
    return PRESETS[name].model_copy(update={"resize": "nearest"})


def _network(function: str) -> Callable[..., keras.Model]:
    """Return a builder that loads TensorFlow when it is called."""

    def build(**options: Any) -> keras.Model:
        return getattr(import_module("camserve.export.source.networks"), function)(**options)

    return build


_CAMERAS = (
    "HTC-1-M7",
    "LG-Nexus-5x",
    "Motorola-Droid-Maxx",
    "Motorola-Nexus-6",
    "Motorola-X",
    "Samsung-Galaxy-Note3",
    "Samsung-Galaxy-S4",
    "Sony-NEX-7",
    "iPhone-4s",
    "iPhone-6",
)
_DIGITS = tuple(str(digit) for digit in range(10))
_UNIT = load_img_preset("unit")
_RAW_CROP = PRESETS["raw-bgr"].model_copy(update={"fit": "crop-only"})

RECIPES: dict[str, Recipe] = {
    "resnet50": Recipe(_network("resnet50"), load_img_preset("caffe"), imagenet=True),
    "resnet-mini": Recipe(_network("resnet_mini"), _UNIT.in_gray(), _DIGITS),
    "resnet50-signs": Recipe(_network("resnet50_signs"), _UNIT, _DIGITS[:6]),
    "resnet50-signs-126": Recipe(_network("resnet50_signs_126"), _UNIT, _DIGITS[:6]),
    "resnet50-camera": Recipe(_network("resnet50_camera"), _RAW_CROP, _CAMERAS),
}
"""The recipes by the name that `camserve export` accepts."""
