"""What parity was measured on: the number and kind of the images, and a hash of their pixels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from camserve.export.gate.calibration import Calibration
from camserve.export.gate.measurement_images import FP32_IMAGES, MeasurementImages
from camserve.export.graph.exact import Truth
from camserve.export.report.metric_text import format_title
from camserve.text import count

__all__ = [
    "describe_measurement",
    "describe_reference",
    "measurement_text",
    "measurement_warnings",
    "parity_title",
    "reference_warnings",
    "summarize_images",
]

_FP32, _FLOAT64 = "fp32", "float64"
_SYNTHETIC, _HELD_OUT = "drawn", "held out"  # values of `kind` in report.json
_ADJECTIVES = {_SYNTHETIC: "synthetic", _HELD_OUT: "held-out"}
_MIN_CALIBRATION = 100
_MIN_MEASURED = 50


def describe_measurement(images: MeasurementImages, calibration: Calibration | None, precision: str) -> dict[str, Any]:
    """Return what parity was measured on, as plain values.

    Args:
        images: The images of the gate. fp32 is measured on the first `FP32_IMAGES`, a lower precision on all but the
            fillers.
        calibration: The calibration that they were held out of; None for synthetic images.
        precision: As in `make_report`.

    Returns:
        `kind`, `drawn` (synthetic) or `held out`; `pictures`, the number of images; `fillers`, how many of them are
        synthetic because too few were held out; `calibrated_on`, the number of images that int8 was calibrated with;
        `sha256`, of the pixels that were measured on, uint8 `[images, height, width, channels]` in C order.
    """
    fp32 = precision == _FP32
    measured = images.pixels[:FP32_IMAGES] if fp32 else images.pixels[images.fillers :]
    calibrated = len(calibration.fit) if calibration is not None and precision.startswith("int8") else 0
    return {
        "kind": _SYNTHETIC if calibration is None else _HELD_OUT,
        "pictures": len(measured),
        "fillers": images.fillers if fp32 else 0,
        "calibrated_on": calibrated,
        "sha256": hashlib.sha256(measured.tobytes()).hexdigest(),
    }


def describe_reference(truth: Truth) -> dict[str, Any]:
    """Return what an export in float32 was compared with, as plain values.

    Returns:
        `dtype`, the precision of the reference; `obstacle`, why it is not float64, or None; `rounded`, names of the
        layers that return float32 in the float64 evaluation as well.
    """
    return {
        "dtype": _FLOAT64 if truth.obstacle is None else truth.exact.network.dtype,
        "obstacle": truth.obstacle,
        "rounded": list(truth.rounded),
    }


def reference_warnings(truth: Truth) -> list[str]:
    """Return a warning for what the gate could not evaluate in float64."""
    if truth.obstacle is not None:
        return [
            f"{truth.obstacle}: parity in fp32 was measured against Keras's own answers instead of those in float64, "
            "and its tolerances do not follow Keras's rounding"
        ]
    if truth.rounded:
        layers = count(len(truth.rounded), "layer")
        return [f"{layers} computed in float32 where the network was evaluated in float64 (first: {truth.rounded[0]})"]
    return []


def parity_title(report: Mapping[str, Any]) -> str:
    """Return what the export was compared with; the precision only if all files are in float32, as others have two."""
    if report["precision"] != _FP32:
        return "Parity with Keras"
    return f"Parity with Keras in {report['reference']['dtype']}"


def measurement_warnings(measurement: Mapping[str, Any], precision: str) -> list[str]:
    """Return a warning for each purpose for which there were few images."""
    warnings = []
    if 0 < measurement["calibrated_on"] < _MIN_CALIBRATION:
        warnings.append(
            f"int8 was calibrated with {count(measurement['calibrated_on'], 'image')}, fewer than {_MIN_CALIBRATION}: "
            "activations of other images may exceed the calibrated ranges; use a few hundred images of the kind that "
            "will be served"
        )
    few = measurement["pictures"] < _MIN_MEASURED
    if precision != _FP32 and measurement["kind"] == _HELD_OUT and few:
        warnings.append(
            f"parity of {precision} was measured on {summarize_images(measurement)}, fewer than {_MIN_MEASURED}: rare "
            "changes of a class may go unnoticed; every fourth calibration image is held out"
        )
    return warnings


def summarize_images(measurement: Mapping[str, Any]) -> str:
    """Return the number of images and their kind, such as `12 synthetic images`."""
    kind, fillers = measurement["kind"], measurement["fillers"]
    kind = _ADJECTIVES.get(kind, kind)
    if fillers:
        return f"{measurement['pictures'] - fillers:,} {kind} and {count(fillers, 'synthetic image')}"
    return count(measurement["pictures"], f"{kind} image")


def measurement_text(report: Mapping[str, Any]) -> str:
    """Return the images of the measurement and of the calibration, and formats that were measured on others."""
    measurement, counts = report["measured_on"], Counter[str]()
    for metric in report["parity"]:
        if metric["figure"] == "logits":
            counts[metric["format"]] += metric["batch"]
    calibrated = measurement["calibrated_on"]
    parts = [summarize_images(measurement)]
    if calibrated:
        parts.append(f"int8 calibrated with {calibrated:,} others")
    parts += [
        _other_count(name, images, measurement["pictures"])
        for name, images in counts.items()
        if images != measurement["pictures"]
    ]
    return "; ".join(parts)


def _other_count(name: str, images: int, measured: int) -> str:
    if images < measured:
        return f"{format_title(name)} on the first {images}"
    return f"{format_title(name)} on {images}, {images - measured} of them synthetic"
