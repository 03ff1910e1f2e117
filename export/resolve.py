"""What an export is told or finds out by itself: preprocessing, labels, name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from camserve.bundle import read_labels
from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import BundleError, UsageError
from camserve.export.source.downloads import imagenet_labels
from camserve.export.source.load import Source
from camserve.names import as_model_name, check_model_name

__all__ = ["resolve_labels", "resolve_name", "resolve_preprocessing"]


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
            raise UsageError(f"the model takes gray images, and {error}", hint="Choose unit, tf or raw-rgb") from error
    if preprocessing.channels != channels:
        raise UsageError(
            f"the model takes {channels} channels, and its preprocessing gives {preprocessing.channels}",
            hint="camserve prepares RGB and BGR (3 channels) and gray (1)",
        )
    changes = {key: value for key, value in (("resize", resize), ("fit", fit)) if value is not None}
    try:
        return Preprocessing.model_validate({**preprocessing.model_dump(), **changes})
    except ValidationError as error:
        raise UsageError(
            f"there is no such preprocessing: {error.errors()[0]['msg']}", hint=f"Given was {changes}"
        ) from error


def resolve_labels(source: Source, classes: int, asked: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """The label of each class: as asked, else the source's own, else its number.

    Raises:
        UsageError: If the number of labels is not the number of classes, or the file cannot be read.
    """
    if asked is None:
        own = imagenet_labels() if source.imagenet else source.labels
        return own if own is not None and len(own) == classes else tuple(str(index) for index in range(classes))
    if isinstance(asked, str | Path):
        try:
            labels = read_labels(Path(asked).expanduser())
        except BundleError as error:
            raise UsageError(error.message, hint=error.hint) from error
    else:
        labels = tuple(asked)
        odd = [label for label in labels if not label.strip() or len(label.splitlines()) > 1]
        if odd:
            raise UsageError(f"{odd[0]!r} cannot be a label", hint="A label is one line of text, and not empty")
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
    return as_model_name(source.name) if asked is None else check_model_name(asked)


def _preset(asked: str | Preprocessing) -> Preprocessing:
    if isinstance(asked, Preprocessing):
        return asked
    if asked not in PRESETS:
        raise UsageError(f"there is no preprocessing {asked!r}", hint=f"Presets: {', '.join(PRESETS)}")
    return PRESETS[asked]
