"""What a version says of its export: out of the report that came with its bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.bundle import REPORT_NAME

__all__ = ["ExportFacts", "Parity", "read_facts"]


@dataclass(frozen=True)
class Parity:
    """The figure of the gate that came closest to its bound, and the share of the bound that it took."""

    figure: str
    share: float


@dataclass(frozen=True)
class ExportFacts:
    """What is known of a version's export; None for what its report does not say.

    Attributes:
        precision: Such as `fp32`.
        source: SHA-256 of the file that was exported; of its weights where there was no file.
        parity: How close its figures came to their bounds.
    """

    precision: str | None = None
    source: str | None = None
    parity: Parity | None = None


def read_facts(version: Path) -> ExportFacts:
    """The facts of the version in that folder; none where it has no readable report."""
    try:
        report = json.loads((version / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ExportFacts()
    if not isinstance(report, dict):
        return ExportFacts()
    source = report.get("source")
    digests = [source.get(name) for name in ("sha256", "weights_sha256")] if isinstance(source, dict) else []
    return ExportFacts(_text(report.get("precision")), next(filter(None, map(_text, digests)), None), _parity(report))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _parity(report: dict[str, Any]) -> Parity | None:
    figures = report.get("parity")
    found = [_share(figure) for figure in figures if isinstance(figure, dict)] if isinstance(figures, list) else []
    return max((parity for parity in found if parity is not None), key=lambda parity: parity.share, default=None)


def _share(figure: dict[str, Any]) -> Parity | None:
    name, value, bound = figure.get("figure"), figure.get("value"), figure.get("bound")
    if not isinstance(name, str) or not isinstance(value, int | float) or not isinstance(bound, int | float):
        return None
    # A count that must be 0 takes nothing of its bound; what is more would not have been exported.
    return Parity(name, value / bound if bound else float(value))
