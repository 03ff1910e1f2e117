"""Facts about the export of a version, from the report that its bundle contained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camserve.bundle import REPORT_NAME
from camserve.parity_report import WidenedTolerance, widened_tolerances
from camserve.regular_file import read_regular_file
from camserve.strict_json import parse_json

__all__ = ["ExportFacts", "Parity", "read_export_facts"]


@dataclass(frozen=True)
class Parity:
    """The parity metric that came closest to its tolerance.

    Attributes:
        figure: Name of the metric.
        share: Its value as a fraction of the tolerance.
        widened: The metrics whose tolerances were widened at export.
    """

    figure: str
    share: float
    widened: tuple[WidenedTolerance, ...] = ()


@dataclass(frozen=True)
class ExportFacts:
    """Facts about the export of a version; None for those that its report does not contain.

    Attributes:
        precision: For example `fp32`.
        source: SHA-256 of the exported file, or of the weights of a model that was not loaded from a file.
        parity: The parity metric that came closest to its tolerance.
    """

    precision: str | None = None
    source: str | None = None
    parity: Parity | None = None


def read_export_facts(version: Path) -> ExportFacts:
    """Read the facts of the version in a folder. All are None if it has no readable report."""
    try:
        report = parse_json(read_regular_file(version / REPORT_NAME))
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
    metrics = report.get("parity")
    shares = [_share(metric) for metric in metrics if isinstance(metric, dict)] if isinstance(metrics, list) else []
    closest = max((parity for parity in shares if parity is not None), key=lambda parity: parity.share, default=None)
    return None if closest is None else replace(closest, widened=widened_tolerances(metrics))


def _share(metric: dict[str, Any]) -> Parity | None:
    name, value, tolerance = metric.get("figure"), metric.get("value"), metric.get("bound")
    if not isinstance(name, str) or not isinstance(value, int | float) or not isinstance(tolerance, int | float):
        return None
    # A count with tolerance 0 can only be 0: otherwise the model would not have been exported.
    return Parity(name, value / tolerance if tolerance else float(value))
