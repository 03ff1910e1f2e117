"""The report of an export: `report.json` for machines, `report.html` for people, saying the same."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from camserve import __version__
from camserve.bundle import REPORT_HTML_NAME, REPORT_NAME
from camserve.contract import ModelContract
from camserve.export.load import Source
from camserve.export.parity import Figure
from camserve.export.prepare import Prepared
from camserve.export.report_page import page

__all__ = ["report_of", "sizes", "write_report"]

_PACKAGES = ("keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")


def report_of(
    source: Source,
    prepared: Prepared,
    contract: ModelContract,
    figures: Sequence[Figure],
    *,
    graph: dict[str, Any] | None,
    sizes: dict[str, int],
) -> dict[str, Any]:
    """What an export did, as plain values; nothing in it depends on the day or the machine's name."""
    return {
        "version": 1,
        "name": contract.name,
        "precision": "fp32",
        "source": {
            "origin": source.origin,
            "layers": len(source.model.layers),
            "parameters": int(source.model.count_params()),
            "dtype": prepared.dtype,
        },
        "warnings": list(prepared.warnings),
        "folding": {
            "folded": [{"batchnorm": norm, "into": layer} for norm, layer in prepared.folding.folded],
            "kept": [{"batchnorm": norm, "because": reason} for norm, reason in prepared.folding.kept],
        },
        "head": prepared.head.layer if prepared.head else None,
        "contract": contract.model_dump(mode="json"),
        "graph": graph,
        "parity": [{**asdict(figure), "passed": figure.passed} for figure in figures],
        "sizes": sizes,
        "packages": {
            "camserve": __version__,
            "python": platform.python_version(),
            **{name: str(import_module(name).__version__) for name in _PACKAGES},
        },
    }


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Writes both forms into the bundle."""
    (folder / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / REPORT_HTML_NAME).write_text(page(report), encoding="utf-8")


def sizes(folder: Path) -> dict[str, int]:
    """Size in bytes of each entry of the bundle, folders with all that is in them."""
    return {
        entry.name: sum(path.stat().st_size for path in (entry, *entry.rglob("*")) if path.is_file())
        for entry in sorted(folder.iterdir())
    }
