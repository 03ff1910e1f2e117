"""The classifiers of `keras.applications`, each with the preprocessing that Keras documents for it."""

from __future__ import annotations

from functools import partial
from typing import Any

from camserve.export.frameworks import keras

from camserve.errors import SourceError
from camserve.export.source.recipes import Recipe, load_img_preset
from camserve.text import suggest

__all__ = ["application", "application_names"]

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

_OPTIONS = {  # without it, the input size of these networks is not fixed
    "MobileNetV3Large": {"input_shape": (224, 224, 3)},
    "MobileNetV3Small": {"input_shape": (224, 224, 3)},
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
    known = {candidate.lower(): candidate for candidate in application_names()}
    exact = known.get(name.lower())
    if exact is None:
        raise SourceError(
            f"keras.applications has no classifier {name!r}",
            hint=suggest(name, known.values()) or f"Choose one of: {', '.join(known.values())}",
        )
    build: Any = partial(getattr(keras.applications, exact), **_OPTIONS.get(exact, {}))
    preset = load_img_preset(_preset(exact) or "raw-rgb")
    return Recipe(partial(build, weights=None), preset, with_imagenet=partial(build, weights="imagenet"))


def _preset(name: str) -> str | None:
    if name.startswith("ResNet") and name.endswith("V2"):
        return "tf"
    return next((preset for prefix, preset in _PRESETS if name.startswith(prefix)), None)
