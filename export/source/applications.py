"""The classifiers of `keras.applications`, each with the preprocessing that Keras documents for it."""

from __future__ import annotations

from functools import partial
from typing import Any

from camserve.export.frameworks import keras

from camserve.export.source.application_names import exact_name
from camserve.export.source.recipes import Recipe, load_img_preset

__all__ = ["Size", "application", "application_names", "build_application"]

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


def _preset(name: str) -> str | None:
    if name.startswith("ResNet") and name.endswith("V2"):
        return "tf"
    return next((preset for prefix, preset in _PRESETS if name.startswith(prefix)), None)
