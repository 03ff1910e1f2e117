"""Preprocessing and name of an export: from the options, or else from the source."""

from __future__ import annotations

from camserve.contract import Preprocessing
from camserve.errors import UsageError
from camserve.export.graph.network import Network
from camserve.export.graph.pixel_arithmetic import repeated_arithmetic
from camserve.export.options import ExportOptions
from camserve.export.pixel_options import parse_preprocessing
from camserve.export.source.load import Source
from camserve.names import as_model_name
from camserve.text import count

__all__ = ["check_arithmetic", "resolve_name", "resolve_preprocessing"]


def resolve_preprocessing(source: Source, channels: int, options: ExportOptions) -> Preprocessing:
    """Return the requested preprocessing, or else that of the source.

    Args:
        source: The loaded classifier.
        channels: Number of channels of its input.
        options: The options; `check_options` has checked them.

    Raises:
        UsageError: If the preprocessing does not suit the model's channels.
    """
    requested = options.preprocessing if options.preprocessing is not None else source.preprocessing
    if requested is None:
        raise ValueError(f"the preprocessing of {source.origin} is unknown")  # check_options refuses it
    preprocessing = parse_preprocessing(requested)
    if channels == 1 and preprocessing.color != "gray":
        try:
            preprocessing = preprocessing.in_gray()
        except ValueError:
            raise UsageError(
                "the model takes gray images, but the preprocessing differs between color channels",
                hint="Use a preset that treats all channels alike: --preprocess unit|tf|raw-rgb",
            ) from None
    if preprocessing.channels != channels:
        raise UsageError(
            f"the model takes {count(channels, 'channel')}, but the preprocessing returns {preprocessing.channels}",
            hint="Export a model with 3 channels (RGB or BGR) or 1 channel (gray)",
        )
    return parse_preprocessing(preprocessing, options.resize, options.fit)


def check_arithmetic(network: Network, preprocessing: Preprocessing, options: ExportOptions) -> tuple[str, ...]:
    """Check that pixels are not scaled or shifted both by the preprocessing and inside the model.

    Returns:
        The warning for the report, if `allow_double_preprocessing` is set.

    Raises:
        UsageError: If they are, and it is not set.
    """
    step = repeated_arithmetic(network, preprocessing)
    if step is None:
        return ()
    requested = options.preprocessing
    preset = f"--preprocess {requested}" if isinstance(requested, str) else "the preprocessing"
    problem = f"layer {step.name!r} ({step.kind}) scales or shifts pixels inside the model, after {preset} has done so"
    if options.allow_double_preprocessing:
        return (f"{problem}: exported with --allow-double-preprocessing",)
    if options.expect is not None:
        return (f"{problem}: exported because the expected answers were given with both",)
    raise UsageError(
        problem,
        hint="Leave it to the model: --preprocess raw-rgb (raw-bgr if OpenCV read the training images); if the model "
        "was trained with both, pass --allow-double-preprocessing",
    )


def resolve_name(source: Source, options: ExportOptions) -> str:
    """Return the requested name to serve under, or else the source's, with invalid characters replaced."""
    return as_model_name(source.name) if options.name is None else options.name
