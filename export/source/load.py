"""From a SOURCE to a Keras model: a recipe, `keras:NAME`, or a file, looked at before anything in it is believed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camserve.export.frameworks import keras

from camserve.contract import Preprocessing
from camserve.errors import SourceError, UsageError
from camserve.export.framework_errors import reason
from camserve.export.source.applications import application
from camserve.export.source.checksum import verify_checksum
from camserve.export.source.custom_objects import import_custom_objects
from camserve.export.source.downloads import imagenet_model
from camserve.export.source.model_file import check_weights_file, load_model_file
from camserve.export.source.recipes import RECIPES

__all__ = ["Source", "load_source"]

_SEED = 0
_APPLICATION = "keras:"
_IN_MEMORY = "a model in memory"
_NO_WEIGHTS = ", weights none"


@dataclass(frozen=True)
class Source:
    """A loaded classifier and what is known of it.

    Attributes:
        model: The Keras model.
        origin: What it was loaded from, with paths, for messages.
        title: The same without folders, so that it reads alike on every machine: `resnet50, weights none`, `cat.keras`.
        name: The name that it is served under unless another is given.
        preprocessing: How its pixels are prepared; None where only its owner knows.
        labels: Names of its classes; None where only its owner knows.
        imagenet: Whether its classes are ImageNet's, whose names are fetched when they are needed.
        sha256: SHA-256 of the file that was given as source, in hexadecimal; of the file of weights where the source
            is none; None where there is neither.
    """

    model: keras.Model
    origin: str
    title: str
    name: str
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    imagenet: bool = False
    sha256: str | None = None


def load_source(
    source: str | Path | keras.Model,
    weights: str | None = None,
    *,
    sha256: str | None = None,
    custom_objects: Sequence[str] = (),
) -> Source:
    """Loads or builds a classifier.

    Args:
        source: A recipe (see `RECIPES`), `keras:NAME`, a `.keras` or `.h5` file, the folder of a SavedModel that
            Keras wrote, or a Keras model.
        weights: `imagenet`, `none` for random weights (always the same), or a file of weights; by default
            `imagenet` for `resnet50` and `keras:NAME`, `none` for the other recipes, those in the file for a file.
        sha256: What the SHA-256 of the file must be, in hexadecimal: of the source, or of the file of weights of a
            recipe or a model in memory. Checked before anything in the file is read.
        custom_objects: Dotted names of Python modules to import first, which define or register what the source uses
            besides Keras's own layers.

    Raises:
        SourceError: If it cannot be loaded, is not the file expected, or the weights do not fit.
        UsageError: If such weights do not exist for the source, or there is no one file to hold to the hash.
    """
    path, weights_path = _source_path(source), _weights_path(weights)
    if weights is not None and weights_path is None and (path is not None or isinstance(source, keras.Model)):
        raise UsageError(
            f"--weights {weights} is for recipes, and {path or _IN_MEMORY!r} has weights of its own",
            hint="Leave --weights out, or give a file of weights",
        )
    digest = verify_checksum([given for given in (path, weights_path) if given is not None], sha256)
    custom = import_custom_objects(custom_objects)
    if isinstance(source, keras.Model):
        loaded = Source(source, _IN_MEMORY, _IN_MEMORY, source.name)
    elif path is not None:
        loaded = Source(load_model_file(path, custom), str(source), path.name, path.stem)
    else:
        loaded = _built(str(source), "none" if weights_path is not None else weights)
    loaded = replace(loaded, sha256=digest)
    return loaded if weights_path is None else _with_weights(loaded, weights_path)


def _source_path(source: str | Path | keras.Model) -> Path | None:
    if isinstance(source, keras.Model) or source in RECIPES or str(source).startswith(_APPLICATION):
        return None
    path = Path(source).expanduser()
    if not path.exists():
        raise SourceError(
            f"{str(source)!r} is neither a recipe nor a file that exists",
            hint=f"Recipes: {', '.join(RECIPES)}, keras:NAME; files: .keras, .h5, a SavedModel folder",
        )
    return path


def _weights_path(weights: str | None) -> Path | None:
    if weights in (None, "imagenet", "none"):
        return None
    path = Path(weights).expanduser()
    if not path.is_file():
        raise SourceError(f"there is no file of weights {weights!r}", hint="Give a .weights.h5, .h5 or .keras file")
    return path


def _built(name: str, weights: str | None) -> Source:
    """A recipe's network, or one of `keras.applications`, with random weights or those of ImageNet."""
    is_application = name.startswith(_APPLICATION)
    recipe = application(name.removeprefix(_APPLICATION)) if is_application else RECIPES[name]
    imagenet = is_application or name == "resnet50"
    weights = weights or ("imagenet" if imagenet else "none")
    title, served_name = f"{name}, weights {weights}", name.removeprefix(_APPLICATION).lower()
    if weights == "none":
        keras.utils.set_random_seed(_SEED)
        labels = None if imagenet else recipe.labels
        return Source(recipe.build(), title, title, served_name, recipe.preprocessing, labels)
    if recipe.with_imagenet is None:
        raise UsageError(f"there are no ImageNet weights for {name!r}", hint="Use --weights none or a file")
    model = imagenet_model(name, recipe.with_imagenet)
    return Source(model, title, title, served_name, recipe.preprocessing, imagenet=True)


def _with_weights(source: Source, path: Path) -> Source:
    check_weights_file(path)
    model, origin = source.model, source.origin.removesuffix(_NO_WEIGHTS)
    before = model.get_weights()
    try:
        _load_weights(model, path)
    except Exception as error:  # h5py, zipfile and Keras each raise their own
        model.set_weights(before)
        raise SourceError(
            f"the weights in {path} do not fit {origin}: {reason(error)}",
            hint="Give weights that were saved from a model of the same layers",
        ) from error
    title = f"{source.title.removesuffix(_NO_WEIGHTS)}, weights {path.name}"
    return replace(source, origin=f"{origin}, weights {path}", title=title)


def _load_weights(model: keras.Model, path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.load_weights(str(path))
    if caught:  # Keras warns, and no more, of layers that it finds no weights for
        raise ValueError(str(caught[0].message))
