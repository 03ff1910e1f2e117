"""What parity was measured on: how many images, of which kind, and what their pixels were."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from camserve.export.gate.calibration import Calibration
from camserve.export.gate.measurement_images import FEWEST, MeasurementImages
from camserve.export.report.metric_text import format_title

__all__ = ["kind_of", "measured_in_words", "measured_on", "measuring_warnings"]

_FLOAT32 = "fp32"
_DRAWN, _HELD_OUT = "drawn", "held out"
_FEW_TO_LEARN_FROM = 100
_FEW_TO_MEASURE_ON = 50


def measured_on(images: MeasurementImages, calibration: Calibration | None, precision: str) -> dict[str, Any]:
    """What parity was measured on, as plain values.

    Args:
        images: What the gate was given. In float32 it takes the first `FEWEST` of them, in a lower precision all but
            the fillers.
        calibration: What they were held out of; None where they were drawn.
        precision: As `report_of` takes it.

    Returns:
        `kind`, `drawn` or `held out`; `images`, how many were measured on; `fillers`, how many of these were drawn
        because too few were held out; `calibrated_on`, how many taught int8 its ranges; `sha256`, of the pixels of all
        that were measured on, uint8 `[images, height, width, channels]` in C order.
    """
    to_float32 = precision == _FLOAT32
    measured = images.pixels[:FEWEST] if to_float32 else images.pixels[images.fillers :]
    learnt_from = calibration.fit if calibration is not None and precision.startswith("int8") else ()
    return {
        "kind": _DRAWN if calibration is None else _HELD_OUT,
        "pictures": len(measured),
        "fillers": images.fillers if to_float32 else 0,
        "calibrated_on": len(learnt_from),
        "sha256": hashlib.sha256(measured.tobytes()).hexdigest(),
    }


def measuring_warnings(measured: Mapping[str, Any], precision: str) -> list[str]:
    """What to be wary of where the images were few."""
    warnings = []
    if 0 < measured["calibrated_on"] < _FEW_TO_LEARN_FROM:
        warnings.append(
            f"int8 learnt its ranges from {_images(measured['calibrated_on'])}, fewer than "
            f"{_FEW_TO_LEARN_FROM}: others may go beyond them; give a few hundred of the kind that will be served"
        )
    if precision != _FLOAT32 and measured["kind"] == _HELD_OUT and measured["pictures"] < _FEW_TO_MEASURE_ON:
        warnings.append(
            f"parity of {precision} was measured on {kind_of(measured)}, fewer than {_FEW_TO_MEASURE_ON}: "
            "a class that changes seldom may not show; every fourth calibration image is held out"
        )
    return warnings


def kind_of(measured: Mapping[str, Any]) -> str:
    """So many images, and whether drawn or held out."""
    of_kind, fillers = measured["kind"].replace(" ", "-"), measured["fillers"]
    if fillers:
        return f"{measured['images'] - fillers:,} {of_kind} and {_images(fillers, _DRAWN)}"
    return _images(measured["pictures"], of_kind)


def measured_in_words(report: Mapping[str, Any]) -> str:
    """What parity was measured on, what int8 learnt from, and which format was measured on others, as float32 is."""
    measured, counts = report["measured_on"], Counter[str]()
    for figure in report["parity"]:
        if figure["figure"] == "logits":
            counts[figure["format"]] += figure["batch"]
    learnt = measured["calibrated_on"]
    parts = [kind_of(measured), *([f"int8 learnt from {learnt:,} others"] if learnt else [])]
    others = (
        _of_a_format(*entry, measured["pictures"]) for entry in counts.items() if entry[1] != measured["pictures"]
    )
    return "; ".join([*parts, *others])


def _of_a_format(name: str, count: int, images: int) -> str:
    if count < images:
        return f"{format_title(name)} on the first {count}"
    return f"{format_title(name)} on {count}, {count - images} of them drawn"


def _images(count: int, kind: str = "") -> str:
    """So many images, of a kind."""
    return " ".join((f"{count:,}", *([kind] if kind else []), "picture" if count == 1 else "pictures"))
