"""Check the options of an export before a framework is loaded and any work is done."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from camserve.bundle import CONTRACT_NAME, read_labels
from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import BundleError, UsageError
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.gate.calibration_files import list_images
from camserve.export.options import ExportOptions
from camserve.export.source.checks import check_source
from camserve.export.source.locate import IN_MEMORY, class_count
from camserve.manifest import verify_manifest
from camserve.names import check_model_name
from camserve.text import count

__all__ = [
    "check_destination",
    "check_label_count",
    "check_options",
    "check_pixels",
    "parse_formats",
    "parse_labels",
    "parse_preprocessing",
    "parse_size",
]

_MIN_INT8_OPSET = 13
_MIN_OPSET, _MAX_OPSET = 9, 18  # what tf2onnx 1.17 writes


def check_options(source: Any, options: ExportOptions) -> None:
    """Check every option that can be checked before the source is loaded.

    Args:
        source: As `export_model` takes it.
        options: The options.

    Raises:
        UsageError: If an option is invalid, missing or conflicts with another one.
        SourceError: If the source or its weights do not exist.
    """
    if options.name is not None:
        check_model_name(options.name)
    _check_opset(options.onnx.opset)
    _check_precision(options.onnx, options.formats, calibrated=options.calibration is not None)
    if options.input_dtype not in INPUTS:
        raise UsageError(f"unknown input type {options.input_dtype!r}", hint=f"Choose one of: {', '.join(INPUTS)}")
    _check_maps(cam=options.cam, top_k=options.cam_top_k, cam_all=options.cam_all)
    path, _ = check_source(
        source,
        options.weights,
        sha256=options.sha256,
        custom_objects=options.custom_objects,
        classes=options.classes,
    )
    known = path is None and isinstance(source, str | Path)
    if options.preprocessing is None and not known:
        raise _unknown_preprocessing(IN_MEMORY if path is None else str(source))
    preprocessing = parse_preprocessing(options.preprocessing or "raw-rgb", options.resize, options.fit)
    if options.input_dtype == "uint8" and preprocessing.gives_fractions:
        raise UsageError(
            f"--resize {preprocessing.resize} gives pixels with fractions, which --input uint8 cannot hold",
            hint="Remove --input uint8: the client then sends float32",
        )
    labels, classes = parse_labels(options.labels), options.classes or class_count(source)
    if labels is not None and classes is not None:
        check_label_count(labels, classes, options.labels)
    if options.calibration is not None:
        list_images(Path(options.calibration).expanduser())


def parse_formats(formats: str | Sequence[str]) -> tuple[str, ...]:
    """Return the formats to write, without duplicates.

    Args:
        formats: A sequence, or one string separated by commas.

    Raises:
        UsageError: If there is none, or one is unknown.
    """
    formats = [part.strip() for part in formats.split(",")] if isinstance(formats, str) else formats
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        problem = f"unknown format {unknown[0]!r}" if unknown else "formats must not be empty"
        raise UsageError(problem, hint=f"Choose one or both of: {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(formats))


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


def parse_size(requested: str | Sequence[int] | None) -> tuple[int, int] | None:
    """Return a height and width, from two integers or text such as `224x224`; None if none are given.

    Raises:
        UsageError: If they are not two positive integers.
    """
    if requested is None:
        return None
    parts = re.split("[x×]", requested.strip().lower()) if isinstance(requested, str) else list(requested)
    try:
        height, width = (operator.index(int(part) if isinstance(part, str) else part) for part in parts)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise UsageError(
            f"the size must be a height and a width in pixels, got {requested!r}",
            hint="Write it as HEIGHTxWIDTH: --size 224x224",
        )
    return height, width


def parse_labels(requested: str | Path | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the labels of a list or of a file with one label per line; None if none are given.

    Raises:
        UsageError: If the file cannot be read, or a label is not one line of text.
    """
    if requested is None:
        return None
    if isinstance(requested, str | Path):
        try:
            return read_labels(Path(requested).expanduser())
        except BundleError as error:
            raise UsageError(error.message, hint=error.hint) from None
    labels = tuple(requested)
    invalid = [label for label in labels if not label.strip() or len(label.splitlines()) > 1]
    if invalid:
        raise UsageError(f"invalid label {invalid[0]!r}", hint="Use one non-empty line of text for each label")
    return labels


def check_label_count(labels: Sequence[str], classes: int, origin: str | Path | Sequence[str] | None) -> None:
    """Check that there is one label per class.

    Args:
        labels: The labels.
        classes: Number of classes.
        origin: The file or the list that they are from.

    Raises:
        UsageError: If the numbers differ.
    """
    if len(labels) != classes:
        where = origin if isinstance(origin, str | Path) else "the list"
        raise UsageError(
            f"{count(len(labels), 'label')} in {where} for {count(classes, 'class')}",
            hint="Pass one label per class, in class order, one per line in a file",
        )


def check_destination(out: str | Path) -> Path:
    """Return the absolute path of the folder to write; a bundle in it will be replaced.

    Raises:
        UsageError: If it contains anything but an unchanged bundle.
    """
    folder = Path(out).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{out} exists and is not a folder", hint="Choose another folder: --out DIR")
    if Path.cwd().is_relative_to(folder):
        raise UsageError(f"{out} is or contains the current folder", hint="Choose a new folder: --out DIR")
    if folder.is_dir() and any(folder.iterdir()):
        try:
            unchanged = CONTRACT_NAME in verify_manifest(folder)
        except BundleError:
            unchanged = False
        if not unchanged:
            raise UsageError(
                f"{out} exists and contains files other than an unchanged bundle",
                hint="Choose a new folder: --out DIR",
            )
    return folder


def check_pixels(dtype: str, preprocessing: Preprocessing) -> None:
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


def _check_opset(opset: int) -> None:
    if not _MIN_OPSET <= opset <= _MAX_OPSET:
        raise UsageError(f"opset must be from {_MIN_OPSET} to {_MAX_OPSET}, got {opset}", hint="Use --opset 17")


def _check_precision(settings: OnnxSettings, formats: Sequence[str], *, calibrated: bool) -> None:
    precision, target = settings.precision, settings.target
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision {precision!r}", hint=f"Choose one of: {', '.join(PRECISIONS)}")
    if target not in INT8_TARGETS:
        raise UsageError(f"unknown int8 target {target!r}; choose {' or '.join(INT8_TARGETS)}")
    if target != INT8_TARGETS[0] and precision != "int8":
        raise UsageError(
            f"--int8-target {target} has no effect with --precision {precision}",
            hint="Remove it, or add --precision int8",
        )
    if precision != "fp32" and "onnx" not in formats:
        raise UsageError(
            f"--precision {precision} requires the format onnx; a SavedModel is always float32",
            hint="Add it: --formats onnx",
        )
    if precision == "int8" and not calibrated:
        raise UsageError(
            "int8 requires calibration images, which determine the range of each activation",
            hint="Pass a folder with a few hundred images of the kind that will be served: --calibration DIR",
        )
    if precision == "int8" and settings.opset < _MIN_INT8_OPSET:
        raise UsageError(
            f"int8 requires opset {_MIN_INT8_OPSET} or newer for a scale per channel, got opset {settings.opset}",
            hint=f"Use --opset {_MIN_INT8_OPSET} or newer",
        )


def _check_maps(*, cam: bool, top_k: int, cam_all: bool) -> None:
    if top_k < 1:
        raise UsageError(f"cam_top_k must be at least 1, got {top_k}", hint="To export without maps, use --no-cam")
    if cam_all and not cam:
        raise UsageError("--cam-all conflicts with --no-cam", hint="Remove one of them")


def _unknown_preprocessing(origin: str) -> UsageError:
    return UsageError(
        f"the preprocessing of {origin} is unknown",
        hint=f"Pass the preprocessing that the model was trained with: --preprocess {'|'.join(PRESETS)}",
    )
