"""Check the options of an export before a framework is loaded and any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from camserve.bundle import CONTRACT_NAME
from camserve.choices import FORMATS, INPUTS, INT8_TARGETS, PRECISIONS
from camserve.contract import Activation
from camserve.errors import BundleError, UsageError
from camserve.export.expect.expected_file import read_expected
from camserve.export.expect.expected_tolerances import check_expected_tolerances
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.gate.calibration_files import MIN_IMAGES, list_images
from camserve.export.int8.choice import LayerChoice
from camserve.export.options import ExportOptions
from camserve.export.pixel_options import check_known, check_whole_pixels, parse_preprocessing
from camserve.export.quality.boxes import read_boxes
from camserve.export.source.checks import check_source
from camserve.export.source.locate import IN_MEMORY, class_count
from camserve.labels import LabelSource, label_origin, parse_labels
from camserve.manifest import verify_manifest
from camserve.names import check_model_name
from camserve.openvino_runtime import require_bf16
from camserve.text import count

__all__ = [
    "check_destination",
    "check_label_count",
    "check_options",
    "parse_formats",
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
    _check_layers(options)
    if options.input_dtype not in INPUTS:
        raise UsageError(f"unknown input type {options.input_dtype!r}", hint=f"Choose one of: {', '.join(INPUTS)}")
    _check_maps(options)
    path, _ = check_source(
        source,
        options.weights,
        sha256=options.sha256,
        custom_objects=options.custom_objects,
        classes=options.classes,
    )
    if path is not None or not isinstance(source, str | Path):
        check_known(IN_MEMORY if path is None else str(source), options)
    preprocessing = parse_preprocessing(options.preprocessing or "raw-rgb", options.resize, options.fit)
    check_whole_pixels(options.input_dtype, preprocessing)
    if options.expect is not None and read_expected(options.expect).probabilities is not None:
        check_expected_tolerances(options, "softmax", probabilities=True)
    if options.labels is not None:
        labels, classes = parse_labels(options.labels), options.classes or class_count(source)
        if classes is not None:
            check_label_count(labels, classes, options.labels)
    if options.calibration is not None:
        list_images(Path(options.calibration).expanduser())
    if options.boxes is not None:
        read_boxes(options.boxes)
    if options.onnx.precision == "bf16":
        require_bf16("--precision bf16")


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


def check_label_count(
    labels: Sequence[str], classes: int, origin: LabelSource, activation: Activation | None = None
) -> None:
    """Check that there is one label per class.

    Args:
        labels: The labels.
        classes: Number of classes.
        origin: What they are from.
        activation: The last activation of the model; None if it is not known yet.

    Raises:
        UsageError: If the numbers differ, or the model has a single sigmoid, which two labels would make two classes.
    """
    found = f"{count(len(labels), 'label')} in {label_origin(origin)}"
    if classes == 1 and activation == "sigmoid":
        raise UsageError(
            f"{found} for one sigmoid, which decides between two classes",
            hint="Pass two labels: --labels FILE, with class 0 (values near 0) first, as in Keras's class_indices",
        )
    if len(labels) != classes:
        raise UsageError(
            f"{found} for {count(classes, 'class')}",
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


def _check_layers(options: ExportOptions) -> None:
    if options.int8_layers != LayerChoice() and options.onnx.precision != "int8":
        raise UsageError(
            f"--int8-layers {options.int8_layers} has no effect with --precision {options.onnx.precision}",
            hint="Remove it, or add --precision int8",
        )


def _check_maps(options: ExportOptions) -> None:
    if options.cam_top_k < 1:
        raise UsageError(
            f"cam_top_k must be at least 1, got {options.cam_top_k}", hint="To export without maps, use --no-cam"
        )
    measured = {"--map-quality": options.map_quality, "--boxes": options.boxes is not None}
    given = next((name for name, value in {"--cam-all": options.cam_all, **measured}.items() if value), None)
    if given and not options.cam:
        raise UsageError(f"{given} conflicts with --no-cam", hint="Remove one of them")
    if options.map_quality and options.boxes is None and options.calibration is None:
        raise UsageError(
            "--map-quality requires images; synthetic ones contain no objects",
            hint=f"Pass a folder with at least {MIN_IMAGES} photos, --calibration DIR, or photos with the boxes of "
            "their objects, --boxes FILE",
        )
