"""Identification of a source: a recipe, `keras:NAME`, a file or a model, without loading a framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from camserve.errors import SourceError, UsageError
from camserve.export.source.application_names import check_application_name
from camserve.export.source.contents import is_json
from camserve.export.source.json_architecture import read_architecture
from camserve.export.source.recipes import IMAGENET_CLASSES, RECIPES
from camserve.text import suggest

__all__ = ["APPLICATION_PREFIX", "IN_MEMORY", "class_count", "default_weights", "locate_files", "source_path"]

APPLICATION_PREFIX = "keras:"
"""Prefix of the names of `keras.applications`."""

_BESIDE = ("{}.weights.h5", "{}.h5", "{}.hdf5", "{}_weights.h5", "{}_weights.hdf5")
"""Names of the weights beside an architecture in JSON, without its `.json`."""

IN_MEMORY = "a model in memory"
"""What messages and reports call a source that is a Keras model."""


def source_path(source: Any) -> Path | None:
    """Return the path of a source that is a file or folder; None for a recipe, `keras:NAME` or a Keras model.

    Raises:
        SourceError: If there is no such recipe, classifier of Keras or file.
    """
    if not isinstance(source, str | Path) or source in RECIPES:
        return None
    if str(source).startswith(APPLICATION_PREFIX):
        check_application_name(str(source).removeprefix(APPLICATION_PREFIX))
        return None
    path = _with_index(Path(source).expanduser())
    if not path.exists():
        raise SourceError(
            f"{str(source)!r} is neither a recipe nor an existing file",
            hint=suggest(str(source), RECIPES)
            or f"Choose a recipe ({', '.join(RECIPES)}), keras:NAME, or a .keras file, .h5 file, "
            "architecture in JSON or SavedModel folder",
        )
    return path


def locate_files(source: Any, weights: str | None) -> tuple[Path | None, Path | None]:
    """Return the path of the source and of its weights; None where it is not a file.

    Args:
        source: As `export_model` takes it.
        weights: `imagenet`, `none`, a weights file, or None for the default of the source.

    Raises:
        SourceError: If a file does not exist.
        UsageError: If there are no such weights for the source.
    """
    path, weights_path = source_path(source), _weights_path(weights)
    is_architecture = path is not None and is_json(path)
    if path is not None and is_architecture:
        read_architecture(path)
        if weights is None:
            return path, _weights_beside(path)
    if weights is None or weights_path is not None or (is_architecture and weights == "none"):
        return path, weights_path
    if path is not None or not isinstance(source, str | Path):
        own = "has weights of its own" if not is_architecture else "is an architecture of your own"
        raise UsageError(
            f"--weights {weights} applies to recipes and keras:NAME only; {path or IN_MEMORY} {own}",
            hint="Remove --weights, or pass a weights file: --weights FILE",
        )
    recipe = RECIPES.get(str(source))
    if weights == "imagenet" and recipe is not None and not recipe.imagenet:
        raise UsageError(
            f"recipe {str(source)!r} has no ImageNet weights",
            hint="Use --weights none or a weights file: --weights FILE",
        )
    return path, weights_path


def class_count(source: Any) -> int | None:
    """Return the number of classes of a recipe or `keras:NAME`; None for files and models, which must be loaded."""
    if not isinstance(source, str | Path):
        return None
    if source in RECIPES:  # a `Path` is never a recipe, also if its name is that of one
        return RECIPES[str(source)].classes
    return IMAGENET_CLASSES if str(source).startswith(APPLICATION_PREFIX) else None


def default_weights(source: Any, weights: str | None) -> str | None:
    """Return the requested weights, or else the default of a recipe or `keras:NAME`; None for a file or model."""
    if weights is not None or class_count(source) is None:
        return weights
    recipe = RECIPES.get(str(source))
    return "imagenet" if recipe is None or recipe.imagenet else "none"


def _weights_beside(path: Path) -> Path:
    """Return the only weights file beside an architecture in JSON that is named like it."""
    names = [pattern.format(path.stem) for pattern in _BESIDE]
    found = [name for name in names if (path.parent / name).is_file()]
    if len(found) == 1:
        return path.parent / found[0]
    if found:
        raise UsageError(
            f"the weights of {path} are ambiguous: {' and '.join(found)} are beside it",
            hint=f"Choose one of them: --weights {path.parent / found[0]}",
        )
    others = sorted(other for other in path.parent.iterdir() if other.suffix in (".h5", ".hdf5"))
    raise UsageError(
        f"{path} is JSON, without weights, and no {', '.join(names[:-1])} or {names[-1]} is beside it",
        hint=f"Pass the weights: --weights {others[0] if len(others) == 1 else 'FILE'}",
    )


def _weights_path(weights: str | None) -> Path | None:
    if weights in (None, "imagenet", "none"):
        return None
    path = _with_index(Path(weights).expanduser())
    if not path.is_file():
        raise SourceError(
            f"weights file {weights!r} {'is not a regular file' if path.exists() else 'does not exist'}",
            hint="Use imagenet, none, or a .weights.h5, .h5 or .keras file: --weights FILE",
        )
    return path


def _with_index(path: Path) -> Path:
    """Return the index file of a TensorFlow checkpoint that is named by its prefix, as TensorFlow does."""
    index = path.with_name(f"{path.name}.index") if path.name else path
    return index if index.is_file() and not path.exists() else path
