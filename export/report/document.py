"""The report of an export: `report.json` for machines, `report.html` for people, saying the same."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from camserve.bundle import REPORT_HTML_NAME, REPORT_NAME
from camserve.contract import ModelContract
from camserve.export.gate.calibration import Calibration
from camserve.export.gate.examples import Example, example_values
from camserve.export.gate.measurement_images import MeasurementImages
from camserve.export.gate.parity import Metric
from camserve.export.graph.prepare import Prepared
from camserve.export.report.measured import measured_on, measuring_warnings
from camserve.export.report.page import page
from camserve.export.source.load import Source
from camserve.manifest import MANIFEST_NAME, file_digest

__all__ = ["files", "report_of", "write_report"]

_NOT_LISTED = (REPORT_NAME, REPORT_HTML_NAME, MANIFEST_NAME)
_SPREAD_OUT = re.compile(r"\[\n\s+([^\[\]{}\"]*?)\n\s+\]")  # a list of numbers; no text of JSON holds a line feed


def report_of(
    source: Source,
    prepared: Prepared,
    contract: ModelContract,
    figures: Sequence[Metric],
    *,
    provenance: Mapping[str, Any],
    precision: str,
    images: MeasurementImages,
    calibration: Calibration | None,
    graph: Mapping[str, Any] | None,
    files: Mapping[str, Mapping[str, Any]],
    examples: Sequence[Example],
) -> dict[str, Any]:
    """What an export did, as plain values; nothing in it depends on the day, the machine's name or a folder.

    Args:
        source: What was loaded.
        prepared: What was made of it.
        contract: What the export expects and answers.
        figures: The figures of the gate.
        provenance: Hashes and versions, as `collect_provenance` gives them.
        precision: `fp32`, `fp16`, `int8 (cpu)` or `int8 (tensorrt)`.
        images: What the gate was given to measure on.
        calibration: What they were held out of; None where they were drawn.
        graph: Of the ONNX file `opset`, `ir_version` and `operators` (number of nodes by operator), and of the network
            as it was read `layers` (number of Keras layers by class); None without an ONNX file.
        files: Size and hash of the bundle's entries, as `files` gives them.
        examples: Images with both maps.
    """
    measured = measured_on(images, calibration, precision)
    return {
        "version": 2,
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
        "warnings": [*prepared.warnings, *measuring_warnings(measured, precision)],
        "folding": {
            "folded": [{"batchnorm": norm, "into": layer} for norm, layer in prepared.folding.folded],
            "kept": [{"batchnorm": norm, "because": reason} for norm, reason in prepared.folding.kept],
        },
        "head": prepared.head.layer if prepared.head else None,
        "contract": contract.model_dump(mode="json"),
        "graph": None if graph is None else dict(graph),
        "measured_on": measured,
        "parity": [_figure(figure) for figure in figures],
        "examples": [example_values(example) for example in examples],
        "files": {name: dict(entry) for name, entry in files.items()},
        "packages": dict(provenance["packages"]),
    }


def write_report(folder: Path, report: Mapping[str, Any], examples: Sequence[Example] = ()) -> None:
    """Writes both forms into the bundle."""
    text = json.dumps(report, indent=2, allow_nan=False)
    compact = _SPREAD_OUT.sub(lambda numbers: f"[{' '.join(numbers[1].split())}]", text)
    (folder / REPORT_NAME).write_text(f"{compact}\n", encoding="utf-8")
    (folder / REPORT_HTML_NAME).write_text(page(report, examples), encoding="utf-8")


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of each entry of the bundle but report and manifest.

    The hash of a folder is that of a text with a line for each file in it, in the order of their names: the hash of the
    file, two spaces, and its name within the folder, as `sha256sum` prints them.
    """
    return {entry.name: _entry(entry) for entry in sorted(folder.iterdir()) if entry.name not in _NOT_LISTED}


def _entry(path: Path) -> dict[str, Any]:
    if path.is_file():
        return {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    inside = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    listed = "".join(f"{file_digest(file)}  {name}\n" for name, file in inside)
    return {
        "bytes": sum(file.stat().st_size for _, file in inside),
        "sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }


def _figure(figure: Metric) -> dict[str, Any]:
    value = float(figure.value)
    return {**asdict(figure), "value": value if math.isfinite(value) else None, "passed": bool(figure.passed)}
