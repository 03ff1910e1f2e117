"""Render the report as one self-contained page: no scripts, no external resources, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from camserve.export.gate.examples import Example
from camserve.export.report import parts
from camserve.export.report.gate_table import batch_table, gate_table
from camserve.export.report.int8_section import int8_layers
from camserve.export.report.measured import parity_title, summarize_images
from camserve.export.report.metric_text import closest, failures, is_judged, margin, measured_where, title
from camserve.export.report.quality_section import quality_section
from camserve.export.report.style import STYLE
from camserve.pages.markup import Html, details, join, section, tag
from camserve.parity_report import is_widened
from camserve.text import count

__all__ = ["render_page"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PRECISIONS = {
    "fp32": "weights and activations in float32",
    "fp16": "half precision; head and maps in float32",
    "bf16": "the file is in float32, OpenVINO computes it in bf16, head and maps too; a SavedModel is float32",
    "int8 (cpu)": "8-bit weights and activations, unsigned, for CPUs; head and maps in float32",
    "int8 (tensorrt)": "8-bit weights and activations, symmetric, for TensorRT; head and maps in float32",
}


def render_page(report: Mapping[str, Any], examples: Sequence[Example] = ()) -> str:
    """Return the page as HTML.

    Args:
        report: The value of `report.json`.
        examples: The examples with their images, which the report does not contain.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{report['name']}: export report"),
        tag("style", Html(STYLE)),
    )
    body = tag(
        "body",
        _verdict(report),
        _tiles(report),
        *(tag("p", f"{warning}.", class_="note") for warning in report["warnings"]),
        *(tag("p", f"{note}.", class_="note") for note in report.get("notes", ())),
        tag("div", *_columns(report, examples), class_="columns"),
        quality_section(report),
        tag("div", parts.graph(report), parts.files(report), class_="columns"),
        int8_layers(report),
        details("All batches", batch_table(report["parity"])),
        parts.folding(report),
        parts.tensors(report),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _columns(report: Mapping[str, Any], examples: Sequence[Example]) -> tuple[Html, Html]:
    heading = f"{parity_title(report)}, measured on {summarize_images(report['measured_on'])}"
    gate, source = section(heading, gate_table(report["parity"])), parts.source(report)
    return (tag("div", gate, source, class_="stack"), parts.maps(examples)) if examples else (gate, source)


def _verdict(report: Mapping[str, Any]) -> Html:
    failed = failures(report["parity"])
    note = tag("div", tag("ul", *(tag("li", text) for text in failed)), class_="note failed") if failed else join()
    return join(
        tag("h1", report["name"], _badge(report["parity"])),
        tag("p", parts.origin(report), ". ", _passed_count(report["parity"]), class_="lead"),
        note,
    )


def _badge(metrics: Sequence[Mapping[str, Any]]) -> Html:
    if failures(metrics):
        return tag("span", "parity failed", class_="verdict failed")
    if any(map(is_widened, metrics)):
        return tag("span", "parity passed with widened tolerances", class_="verdict widened")
    return tag("span", "parity passed", class_="verdict")


def _passed_count(metrics: Sequence[Mapping[str, Any]]) -> str:
    judged = [metric for metric in metrics if is_judged(metric)]
    passed, widened = sum(metric["passed"] for metric in judged), sum(map(is_widened, judged))
    advice = "" if passed == len(judged) else "; do not serve this export"
    wider = f", {widened} of them wider than the default" if widened else ""
    return f"Metrics within tolerance: {passed} of {len(judged)}{wider}{advice}."


def _tiles(report: Mapping[str, Any]) -> Html:
    tiles = [
        ("Precision", report["precision"], _precision(report)),
        _size(report),
        _folded(report["folding"]),
        *_nodes(report["graph"]),
        _margin(report["parity"]),
    ]
    return tag(
        "div",
        *(tag("div", tag("small", name), tag("b", value), tag("small", more)) for name, value, more in tiles),
        class_="tiles",
    )


def _precision(report: Mapping[str, Any]) -> str:
    layers = len((report.get("int8") or {}).get("float32", ()))
    text = _PRECISIONS.get(report["precision"], "")
    return f"{text}; {count(layers, 'layer')} in float32" if layers else text


def _size(report: Mapping[str, Any]) -> tuple[str, str, str]:
    name = next((name for name in ("model.onnx", "saved_model") if name in report["files"]), None)
    if name is None:
        return "Size", "–", ""
    size = report["files"][name]["bytes"]
    parameters = report["source"]["parameters"]
    per_parameter = f", {size / parameters:.1f} bytes per parameter" if parameters else ""
    return "Size", parts.format_bytes(size), f"{name}{per_parameter}"


def _folded(folding: Mapping[str, Any]) -> tuple[str, str, str]:
    folded, kept = len(folding["folded"]), len(folding["kept"])
    if not folded + kept:
        return "BatchNorm", "none", "in this network"
    return (
        "BatchNorm folded",
        f"{folded} of {folded + kept}",
        f"{kept} kept, with reasons below" if kept else "none kept",
    )


def _nodes(graph: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if graph is None:
        return []
    before, after = sum(graph["layers"].values()), sum(graph["operators"].values())
    return [("Graph", f"{before:,} → {after:,}", "Keras layers to ONNX nodes")]


def _margin(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    nearest = closest(metrics)
    if nearest is None:
        return "Closest to its tolerance", "none", "every metric is 0"
    return "Closest to its tolerance", margin(nearest), f"{title(nearest)} of {measured_where(nearest)}"
