"""From a SOURCE to a Keras model: a recipe, `keras:NAME`, or a file."""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from camserve.contract import Preprocessing
from camserve.errors import ExportError, SourceError, UsageError
from camserve.export.applications import application
from camserve.export.recipes import RECIPES, Recipe

__all__ = ["Source", "imagenet_labels", "load_source"]

_IMAGENET_CLASSES = 1000
_SEED = 0


@dataclass(frozen=True)
class Source:
    """A loaded classifier and what is known of it.

    Attributes:
        model: The Keras model.
        origin: What it was loaded from, for reports.
        name: The name that it is served under unless another is given.
        preprocessing: How its pixels are prepared; None where only its owner knows.
        labels: Names of its classes; None where only its owner knows.
        imagenet: Whether its classes are ImageNet's, whose names are fetched when they are needed.
    """

    model: keras.Model
    origin: str
    name: str
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    imagenet: bool = False


def load_source(source: str | Path | keras.Model, weights: str | None = None) -> Source:
    """Loads or builds a classifier.

    Args:
        source: A recipe (see `RECIPES`), `keras:NAME`, a `.keras` or `.h5` file, the folder of a SavedModel that
            Keras wrote, or a Keras model.
        weights: `imagenet`, `none` for random weights (always the same), or a file of weights; by default
            `imagenet` for `resnet50` and `keras:NAME`, `none` for the other recipes, those in the file for a file.

    Raises:
        SourceError: If it cannot be loaded, or the weights do not fit.
        UsageError: If such weights do not exist for the source.
    """
    if isinstance(source, keras.Model):
        loaded = Source(source, "a model in memory", source.name)
        return _with_weights(loaded, weights)
    text = str(source)
    if text in RECIPES:
        return _from_recipe(text, RECIPES[text], weights, imagenet=text == "resnet50")
    if text.startswith("keras:"):
        recipe = application(text.removeprefix("keras:"))
        return _from_recipe(text, recipe, weights, imagenet=True)
    path = Path(source).expanduser()
    if not path.exists():
        raise SourceError(
            f"{text!r} is neither a recipe nor a file that exists",
            hint=f"Recipes: {', '.join(RECIPES)}, keras:NAME; files: .keras, .h5, a SavedModel folder",
        )
    return _with_weights(Source(_load_file(path), str(source), path.stem), weights)


def imagenet_labels() -> tuple[str, ...]:
    """The labels of ImageNet, `identifier<TAB>label`, from Keras's class index, which Keras downloads once.

    Raises:
        SourceError: If it is not cached and cannot be downloaded.
    """
    descending = np.linspace(1, 0, _IMAGENET_CLASSES)[np.newaxis]
    try:
        (decoded,) = keras.applications.imagenet_utils.decode_predictions(descending, top=_IMAGENET_CLASSES)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise SourceError(
            f"the ImageNet class index cannot be downloaded: {error}",
            hint="Export where there is a network, or give the labels: --labels FILE",
        ) from error
    return tuple(f"{identifier}\t{label}" for identifier, label, _ in decoded)


def _from_recipe(name: str, recipe: Recipe, weights: str | None, *, imagenet: bool) -> Source:
    weights = weights or ("imagenet" if imagenet else "none")
    served_name = name.removeprefix("keras:").lower()
    if weights == "imagenet":
        if recipe.with_imagenet is None:
            raise UsageError(f"there are no ImageNet weights for {name!r}", hint="Use --weights none or a file")
        try:
            model = recipe.with_imagenet()
        except Exception as error:  # Keras raises a bare Exception when a download fails
            raise SourceError(
                f"the ImageNet weights of {name!r} cannot be downloaded: {error}",
                hint="Export where there is a network, or use --weights none or --weights FILE",
            ) from error
        return Source(model, f"{name}, weights imagenet", served_name, recipe.preprocessing, imagenet=True)
    keras.utils.set_random_seed(_SEED)
    built = Source(recipe.build(), f"{name}, weights {weights}", served_name, recipe.preprocessing, recipe.labels)
    return built if weights == "none" else _with_weights(built, weights)


def _with_weights(source: Source, weights: str | None) -> Source:
    if weights is None:
        return source
    if weights in ("imagenet", "none"):
        raise UsageError(
            f"--weights {weights} is for recipes, and {source.origin!r} has weights of its own",
            hint="Leave --weights out, or give a file of weights",
        )
    path = Path(weights).expanduser()
    if not path.is_file():
        raise SourceError(f"there is no file of weights {weights!r}", hint="Give a .weights.h5, .h5 or .keras file")
    before = source.model.get_weights()
    try:
        _load_weights(source.model, path)
    except Exception as error:  # h5py, zipfile and Keras each raise their own
        source.model.set_weights(before)
        raise SourceError(
            f"the weights in {weights} do not fit {source.origin}: {_first_line(error)}",
            hint="Give weights that were saved from a model of the same layers",
        ) from error
    return source


def _load_weights(model: keras.Model, path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.load_weights(str(path))
    if caught:  # Keras warns, and no more, of layers that it finds no weights for
        raise ValueError(str(caught[0].message))


def _load_file(path: Path) -> keras.Model:
    if path.is_dir():
        return _load_saved_model(path)
    suffix = path.suffix.lower()
    if suffix == ".keras" and not zipfile.is_zipfile(path):
        raise SourceError(f"{path} is not a .keras archive, or only a part of one", hint="Save the model again")
    if suffix not in (".keras", ".h5", ".hdf5"):
        raise SourceError(
            f"{path} is no Keras model: its name ends in {path.suffix or 'nothing'!r}",
            hint="camserve reads .keras, .h5 and SavedModel folders",
        )
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # h5py, zipfile and Keras each raise their own
        raise _unreadable(path, error) from error
    if not isinstance(model, keras.Model):
        raise SourceError(f"{path} holds a {type(model).__name__}, not a model")
    return model


def _load_saved_model(path: Path) -> keras.Model:
    """Loads a SavedModel that Keras 2 wrote, by way of `tf_keras` and an HDF5 file, which Keras 3 reads."""
    if not (path / "saved_model.pb").is_file():
        raise SourceError(f"{path} is a folder, but not a SavedModel", hint="It has no saved_model.pb")
    if not (path / "keras_metadata.pb").is_file():
        raise SourceError(
            f"the SavedModel {path} holds a function only, not the Keras layers it was made of",
            hint="Export the .keras or .h5 file that it was made from",
        )
    try:
        import tf_keras  # noqa: PLC0415  it takes seconds, and few sources need it
    except ImportError as error:
        raise ExportError(
            "reading a SavedModel needs tf_keras", hint="Install it: pip install 'camserve[export]'"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.h5"
        try:
            tf_keras.models.load_model(str(path), compile=False).save(str(copy), include_optimizer=False)
            return keras.models.load_model(copy, compile=False)
        except Exception as error:  # TensorFlow and Keras each raise their own
            raise _unreadable(path, error) from error


_UNKNOWN_LAYER = re.compile(r"(?:Could not locate \w+|Unknown \w+:) '([^']+)'")


def _unreadable(path: Path, error: Exception) -> SourceError:
    text = str(error)
    unknown = _UNKNOWN_LAYER.search(text)
    if unknown:
        return SourceError(
            f"{path} uses {unknown[1]!r}, which Keras does not know",
            hint="Load the model in Python, where that class can be imported, and pass it to export_model",
        )
    if "Lambda" in text:
        return SourceError(
            f"{path} holds a Lambda layer, which would run code of the file's author",
            hint="Replace it with a layer of Keras, or load a file you trust in Python and pass it to export_model",
        )
    return SourceError(f"{path} cannot be loaded: {_first_line(error)}", hint="Save the model again")


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
