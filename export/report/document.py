"""The report of an export: `report.json` for programs and `report.html` for people, with the same content."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camserve.bundle import REPORT_HTML_NAME, REPORT_NAME
from camserve.contract import ModelContract
from camserve.export.gate.calibration import Calibration
from camserve.export.gate.examples import Example, example_document
from camserve.export.gate.measurement_images import MeasurementImages
from camserve.export.gate.metric import Metric
from camserve.export.graph.exact import Truth
from camserve.export.graph.prepare import Prepared
from camserve.export.quality.results import MapQuality
from camserve.export.report.measured import (
    describe_measurement,
    describe_reference,
    measurement_warnings,
    reference_warnings,
)
from camserve.export.report.page import render_page
from camserve.export.report.quality_text import quality_notes, quality_warnings
from camserve.export.source.load import Source
from camserve.manifest import MANIFEST_NAME, file_digest
from camserve.parity_report import widened_tolerances

__all__ = ["describe_files", "make_report", "write_report"]

_NOT_LISTED = (REPORT_NAME, REPORT_HTML_NAME, MANIFEST_NAME)
_INDENTED_LIST = re.compile(r"\[\n\s+([^\[\]{}\"]*?)\n\s+\]")  # of numbers; strings in JSON contain no line feed


def make_report(
    source: Source,
    prepared: Prepared,
    contract: ModelContract,
    metrics: Sequence[Metric],
    *,
    warnings: Sequence[str] = (),
    provenance: Mapping[str, Any],
    precision: str,
    images: MeasurementImages,
    calibration: Calibration | None,
    graph: Mapping[str, Any] | None,
    int8: Mapping[str, Any] | None = None,
    files: Mapping[str, Mapping[str, Any]],
    examples: Sequence[Example],
    truth: Truth,
    notes: Sequence[str] = (),
    quality: MapQuality | None = None,
) -> dict[str, Any]:
    """Return the report as plain values that do not depend on the date, the machine's name or a folder.

    Args:
        source: The loaded source.
        prepared: The prepared network.
        contract: The contract of the export.
        metrics: The metrics of the gate.
        warnings: Warnings about the file and the preprocessing.
        provenance: Hashes and versions from `collect_provenance`.
        precision: `fp32`, `fp16`, `bf16`, `int8 (cpu)` or `int8 (tensorrt)`.
        images: The images that the gate measured on.
        calibration: The calibration that they were held out of; None for synthetic images.
        graph: `opset`, `ir_version` and `operators` (number of nodes by operator) of the ONNX file, and `layers`
            (number of Keras layers by class) of the network; None without an ONNX file.
        int8: The layers that int8 quantizes, from `Int8Result`; None in another precision.
        files: Size and hash of the bundle's entries, from `describe_files`.
        examples: Example images with both maps.
        truth: What the gate compared an export in float32 with.
        notes: What the user should know, without being a warning.
        quality: How good the maps are; None if that was not measured.
    """
    measurement = describe_measurement(images, calibration, precision)
    parity = [metric.as_document() for metric in metrics]
    map_quality = None if quality is None else quality.as_document()
    return {
        "version": 3,
        "name": contract.name,
        "precision": precision,
        "source": {
            "title": provenance["source"],
            "sha256": provenance["source_sha256"],
            "weights_sha256": provenance["weights_sha256"],
            "layers": len(source.model.layers),
            "parameters": int(source.model.count_params()),
            "dtype": prepared.dtype,
        },
        "warnings": [
            *warnings,
            *prepared.warnings,
            *reference_warnings(truth),
            *measurement_warnings(measurement, precision),
            *map(str, widened_tolerances(parity)),
            *quality_warnings(map_quality),
        ],
        "notes": [*notes, *quality_notes(map_quality)],
        "folding": {
            "folded": [{"batchnorm": norm, "into": layer} for norm, layer in prepared.folding.folded],
            "kept": [{"batchnorm": norm, "because": reason} for norm, reason in prepared.folding.kept],
        },
        "head": prepared.head.layer if prepared.head else None,
        "contract": contract.model_dump(mode="json"),
        "graph": None if graph is None else dict(graph),
        "int8": None if int8 is None else dict(int8),
        "measured_on": measurement,
        "reference": describe_reference(truth),
        "parity": parity,
        "map_quality": map_quality,
        "examples": [example_document(example) for example in examples],
        "files": {name: dict(entry) for name, entry in files.items()},
        "packages": dict(provenance["packages"]),
    }


def write_report(folder: Path, report: Mapping[str, Any], examples: Sequence[Example] = ()) -> None:
    """Write both forms of the report into the bundle."""
    text = json.dumps(report, indent=2, allow_nan=False)
    compact = _INDENTED_LIST.sub(lambda numbers: f"[{' '.join(numbers[1].split())}]", text)
    (folder / REPORT_NAME).write_text(f"{compact}\n", encoding="utf-8")
    (folder / REPORT_HTML_NAME).write_text(render_page(report, examples), encoding="utf-8")


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the size in bytes and the SHA-256 of each entry of the bundle, without report and manifest.

    The hash of a folder is that of a text with one line per file in it, sorted by name: the hash of the file, two
    spaces, and its name within the folder, as `sha256sum` prints them.
    """
    return {entry.name: _describe(entry) for entry in sorted(folder.iterdir()) if entry.name not in _NOT_LISTED}


def _describe(path: Path) -> dict[str, Any]:
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    listing = "".join(f"{file_digest(file)}  {name}\n" for name, file in files)
    return {
        "bytes": sum(file.stat().st_size for _, file in files),
        "sha256": hashlib.sha256(listing.encode()).hexdigest(),
    }
