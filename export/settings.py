"""What the caller asked of an export, checked before any work is done."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from camserve.bundle import read_labels
from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import BundleError, UsageError
from camserve.export.load import Source
from camserve.manifest import MANIFEST_NAME

__all__ = ["FORMATS", "check_destination", "check_formats", "resolve_labels", "resolve_name", "resolve_preprocessing"]

FORMATS = ("onnx", "savedmodel")


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, each once.

    Raises:
        UsageError: If there is none, or one that camserve does not write.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UsageError(
            f"there is no format {', '.join(unknown) or '(none given)'}", hint=f"Formats: {', '.join(FORMATS)}"
        )
    return tuple(dict.fromkeys(formats))


def check_destination(out: str | Path) -> Path:
    """The folder to write, absolute; an earlier bundle there will be replaced.

    Raises:
        UsageError: If something else stands there.
    """
    folder = Path(out).expanduser().absolute()
    if not folder.exists() and not folder.is_symlink():
        return folder
    if not folder.is_dir():
        raise UsageError(f"{out} exists and is not a folder", hint="Give another --out")
    if any(folder.iterdir()) and not (folder / MANIFEST_NAME).is_file():
        raise UsageError(
            f"{out} exists and holds other files than a bundle",
            hint="Give a new folder; camserve replaces only bundles of its own",
        )
    return folder


def resolve_preprocessing(
    source: Source,
    channels: int,
    asked: str | Preprocessing | None,
    resize: ResizeFilter | None = None,
    fit: Fit | None = None,
) -> Preprocessing:
    """How pixels are prepared: as asked, else as the source documents it.

    Raises:
        UsageError: If nobody says how, there is no such preset, or it does not suit the model's channels.
    """
    preprocessing = source.preprocessing if asked is None else _preset(asked)
    if preprocessing is None:
        raise UsageError(
            f"{source.origin} does not say how its pixels are prepared",
            hint=f"Say how it was trained: --preprocess {'|'.join(PRESETS)}",
        )
    if channels == 1 and preprocessing.color != "gray":
        try:
            preprocessing = preprocessing.in_gray()
        except ValueError as error:
            raise UsageError(
                f"the model takes gray pictures, and {error}", hint="Choose unit, tf or raw-rgb"
            ) from error
    if preprocessing.channels != channels:
        raise UsageError(
            f"the model takes {channels} channels, and its preprocessing gives {preprocessing.channels}",
            hint="camserve prepares RGB and BGR (3 channels) and gray (1)",
        )
    changes = {"resize": resize, "fit": fit}
    return preprocessing.model_copy(update={key: value for key, value in changes.items() if value is not None})


def resolve_labels(source: Source, classes: int, asked: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """The label of each class: as asked, else the source's own, else its number.

    Raises:
        UsageError: If the number of labels is not the number of classes, or the file cannot be read.
    """
    if asked is None:
        own = source.labels
        return own if own is not None and len(own) == classes else tuple(str(index) for index in range(classes))
    if isinstance(asked, str | Path):
        try:
            labels = read_labels(Path(asked).expanduser())
        except BundleError as error:
            raise UsageError(error.message, hint=error.hint) from error
    else:
        labels = tuple(asked)
    if len(labels) != classes:
        raise UsageError(
            f"there are {len(labels)} labels in {asked if isinstance(asked, str | Path) else 'the list'} "
            f"for {classes} classes",
            hint="Give one label a line, in class order",
        )
    return labels


def resolve_name(source: Source, asked: str | None) -> str:
    """The name to serve under: as asked, else the source's, with what a model repository does not take replaced.

    Raises:
        UsageError: If the name asked for is none that a model repository takes.
    """
    if asked is None:
        return _servable(source.name)
    if asked != _servable(asked):
        raise UsageError(
            f"{asked!r} cannot be a model's name",
            hint=f"Use letters, digits, dots, dashes and underscores, such as {_servable(asked)!r}",
        )
    return asked


def _servable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "model"


def _preset(asked: str | Preprocessing) -> Preprocessing:
    if isinstance(asked, Preprocessing):
        return asked
    if asked not in PRESETS:
        raise UsageError(f"there is no preprocessing {asked!r}", hint=f"Presets: {', '.join(PRESETS)}")
    return PRESETS[asked]
