"""What the caller asked of an export, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from camserve.bundle import CONTRACT_NAME
from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.contract import Preprocessing
from camserve.errors import BundleError, UsageError
from camserve.manifest import verify_manifest

if TYPE_CHECKING:
    from camserve.export.formats.writing import OnnxSettings

__all__ = [
    "check_destination",
    "check_formats",
    "check_input",
    "check_maps",
    "check_opset",
    "check_pixels",
    "check_precision",
]

_OLDEST_INT8_OPSET = 13
_OLDEST_OPSET, _NEWEST_OPSET = 9, 18  # what tf2onnx 1.17 writes


def check_formats(formats: str | Sequence[str]) -> tuple[str, ...]:
    """The formats asked for, each once; as a sequence, or in one string separated by commas.

    Raises:
        UsageError: If there is none, or one that camserve does not write.
    """
    formats = [part.strip() for part in formats.split(",")] if isinstance(formats, str) else formats
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


def check_precision(settings: OnnxSettings, formats: Sequence[str], *, calibrated: bool) -> None:
    """Refuses a precision that is none, or cannot be written as asked.

    Raises:
        UsageError: If it does not exist, has no ONNX file to be in, or is int8 and lacks what int8 needs.
    """
    if settings.precision not in PRECISIONS:
        raise UsageError(f"there is no precision {settings.precision!r}", hint=f"Precisions: {', '.join(PRECISIONS)}")
    if settings.target not in INT8_TARGETS:
        raise UsageError(f"there is no int8 for {settings.target!r}", hint=f"Targets: {', '.join(INT8_TARGETS)}")
    if settings.target != INT8_TARGETS[0] and settings.precision != "int8":
        raise UsageError(
            f"the int8 target {settings.target} says nothing about {settings.precision}",
            hint="Leave it out, or add --precision int8",
        )
    if settings.precision != "fp32" and "onnx" not in formats:
        raise UsageError(
            f"{settings.precision} is of the ONNX file, and none is asked for; a SavedModel is always float32",
            hint="Add it: --formats onnx",
        )
    if settings.precision == "int8" and not calibrated:
        raise UsageError(
            "int8 needs images to learn the range of each activation from",
            hint="Give a folder with some hundred of the kind that will be served: --calibration DIR",
        )
    if settings.precision == "int8" and settings.opset < _OLDEST_INT8_OPSET:
        raise UsageError(
            f"opset {settings.opset} has no int8 with a scale for each channel",
            hint=f"Choose --opset {_OLDEST_INT8_OPSET} or newer",
        )


def check_input(dtype: str) -> None:
    """Refuses an input type that a graph cannot be given.

    Raises:
        UsageError: If it is neither float32 nor uint8.
    """
    if dtype not in INPUTS:
        raise UsageError(f"a graph cannot take {dtype!r}", hint=f"Inputs: {', '.join(INPUTS)}")


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
    if "int" in dtype and preprocessing.arithmetic:
        raise UsageError(
            f"the model takes {dtype} pixels, and its preprocessing makes other numbers of them",
            hint="Such a model does its arithmetic itself: --preprocess raw-rgb or raw-bgr",
        )
