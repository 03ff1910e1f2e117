"""The options that say how an image becomes the network's input: preset, resize filter and fit."""

from __future__ import annotations

from pydantic import ValidationError

from camserve.choices import InputType
from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import UsageError
from camserve.export.options import ExportOptions

__all__ = ["check_known", "check_pixel_type", "check_whole_pixels", "parse_preprocessing"]

_PRESET = f"--preprocess {'|'.join(PRESETS)}"
_FILTER = (
    "--resize nearest (Keras's load_img), --resize tf-bilinear (image_dataset_from_directory), "
    "--resize cv2-linear (OpenCV) or another filter of docs/export.md"
)
_FIND = "; or let camserve find it from images with the answers of your own pipeline: --expect FILE"


def parse_preprocessing(
    requested: str | Preprocessing, resize: ResizeFilter | None = None, fit: Fit | None = None
) -> Preprocessing:
    """Return a preset or a preprocessing, with its resize filter and fit replaced where they are given.

    Raises:
        UsageError: If there is no such preset, filter or fit.
    """
    if isinstance(requested, str) and requested not in PRESETS:
        raise UsageError(f"unknown preprocessing {requested!r}", hint=f"Choose one of: {', '.join(PRESETS)}")
    preprocessing = PRESETS[requested] if isinstance(requested, str) else requested
    changes = {key: value for key, value in (("resize", resize), ("fit", fit)) if value is not None}
    try:
        return Preprocessing.model_validate({**preprocessing.model_dump(), **changes})
    except ValidationError as error:
        names = " and ".join(f"--{name} {value}" for name, value in changes.items())
        raise UsageError(
            f"unsupported preprocessing {names}: {error.errors()[0]['msg']}",
            hint="See the supported values: camserve export --help",
        ) from None


def check_known(origin: str, options: ExportOptions) -> None:
    """Check that the preprocessing of a file or a model, which has none of its own, was given or can be found.

    Args:
        origin: The source, for messages.
        options: The options.

    Raises:
        UsageError: If the preset or the resize filter is missing.
    """
    if options.expect is not None:
        return
    if options.preprocessing is None:
        resize = "" if _has_resize(options) else f" and its resize filter: {_FILTER}"
        raise UsageError(
            f"the preprocessing of {origin} is unknown",
            hint=f"Pass the preprocessing that the model was trained with: {_PRESET}{resize}{_FIND}",
        )
    if not _has_resize(options):
        raise UsageError(
            f"the resize filter of {origin} is unknown",
            hint=f"Pass the filter that its training images were resized with: {_FILTER}{_FIND}",
        )


def check_pixel_type(dtype: str, preprocessing: Preprocessing) -> None:
    """Check that a model with an integer input has preprocessing without arithmetic.

    Args:
        dtype: Data type of the model's input.
        preprocessing: Its preprocessing.

    Raises:
        UsageError: If the preprocessing would produce values that are not integers.
    """
    if "int" in dtype and preprocessing.arithmetic:
        raise UsageError(
            f"the model takes {dtype} pixels, but the preprocessing scales or shifts them",
            hint="Leave the arithmetic to the model: --preprocess raw-rgb or --preprocess raw-bgr",
        )
    if "int" in dtype and preprocessing.gives_fractions:
        raise UsageError(
            f"the model takes {dtype} pixels, but --resize {preprocessing.resize} gives pixels with fractions",
            hint="Choose a filter that gives whole pixels, such as --resize bilinear or --resize cv2-linear",
        )


def check_whole_pixels(input_dtype: InputType, preprocessing: Preprocessing) -> None:
    """Check that a graph that takes uint8 pixels has a resize filter that gives whole pixels.

    Raises:
        UsageError: If the filter gives fractions.
    """
    if input_dtype == "uint8" and preprocessing.gives_fractions:
        raise UsageError(
            f"--resize {preprocessing.resize} gives pixels with fractions, which --input uint8 cannot hold",
            hint="Remove --input uint8: the client then sends float32",
        )


def _has_resize(options: ExportOptions) -> bool:
    """Return whether the filter was given, as an option or in the preprocessing, or is never used."""
    value = options.preprocessing if isinstance(options.preprocessing, Preprocessing) else Preprocessing()
    crops = (options.fit or value.fit) == "crop-only"
    return crops or options.resize is not None or "resize" in value.model_fields_set
