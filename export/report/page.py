"""The report as one self-contained page: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from camserve.export.gate.examples import Example
from camserve.export.report import parts
from camserve.export.report.gate_table import every_batch, gate
from camserve.export.report.markup import Html, details, join, section, tag
from camserve.export.report.measured import kind_of
from camserve.export.report.metric_text import closest, is_judged, missed, room, title_of, where
from camserve.export.report.style import STYLE

__all__ = ["page"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PRECISIONS = {
    "fp32": "weights and activations in float32",
    "fp16": "half precision; sums of the map in float32",
    "int8 (cpu)": "8-bit weights and activations, unsigned, for CPUs; head and map in float32",
    "int8 (tensorrt)": "8-bit weights and activations, symmetric, for TensorRT; head and map in float32",
}


def page(report: Mapping[str, Any], examples: Sequence[Example] = ()) -> str:
    """The whole page, from the value that `report.json` holds and the images that it does not."""
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
        tag("div", *_top(report, examples), class_="columns"),
        tag("div", parts.graph(report), parts.files(report), class_="columns"),
        details("Every batch", every_batch(report["parity"])),
        parts.folding(report),
        parts.contract(report),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _top(report: Mapping[str, Any], examples: Sequence[Example]) -> tuple[Html, Html]:
    title = f"Parity with Keras, on {kind_of(report['measured_on'])}"
    proof, inputs = section(title, gate(report["parity"])), parts.inputs(report)
    return (tag("div", proof, inputs, class_="stack"), parts.maps(examples)) if examples else (proof, inputs)


def _verdict(report: Mapping[str, Any]) -> Html:
    beyond = missed(report["parity"])
    badge = (
        tag("span", "parity missed", class_="verdict missed")
        if beyond
        else tag("span", "parity proven", class_="verdict")
    )
    faults = tag("div", tag("ul", *(tag("li", text) for text in beyond)), class_="note missed") if beyond else join()
    return join(
        tag("h1", report["name"], badge),
        tag("p", parts.origin(report), ". ", _in_a_sentence(report["parity"]), class_="lead"),
        faults,
    )


def _in_a_sentence(figures: Sequence[Mapping[str, Any]]) -> str:
    judged = [figure for figure in figures if is_judged(figure)]
    within = sum(figure["passed"] for figure in judged)
    advice = "" if within == len(judged) else "; do not serve it"
    return f"Figures within their bounds: {within} of {len(judged)}{advice}."


def _tiles(report: Mapping[str, Any]) -> Html:
    tiles = [
        ("Precision", report["precision"], _PRECISIONS.get(report["precision"], "")),
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


def _size(report: Mapping[str, Any]) -> tuple[str, str, str]:
    name = next((name for name in ("model.onnx", "saved_model") if name in report["files"]), None)
    if name is None:
        return "Size", "–", ""
    size = report["files"][name]["bytes"]
    parameters = report["source"]["parameters"]
    each = f", {size / parameters:.1f} bytes a parameter" if parameters else ""
    return "Size", parts.megabytes(size), f"{name}{each}"


def _folded(folding: Mapping[str, Any]) -> tuple[str, str, str]:
    folded, kept = len(folding["folded"]), len(folding["kept"])
    if not folded + kept:
        return "BatchNorm", "none", "in this network"
    return "BatchNorm folded", f"{folded} of {folded + kept}", f"{kept} kept: see why below" if kept else "none kept"


def _nodes(graph: Mapping[str, Any] | None) -> list[tuple[str, str, str]]:
    if graph is None:
        return []
    before, after = sum(graph["layers"].values()), sum(graph["operators"].values())
    return [("Graph", f"{before:,} → {after:,}", "Keras layers to ONNX nodes")]


def _margin(figures: Sequence[Mapping[str, Any]]) -> tuple[str, str, str]:
    nearest = closest(figures)
    if nearest is None:
        return "Closest to its bound", "none", "every figure is 0"
    return "Closest to its bound", room(nearest), f"{title_of(nearest)} of {where(nearest)}"
