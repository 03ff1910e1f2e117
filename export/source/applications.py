"""The classifiers of `keras.applications`, each with the preprocessing that Keras documents for it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

import numpy as np

from camserve.errors import SourceError
from camserve.export.source.application_names import exact_name
from camserve.export.source.recipes import Recipe, load_img_preset

__all__ = ["Size", "application", "application_names", "build_application", "check_own_layers"]

_PRESETS = (
    # The longest prefix wins. `raw-rgb`: the network rescales the pixels itself.
    ("ConvNeXt", "raw-rgb"),
    ("DenseNet", "torch"),
    ("EfficientNet", "raw-rgb"),
    ("Inception", "tf"),
    ("MobileNetV3", "raw-rgb"),
    ("MobileNet", "tf"),
    ("NASNet", "tf"),
    ("ResNet", "caffe"),
    ("VGG", "caffe"),
    ("Xception", "tf"),
)

Size = tuple[int, int]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)  # as EfficientNet's weights contain it

_SIZES: dict[str, Size] = {  # Keras leaves the input size of these networks free
    "MobileNetV3Large": (224, 224),
    "MobileNetV3Small": (224, 224),
}


def application_names() -> tuple[str, ...]:
    """Return the name of every classifier of the installed Keras whose preprocessing is known."""
    return tuple(name for name in dir(keras.applications) if name[0].isupper() and _preset(name) is not None)


def application(name: str) -> Recipe:
    """Return the recipe of a classifier of `keras.applications`.

    Args:
        name: Its name, in any case.

    Raises:
        SourceError: If Keras has no such classifier.
    """
    exact = exact_name(name, application_names())
    return Recipe(partial(build_application, exact), load_img_preset(_preset(exact) or "raw-rgb"), imagenet=True)


def build_application(
    name: str, *, weights: str | None = None, size: Size | None = None, **options: Any
) -> keras.Model:
    """Build a classifier of `keras.applications`.

    Args:
        name: Its exact name.
        weights: `imagenet`, or None for random weights.
        size: Height and width of its images; None for its own.
        options: Further arguments of Keras's function, such as `classes`.
    """
    size = size or _SIZES.get(name)
    shape = {} if size is None else {"input_shape": (*size, 3)}
    return getattr(keras.applications, name)(weights=weights, **shape, **options)


def check_own_layers(model: keras.Model, path: Path) -> None:
    """Refuse weights of an EfficientNet that was built with ImageNet weights.

    Keras then adds a Rescaling that has no weights, so that they fit a network without it.

    Args:
        model: The network with the weights, built without that layer.
        path: Their file, for messages.

    Raises:
        SourceError: If its Normalization has the statistics of ImageNet, which only those weights contain.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization) and layer.weights]
    if any(np.allclose(norm.adapt_mean, _IMAGENET_MEAN, atol=1e-3) for norm in norms):
        raise SourceError(
            f"the weights in {path} are of a network that Keras built with weights='imagenet', which has a Rescaling "
            "layer more",
            hint="Pass the whole model, model.save('model.keras'), or Keras's own weights: --weights imagenet",
        )


def _preset(name: str) -> str | None:
    if name.startswith("ResNet") and name.endswith("V2"):
        return "tf"
    return next((preset for prefix, preset in _PRESETS if name.startswith(prefix)), None)
