"""What the caller asked of an export, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from camserve.bundle import CONTRACT_NAME, read_labels
from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import BundleError, UsageError
from camserve.export.load import Source, imagenet_labels
from camserve.manifest import verify_manifest
from camserve.names import as_model_name, check_model_name

__all__ = [
    "FORMATS",
    "check_destination",
    "check_formats",
    "check_maps",
    "check_opset",
    "check_pixels",
    "resolve_labels",
    "resolve_name",
    "resolve_preprocessing",
]

FORMATS = ("onnx", "savedmodel")
_OLDEST_OPSET, _NEWEST_OPSET = 9, 18  # what tf2onnx 1.17 writes


def check_formats(formats: str | Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, each once; as a sequence, or in one string separated by commas.

    Raises:
        UsageError: If there is none, or one that camserve does not write.
    """
    formats = formats.split(",") if isinstance(formats, str) else formats
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UsageError(
            f"there is no format {', '.join(unknown) or '(none given)'}", hint=f"Formats: {', '.join(FORMATS)}"
        )
    return tuple(dict.fromkeys(formats))


def check_destination(out: str | Path) -> Path:
    """The folder to write, absolute; an earlier bundle there, and nothing else, will be replaced.

    Raises:
        UsageError: If something else stands there, be it one file more than the bundle's own.
    """
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{out} exists and is not a folder", hint="Give another --out")
    if Path.cwd().is_relative_to(folder):
        raise UsageError(f"{out} is the current folder or holds it", hint="Give a folder inside it")
    if folder.is_dir() and any(folder.iterdir()):
        try:
            unchanged = CONTRACT_NAME in verify_manifest(folder)
        except BundleError:
            unchanged = False
        if not unchanged:
            raise UsageError(
                f"{out} exists and holds other files than a bundle",
                hint="Give a new folder; camserve replaces only a bundle of its own that nobody changed",
            )
    return folder


def check_opset(opset: int) -> None:
    """Refuses an operator set that tf2onnx does not write.

    Raises:
        UsageError: If it is too old or too new.
    """
    if not _OLDEST_OPSET <= opset <= _NEWEST_OPSET:
        raise UsageError(f"opset {opset} cannot be written", hint=f"Choose one from {_OLDEST_OPSET} to {_NEWEST_OPSET}")


def check_maps(*, cam: bool, top_k: int, every: bool) -> None:
    """Refuses options of maps that contradict each other.

    Raises:
        UsageError: If fewer than one map is asked for, or every map of a model without.
    """
    if top_k < 1:
        raise UsageError(f"{top_k} maps cannot be answered", hint="Give --cam-top-k 1 or more, or --no-cam")
    if every and not cam:
        raise UsageError("every map is asked for, and none", hint="Leave out --no-cam or --cam-all")


def check_pixels(dtype: str, preprocessing: Preprocessing) -> None:
    """Refuses arithmetic before an input of whole numbers.

    Raises:
        UsageError: If the model takes whole numbers and the preprocessing makes others.
    """
    arithmetic = set(preprocessing.scale) | set(preprocessing.std) != {1.0} or set(preprocessing.mean) != {0.0}
    if "int" in dtype and arithmetic:
        raise UsageError(
            f"the model takes {dtype} pixels, and its preprocessing makes other numbers of them",
            hint="Such a model does its arithmetic itself: --preprocess raw-rgb or raw-bgr",
        )


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
