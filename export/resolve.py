"""Preprocessing, labels and name of an export: from the options, or else from the source."""

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
from camserve.text import count

__all__ = ["resolve_labels", "resolve_name", "resolve_preprocessing"]


def resolve_preprocessing(
    source: Source,
    channels: int,
    requested: str | Preprocessing | None,
    resize: ResizeFilter | None = None,
    fit: Fit | None = None,
) -> Preprocessing:
    """Return the requested preprocessing, or else that of the source.

    Args:
        source: The loaded classifier.
        channels: Number of channels of its input.
        requested: A preset's name or a value; None for that of the source.
        resize: Resize filter that replaces that of the preprocessing.
        fit: Fit that replaces that of the preprocessing.

    Raises:
        UsageError: If the preprocessing is unknown or does not suit the model's channels.
    """
    preprocessing = source.preprocessing if requested is None else _preset(requested)
    if preprocessing is None:
        raise UsageError(
            f"the preprocessing of {source.origin} is unknown",
            hint=f"Pass the preprocessing that the model was trained with: --preprocess {'|'.join(PRESETS)}",
        )
    if channels == 1 and preprocessing.color != "gray":
        try:
            preprocessing = preprocessing.in_gray()
        except ValueError:
            raise UsageError(
                "the model takes gray images, but the preprocessing differs between colour channels",
                hint="Use a preset that treats all channels alike: --preprocess unit|tf|raw-rgb",
            ) from None
    if preprocessing.channels != channels:
        raise UsageError(
            f"the model takes {count(channels, 'channel')}, but the preprocessing returns {preprocessing.channels}",
            hint="Export a model with 3 channels (RGB or BGR) or 1 channel (gray)",
        )
    changes = {key: value for key, value in (("resize", resize), ("fit", fit)) if value is not None}
    try:
        return Preprocessing.model_validate({**preprocessing.model_dump(), **changes})
    except ValidationError as error:
        names = " and ".join(f"--{name} {value}" for name, value in changes.items())
        raise UsageError(
            f"unsupported preprocessing {names}: {error.errors()[0]['msg']}",
            hint="See the supported values: camserve export --help",
        ) from None


def resolve_labels(source: Source, classes: int, requested: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """Return the requested label of each class, or else that of the source, or else the class's number.

    Args:
        source: The loaded classifier.
        classes: Number of its classes.
        requested: The labels, or a file with one label per line; None for those of the source.

    Raises:
        UsageError: If the number of labels is not the number of classes, or the file cannot be read.
    """
    if requested is None:
        known = imagenet_labels() if source.imagenet else source.labels
        return known if known is not None and len(known) == classes else tuple(str(index) for index in range(classes))
    if isinstance(requested, str | Path):
        try:
            labels = read_labels(Path(requested).expanduser())
        except BundleError as error:
            raise UsageError(error.message, hint=error.hint) from None
    else:
        labels = tuple(requested)
        invalid = [label for label in labels if not label.strip() or len(label.splitlines()) > 1]
        if invalid:
            raise UsageError(f"invalid label {invalid[0]!r}", hint="Use one non-empty line of text for each label")
    if len(labels) != classes:
        origin = requested if isinstance(requested, str | Path) else "the list"
        raise UsageError(
            f"{count(len(labels), 'label')} in {origin} for {count(classes, 'class')}",
            hint="Pass one label per class, in class order, one per line in a file",
        )
    return labels


def resolve_name(source: Source, requested: str | None) -> str:
    """Return the requested name to serve under, or else the source's, with invalid characters replaced.

    Raises:
        UsageError: If the requested name is not a valid model name.
    """
    return as_model_name(source.name) if requested is None else check_model_name(requested)


def _preset(requested: str | Preprocessing) -> Preprocessing:
    if isinstance(requested, Preprocessing):
        return requested
    if requested not in PRESETS:
        raise UsageError(f"unknown preprocessing {requested!r}", hint=f"Choose one of: {', '.join(PRESETS)}")
    return PRESETS[requested]
