"""Parts of the report's page: what went in, what was folded, the graph, the images, the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from camserve.colormaps import css_gradient
from camserve.contract import Operation, Preprocessing
from camserve.export.gate.examples import Example
from camserve.export.report.map_drawings import draw
from camserve.export.report.markup import Html, details, join, number, section, table, tag
from camserve.export.report.measured import measured_in_words

__all__ = ["contract", "files", "folding", "graph", "inputs", "maps", "megabytes", "origin"]

_LISTED = 7
_LEGEND = (
    "The brighter the colour, the more that part of the image contributes to the class; where the map is low, it is "
    "transparent. Both maps use one colour scale, the range of Keras's map, in units of the logit. The largest "
    "difference is relative to the largest value of Keras's map."
)


def inputs(report: Mapping[str, Any]) -> Html:
    """The model that was read, and what its graph takes."""
    source, contract_ = report["source"], report["contract"]
    known = {
        "Source": source["title"],
        "Parameters": f"{source['parameters']:,} in {source['layers']} layers, {source['dtype']}",
        "Input": _shape(contract_["input"]),
        "Pixels": pixels(contract_["preprocessing"]),
        "Answers": f"{contract_['classes']:,} classes, {contract_['activation']}",
        "Maps": _maps_in_words(contract_["cam"], report["head"]),
        "File hash": digest(source["sha256"]) if source["sha256"] else "no file",
        "Weights hash": digest(source["weights_sha256"]),
        "Measured on": join(measured_in_words(report), digest(report["measured_on"]["sha256"])),
    }
    return section("What went in", _terms(known))


def graph(report: Mapping[str, Any]) -> Html:
    """Keras layers by class beside ONNX operators, the most frequent first."""
    graph_ = report["graph"]
    if graph_ is None:
        return join()
    layers, operators = graph_["layers"], graph_["operators"]
    return section(
        "Graph before and after",
        tag(
            "div",
            _counts(f"Keras: {_total(layers)} layers", layers),
            _counts(f"ONNX: {_total(operators)} nodes", operators),
            class_="pair",
        ),
        tag("p", f"Opset {graph_['opset']}, ONNX format {graph_['ir_version']}.", class_="faint"),
    )


def files(report: Mapping[str, Any]) -> Html:
    """Every entry of the bundle with its size and SHA-256, and what it was made with."""
    rows = (
        (name, number(megabytes(entry["bytes"])), digest(entry["sha256"])) for name, entry in report["files"].items()
    )
    packages = (tag("span", f"{name} {version}") for name, version in report["packages"].items())
    return section(
        "Files and versions", table(("file", "size", "SHA-256"), rows, "files"), tag("p", *packages, class_="chips")
    )


def folding(report: Mapping[str, Any]) -> Html:
    """Every BatchNorm: into which layer it went, or why it stays."""
    folded, kept = report["folding"]["folded"], report["folding"]["kept"]
    parts = []
    if kept:
        rows = ((entry["batchnorm"], entry["because"]) for entry in kept)
        parts.append(details(f"{len(kept)} BatchNorm layers kept, and why", table(("BatchNorm", "because"), rows)))
    if folded:
        rows = ((entry["batchnorm"], entry["into"]) for entry in folded)
        parts.append(details(f"{len(folded)} BatchNorm layers folded", table(("BatchNorm", "folded into"), rows)))
    return join(*parts)


def contract(report: Mapping[str, Any]) -> Html:
    """The tensors of the served graph."""
    tensors = (report["contract"]["input"], *report["contract"]["outputs"])
    rows = ((entry["name"], entry["dtype"], _dimensions(entry)) for entry in tensors)
    return details("Tensors", table(("tensor", "type", "shape"), rows))


def maps(examples: Sequence[Example]) -> Html:
    """Each example with Keras's map and the export's side by side."""
    if not examples:
        return join()
    drawn = any(example.keras_map is not None for example in examples)
    legend = _LEGEND if drawn else ""
    title = "Maps of Keras and of the export" if drawn else "Answers of Keras and of the export"
    return section(title, *map(_card, examples), tag("p", legend, class_="faint"), kind="maps")


def origin(report: Mapping[str, Any]) -> Html:
    """The lead of the page: source, size of the input, precision."""
    return join(report["source"]["title"], ", exported as ", tag("b", report["precision"]))


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def digest(value: str) -> Html:
    """A hash, cut off where there is no room; what is copied is whole."""
    return tag("code", value, class_="digest", title=value)


def pixels(preprocessing: Mapping[str, Any]) -> str:
    """How pixels become the input."""
    fitted = f"{preprocessing['color']}, {preprocessing['fit']}, {preprocessing['resize']}"
    arithmetic = Preprocessing.model_construct(**preprocessing).arithmetic
    if not arithmetic:
        return f"{fitted}; unchanged"
    return f"{fitted}; {_formula(arithmetic)}{' in the graph' if preprocessing['in_graph'] else ''}"


def _formula(arithmetic: Iterable[tuple[Operation, Sequence[float]]]) -> str:
    formula = "x"
    for operation, operands in arithmetic:
        left = f"({formula})" if "−" in formula else formula
        formula = f"{left} {'/' if operation == 'divide' else '−'} {_channels(operands)}"
    return formula


def _channels(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"[{', '.join(f'{value:g}' for value in values)}]"


def _maps_in_words(cam: Mapping[str, Any] | None, head: str | None) -> str:
    if cam is None:
        return "none"
    rows, columns = cam["grid"]
    of_all = ", and of every class" if cam["all_classes"] else ""
    return f"{cam['top_k']} best classes{of_all}, {rows} × {columns} cells, {cam['kind']} before {head!r}"


def _shape(tensor: Mapping[str, Any]) -> str:
    return f"{tensor['name']} {tensor['dtype']} {_dimensions(tensor)}"


def _dimensions(tensor: Mapping[str, Any]) -> str:
    return f"[batch, {', '.join(map(str, tensor['shape']))}]"


def _terms(known: Mapping[str, object]) -> Html:
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", value)) for term, value in known.items()))


def _total(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values()):,}"


def _counts(title: str, counts: Mapping[str, int]) -> Html:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    largest = max(counts.values(), default=1)
    shown, rest = ordered[:_LISTED], ordered[_LISTED:]
    more = details(f"and {len(rest)} more kinds", _bars(rest, largest)) if rest else join()
    return tag("div", tag("h3", title), _bars(shown, largest), more)


def _bars(counts: Iterable[tuple[str, int]], largest: int) -> Html:
    rows = (
        tag("tr", tag("td", name), number(count), tag("td", _share(count, largest), class_="count"))
        for name, count in counts
    )
    return tag("table", tag("tbody", *rows), class_="counts")


def _share(count: int, largest: int) -> Html:
    return tag("i", style=f"width:{100 * count / largest:.1f}%", aria_hidden="true")


def _card(example: Example) -> Html:
    drawings = draw(example)
    shown = [_image("image", drawings.image, example.name)]
    if drawings.keras is not None:
        shown.append(_image("Keras", drawings.keras, f"Keras's map of {example.label}"))
        shown.append(_image("export", drawings.export, f"the export's map of {example.label}"))
    known = {"Keras": _percent(example.keras_probability), "export": _percent(example.probability)}
    if example.difference is not None:
        known["maps differ by"] = f"{example.difference:.1e}" if example.difference else "nothing"
    text = tag("div", tag("b", example.label), tag("small", example.name), _terms(known), _color_scale(drawings.span))
    return tag("figure", tag("div", *shown, class_="trio"), tag("figcaption", text))


def _color_scale(span: tuple[float, float] | None) -> Html:
    if span is None:
        return join()
    low, high = (tag("span", f"{value:.3g}") for value in span)
    return tag(
        "div", low, tag("i", style=f"background:{css_gradient('inferno')}", aria_hidden="true"), high, class_="scale"
    )


def _image(title: str, address: str | None, description: str) -> Html:
    if address is None:
        return tag("div", tag("p", "not among its best classes", class_="absent"), tag("small", title))
    return tag("div", tag("img", src=address, alt=description), tag("small", title))


def _percent(probability: float) -> str:
    return f"{100 * probability:.2f} %"
