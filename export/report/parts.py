"""The sections of the report's page: source, maps, graph, files and folding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from camserve.colormaps import css_gradient
from camserve.contract import Operation, Preprocessing
from camserve.export.gate.examples import Example
from camserve.export.report.map_drawings import draw
from camserve.export.report.measured import measurement_text
from camserve.pages.markup import Html, details, join, number, section, table, tag
from camserve.text import count

__all__ = ["files", "folding", "format_bytes", "graph", "maps", "origin", "source", "tensors"]

_SHOWN = 7
_POOLING = {"global-average": "global average pooling", "average": "average pooling", "flatten": "no pooling"}
_LEGEND = (
    "The brighter the color, the more that part of the image contributes to the class; where the map is low, it is "
    "transparent. Both maps use one color scale, the range of Keras's map, in units of the logit. The largest "
    "difference is relative to the largest value of Keras's map."
)


def source(report: Mapping[str, Any]) -> Html:
    """Return the model that was exported, and the input and outputs of its graph."""
    model, contract = report["source"], report["contract"]
    terms = {
        "Model": model["title"],
        "Parameters": f"{model['parameters']:,} in {count(model['layers'], 'layer')}, {model['dtype']}",
        "Input": _tensor(contract["input"]),
        "Preprocessing": _preprocessing(contract["preprocessing"]),
        "Outputs": f"{count(contract['classes'], 'class')}, {contract['activation']}",
        "Maps": _describe_maps(contract["cam"], report["head"]),
        "File hash": _digest(model["sha256"]) if model["sha256"] else "no file",
        "Weights hash": _digest(model["weights_sha256"]),
        "Measured on": join(measurement_text(report), _digest(report["measured_on"]["sha256"])),
    }
    return section("Source", _terms(terms))


def graph(report: Mapping[str, Any]) -> Html:
    """Return the number of Keras layers by class and of ONNX operators, the most frequent first."""
    values = report["graph"]
    if values is None:
        return join()
    layers, operators = values["layers"], values["operators"]
    return section(
        "Graph before and after",
        tag(
            "div",
            _counts(f"Keras: {count(sum(layers.values()), 'layer')}", layers),
            _counts(f"ONNX: {count(sum(operators.values()), 'node')}", operators),
            class_="pair",
        ),
        tag("p", f"Opset {values['opset']}, ONNX format {values['ir_version']}.", class_="faint"),
    )


def files(report: Mapping[str, Any]) -> Html:
    """Return the size and SHA-256 of every entry of the bundle, and the versions of the packages."""
    rows = (
        (name, number(format_bytes(entry["bytes"])), _digest(entry["sha256"]))
        for name, entry in report["files"].items()
    )
    packages = (tag("span", f"{name} {version}") for name, version in report["packages"].items())
    return section(
        "Files and versions", table(("file", "size", "SHA-256"), rows, "files"), tag("p", *packages, class_="chips")
    )


def folding(report: Mapping[str, Any]) -> Html:
    """Return the layer that each BatchNorm was folded into, or why it was kept."""
    folded, kept = report["folding"]["folded"], report["folding"]["kept"]
    parts = []
    if kept:
        rows = ((entry["batchnorm"], entry["because"]) for entry in kept)
        heading = f"{count(len(kept), 'BatchNorm layer')} kept"
        parts.append(details(heading, table(("BatchNorm", "reason"), rows)))
    if folded:
        rows = ((entry["batchnorm"], entry["into"]) for entry in folded)
        heading = f"{count(len(folded), 'BatchNorm layer')} folded"
        parts.append(details(heading, table(("BatchNorm", "folded into"), rows)))
    return join(*parts)


def tensors(report: Mapping[str, Any]) -> Html:
    """Return the tensors of the exported graph."""
    specs = (report["contract"]["input"], *report["contract"]["outputs"])
    rows = ((spec["name"], spec["dtype"], _shape(spec)) for spec in specs)
    return details("Tensors", table(("tensor", "type", "shape"), rows))


def maps(examples: Sequence[Example]) -> Html:
    """Return each example with Keras's map and the export's side by side."""
    if not examples:
        return join()
    drawn = any(example.keras_map is not None for example in examples)
    heading = f"{'Maps' if drawn else 'Answers'} of Keras and of the export"
    return section(heading, *map(_card, examples), tag("p", _LEGEND if drawn else "", class_="faint"), class_="maps")


def origin(report: Mapping[str, Any]) -> Html:
    """Return the source and the precision in one line."""
    return join(report["source"]["title"], ", exported as ", tag("b", report["precision"]))


def format_bytes(size: int) -> str:
    """Return a number of bytes with its unit."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return count(size, "byte")


def _digest(value: str) -> Html:
    """Return a hash that is shortened if there is too little space, but copied completely."""
    return tag("code", value, class_="digest", title=value)


def _preprocessing(values: Mapping[str, Any]) -> str:
    fitted = f"{values['color']}, {values['fit']}, {values['resize']}"
    arithmetic = Preprocessing.model_construct(**values).arithmetic
    if not arithmetic:
        return f"{fitted}; values unchanged"
    return f"{fitted}; {_formula(arithmetic)}{' in the graph' if values['in_graph'] else ''}"


def _formula(arithmetic: Iterable[tuple[Operation, Sequence[float]]]) -> str:
    formula = "x"
    for operation, operands in arithmetic:
        left = f"({formula})" if "−" in formula else formula
        formula = f"{left} {'/' if operation == 'divide' else '−'} {_per_channel(operands)}"
    return formula


def _per_channel(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"[{', '.join(f'{value:g}' for value in values)}]"


def _describe_maps(cam: Mapping[str, Any] | None, head: str | None) -> str:
    if cam is None:
        return "none"
    rows, columns = cam["grid"]
    every = " and all classes" if cam["all_classes"] else ""
    shown = f"top {count(cam['top_k'], 'class')}{every}, {rows} × {columns} cells"
    if cam["kind"] == "gradient":
        return f"{shown}, derivative of the logit (HiResCAM) through {head!r}, which is not linear"
    return f"{shown}, {_POOLING.get(cam['kind'], cam['kind'])} before {head!r}"


def _tensor(spec: Mapping[str, Any]) -> str:
    return f"{spec['name']} {spec['dtype']} {_shape(spec)}"


def _shape(spec: Mapping[str, Any]) -> str:
    return f"[batch, {', '.join(map(str, spec['shape']))}]"


def _terms(terms: Mapping[str, object]) -> Html:
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", value)) for term, value in terms.items()))


def _counts(title: str, counts: Mapping[str, int]) -> Html:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    largest = max(counts.values(), default=1)
    shown, rest = ordered[:_SHOWN], ordered[_SHOWN:]
    more = details(f"and {len(rest)} more", _bars(rest, largest)) if rest else join()
    return tag("div", tag("h3", title), _bars(shown, largest), more)


def _bars(counts: Iterable[tuple[str, int]], largest: int) -> Html:
    rows = (
        tag("tr", tag("td", name), number(value), tag("td", _bar(value / largest), class_="count"))
        for name, value in counts
    )
    return tag("table", tag("tbody", *rows), class_="counts")


def _bar(share: float) -> Html:
    return tag("i", style=f"width:{100 * share:.1f}%", aria_hidden="true")


def _card(example: Example) -> Html:
    drawings = draw(example)
    shown = [_image("image", drawings.image, example.name)]
    if drawings.keras is not None:
        shown.append(_image("Keras", drawings.keras, f"Keras's map of {example.label}"))
        shown.append(_image("export", drawings.export, f"the export's map of {example.label}"))
    terms = {"Keras": _percent(example.keras_probability), "export": _percent(example.probability)}
    if example.difference is not None:
        terms["map difference"] = f"{example.difference:.1e}" if example.difference else "0"
    text = tag("div", tag("b", example.label), tag("small", example.name), _terms(terms), _color_scale(drawings.span))
    return tag("figure", tag("div", *shown, class_="trio"), tag("figcaption", text))


def _color_scale(span: tuple[float, float] | None) -> Html:
    if span is None:
        return join()
    low, high = (tag("span", f"{value:.3g}") for value in span)
    gradient = tag("i", style=f"background:{css_gradient('viridis')}", aria_hidden="true")
    return tag("div", low, gradient, high, class_="scale")


def _image(title: str, uri: str | None, description: str) -> Html:
    if uri is None:
        return tag("div", tag("p", "not in its top classes", class_="absent"), tag("small", title))
    return tag("div", tag("img", src=uri, alt=description), tag("small", title))


def _percent(probability: float) -> str:
    return f"{100 * probability:.2f} %"
