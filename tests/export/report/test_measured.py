"""The description of the images that parity was measured on."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.reports import Outline, Reported, report_small_export

from camserve.export.gate.calibration import Calibration
from camserve.export.gate.measurement_images import MeasurementImages
from camserve.export.report.measured import (
    describe_measurement,
    measurement_text,
    measurement_warnings,
    summarize_images,
)
from camserve.export.report.page import render_page


def pixels_of(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), np.uint8)


def images_of(count: int, kind: str = "image") -> MeasurementImages:
    return MeasurementImages(pixels_of(count), tuple(f"{kind} {number}" for number in range(count)))


def calibration_of(fit: int, held_out: int) -> Calibration:
    return Calibration(pixels_of(fit), pixels_of(held_out), tuple(map(str, range(fit + held_out))))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return report_small_export(tmp_path_factory.mktemp("export"))


@pytest.mark.parametrize(
    ("precision", "calibration", "expected"),
    [
        ("fp32", None, ("drawn", 12, 0)),
        ("fp32", calibration_of(192, 64), ("held out", 12, 0)),
        ("fp16", None, ("drawn", 64, 0)),
        ("fp16", calibration_of(192, 64), ("held out", 64, 0)),
        ("int8 (cpu)", calibration_of(192, 64), ("held out", 64, 192)),
        ("int8 (tensorrt)", calibration_of(192, 64), ("held out", 64, 192)),
    ],
)
def test_fp32_uses_the_first_images_and_lower_precision_all(
    precision: str, calibration: Calibration | None, expected: tuple[str, int, int]
) -> None:
    images = images_of(64)
    measured = describe_measurement(images, calibration, precision)
    assert (measured["kind"], measured["pictures"], measured["calibrated_on"]) == expected
    assert measured["sha256"] == hashlib.sha256(images.pixels[: expected[1]].tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("precision", "counts", "text"),
    [("fp32", (12, 7), "5 held-out and 7 synthetic images"), ("int8 (cpu)", (5, 0), "5 held-out images")],
)
def test_fillers_are_counted_separately(precision: str, counts: tuple[int, int], text: str) -> None:
    filled = replace(images_of(12), fillers=7)
    measured = describe_measurement(filled, calibration_of(15, 5), precision)
    assert (measured["pictures"], measured["fillers"]) == counts
    assert measured["sha256"] == hashlib.sha256(filled.pixels[-counts[0] :].tobytes()).hexdigest()
    assert summarize_images(measured) == text


def test_hash_depends_on_pixels_not_names() -> None:
    def digest(images: MeasurementImages) -> str:
        return str(describe_measurement(images, None, "fp16")["sha256"])

    altered = images_of(20)
    altered.pixels[19, 0, 0, 0] ^= 1
    assert digest(images_of(20)) == digest(images_of(20, "another"))
    assert digest(images_of(20)) != digest(altered)


@pytest.mark.parametrize(
    ("precision", "fit", "held_out", "expected"),
    [
        ("int8 (cpu)", 48, 16, ["was calibrated with 48 images", "measured on 16 held-out images"]),
        ("int8 (cpu)", 99, 50, ["was calibrated with 99 images"]),
        ("int8 (cpu)", 100, 49, ["measured on 49 held-out images"]),
        ("int8 (cpu)", 100, 50, []),
        ("fp16", 6, 2, ["parity of fp16 was measured on 2 held-out images"]),
        ("fp16", 6, 1, ["measured on 1 held-out image,"]),
        ("fp32", 6, 2, []),
    ],
)
def test_few_images_give_warnings(precision: str, fit: int, held_out: int, expected: list[str]) -> None:
    measured = describe_measurement(images_of(held_out), calibration_of(fit, held_out), precision)
    warnings = measurement_warnings(measured, precision)
    assert len(warnings) == len(expected)
    assert all(part in warning for part, warning in zip(expected, warnings, strict=True))


def test_synthetic_images_give_no_warning() -> None:
    assert measurement_warnings(describe_measurement(images_of(20), None, "fp16"), "fp16") == []


def test_page_shows_number_and_kind_of_images(exported: Reported) -> None:
    measured = exported.report["measured_on"]
    assert (measured["kind"], measured["pictures"]) == ("drawn", 6)
    assert "Parity with Keras in float64, measured on 6 synthetic images" in text_of(exported.report)
    held_out = {"kind": "held out", "pictures": 16, "fillers": 0, "calibrated_on": 48, "sha256": "ab" * 32}
    text = text_of({**exported.report, "measured_on": held_out})
    assert "Parity with Keras in float64, measured on 16 held-out images" in text
    assert "Measured on 16 held-out images; int8 calibrated with 48 others" in text
    assert "ab" * 32 in text


def text_of(report: dict[str, Any]) -> str:
    return " ".join(Outline(render_page(report)).text.split())


@pytest.mark.parametrize(("count", "text"), [(64, "the first 12"), (5, "12, 7 of them synthetic")])
def test_format_measured_on_other_images_is_named(count: int, text: str) -> None:
    measured = describe_measurement(images_of(count), calibration_of(15, count), "fp16")
    onnx = [{"format": "onnx", "figure": "logits", "batch": count}]
    saved = [{"format": "savedmodel", "figure": "logits", "batch": batch} for batch in (1, 3, 8)]
    words = measurement_text({"measured_on": measured, "parity": onnx + saved})
    assert words == f"{count} held-out images; SavedModel on {text}"
