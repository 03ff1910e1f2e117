"""Loading of a source: a recipe, `keras:NAME`, a model file or a Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from camserve.export.frameworks import keras

from camserve.contract import Preprocessing
from camserve.errors import SourceError, UsageError
from camserve.export.framework_errors import reason
from camserve.export.source.applications import Size, application, check_own_layers
from camserve.export.source.checksum import verify_checksum
from camserve.export.source.custom_objects import import_custom_objects
from camserve.export.source.downloads import imagenet_model
from camserve.export.source.loaded_model import Predict
from camserve.export.source.locate import APPLICATION_PREFIX, IN_MEMORY, default_weights, locate_files
from camserve.export.source.model_file import load_model_file
from camserve.export.source.recipes import RECIPES, Recipe
from camserve.export.source.weights import load_weights
from camserve.text import count

__all__ = ["Source", "load_source"]

_SEED = 0
_NO_WEIGHTS = ", weights none"


@dataclass(frozen=True)
class Source:
    """A loaded classifier and its origin.

    Attributes:
        model: The Keras model.
        origin: What it was loaded from, with full paths, for messages.
        title: The same without folders, so that it is equal on every machine: `resnet50, weights none`, `cat.keras`.
        name: Default for the name that it is served under.
        preprocessing: The preprocessing of its images; None if unknown.
        labels: The labels of its classes; None if unknown.
        imagenet: Whether its classes are those of ImageNet, whose labels are downloaded when they are needed.
        sha256: SHA-256 of the source file in hexadecimal, or of the weights file if the source is not a file; None if
            there is neither.
        predict: Runs the model in the library that saved it, if that is not Keras 3; None otherwise.
        warnings: Warnings about the file for the report.
    """

    model: keras.Model
    origin: str
    title: str
    name: str
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    imagenet: bool = False
    sha256: str | None = None
    predict: Predict | None = None
    warnings: tuple[str, ...] = ()


def load_source(
    source: str | Path | keras.Model,
    weights: str | None = None,
    *,
    sha256: str | None = None,
    custom_objects: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    classes: int | None = None,
) -> Source:
    """Load or build a classifier.

    Args:
        source: A recipe (see `RECIPES`), `keras:NAME`, a `.keras` or `.h5` file, an architecture in JSON, a SavedModel
            folder written by Keras 2, or a Keras model.
        weights: `imagenet`, `none` for random weights (always the same), or a weights file (default: `imagenet` for
            `resnet50` and `keras:NAME`, `none` for the other recipes, those in the file for a file, the one beside
            it for an architecture).
        sha256: Expected SHA-256 of the source file, or of the weights file of a recipe or model, in hexadecimal.
            Verified before the file is read.
        custom_objects: Dotted names of Python modules to import first, which define or register what the source uses
            besides Keras's own layers.
        size: Height and width of the images to build a recipe or `keras:NAME` for; None for its own.
        classes: Number of classes to build a recipe or `keras:NAME` with; None for its own.

    Raises:
        SourceError: If the source cannot be loaded, has another SHA-256, or the weights do not fit.
        UsageError: If there are no such weights for the source, or `sha256` does not apply to exactly one file.
    """
    path, weights_path = locate_files(source, weights)
    digest = verify_checksum([file for file in (path, weights_path) if file is not None], sha256)
    if path is None:
        import_custom_objects(custom_objects)
    if isinstance(source, keras.Model):
        loaded = Source(source, IN_MEMORY, IN_MEMORY, source.name)
    elif path is not None:
        file = load_model_file(path, custom_objects, weights_path)
        origin, title = str(source), path.name
        if weights_path is not None:
            origin, title = f"{origin}, weights {weights_path}", f"{title}, weights {weights_path.name}"
        return Source(file.model, origin, title, path.stem, sha256=digest, predict=file.predict, warnings=file.warnings)
    elif not isinstance(source, str | Path):
        library = type(source).__module__.partition(".")[0]
        raise SourceError(
            f"the source must be a Keras 3 model, a path or a name, got a {type(source).__name__} of {library}",
            hint="Save it, and export the file: model.save('model.h5')",
        )
    else:
        kind = "none" if weights_path is not None else default_weights(source, weights)
        loaded = _build_recipe(str(source), imagenet=kind == "imagenet", size=size, classes=classes)
    loaded = replace(loaded, sha256=digest)
    if weights_path is None:
        return loaded
    return _with_weights(loaded, weights_path, classes_option=not isinstance(source, keras.Model))


def _build_recipe(name: str, *, imagenet: bool, size: Size | None, classes: int | None) -> Source:
    """Build a recipe or a classifier of `keras.applications`, with random or ImageNet weights."""
    is_application = name.startswith(APPLICATION_PREFIX)
    recipe = application(name.removeprefix(APPLICATION_PREFIX)) if is_application else RECIPES[name]
    served_name = name.removeprefix(APPLICATION_PREFIX).lower()
    described = ", ".join(
        [
            name,
            *([] if size is None else [f"size {size[0]}x{size[1]}"]),
            *([] if classes is None else [count(classes, "class")]),
        ]
    )
    if imagenet:
        model, title = _imagenet_model(name, recipe, size), f"{described}, weights imagenet"
        return Source(model, title, title, served_name, recipe.preprocessing, imagenet=True)
    keras.utils.set_random_seed(_SEED)
    model, title = _build(name, recipe, size=size, classes=classes), f"{described}{_NO_WEIGHTS}"
    return Source(model, title, title, served_name, recipe.preprocessing, recipe.labels)


def _build(name: str, recipe: Recipe, **options: Any) -> keras.Model:
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return recipe.build(**given)
    except ValueError as error:  # Keras's own check, or a layer with a window that is larger than its input
        described = " and ".join(f"{key} {_text(value)}" for key, value in given.items()) or "its own size"
        raise UsageError(
            f"{name} cannot be built with {described}: {reason(error)}", hint="Pass a larger size: --size HxW"
        ) from None


def _imagenet_model(name: str, recipe: Recipe, size: Size | None) -> keras.Model:
    """Build a network with ImageNet weights, for any size of image that its layers can process with them."""
    model = imagenet_model(name, partial(recipe.build, weights="imagenet"))
    if size in (None, model.input_shape[1:3]):
        return model
    resized = _build(name, recipe, size=size)
    if len(resized.layers) != len(model.layers):  # EfficientNet has a layer that Keras adds only with these weights
        return imagenet_model(name, partial(recipe.build, weights="imagenet", input_tensor=keras.Input((*size, 3))))
    for weight, own in zip(resized.weights, model.weights, strict=True):
        if weight.shape != own.shape:
            raise UsageError(
                f"the ImageNet weights of {name!r} do not fit images of {_text(size)}: {weight.path} must have the "
                f"shape {tuple(weight.shape)}, and theirs is {tuple(own.shape)}",
                hint=f"Remove --size: they are for images of {_text(model.input_shape[1:3])}",
            )
    resized.set_weights(model.get_weights())
    return resized


def _text(value: Any) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else str(value)


def _with_weights(source: Source, path: Path, *, classes_option: bool) -> Source:
    origin = source.origin.removesuffix(_NO_WEIGHTS)
    load_weights(source.model, path, origin, classes_option=classes_option)
    if origin.startswith(APPLICATION_PREFIX):
        check_own_layers(source.model, path)
    title = f"{source.title.removesuffix(_NO_WEIGHTS)}, weights {path.name}"
    return replace(source, origin=f"{origin}, weights {path}", title=title)
