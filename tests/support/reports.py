"""A small network exported for real, with its report, and a reader of the report's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import onnxruntime
from support.networks import enliven, small_network

from camserve.bundle import CONTRACT_NAME, LABELS_NAME, ONNX_NAME
from camserve.contract import PRESETS, ModelContract
from camserve.export.formats.onnx_format import convert, count_operators, write_onnx
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.gate.examples import Example, choose_examples
from camserve.export.gate.gate import measure_network
from camserve.export.gate.measurement_images import MeasurementImages
from camserve.export.gate.parity import measure_parity
from camserve.export.gate.samples import sample_images
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.exact import find_truth
from camserve.export.graph.prepare import prepare
from camserve.export.provenance import collect_provenance
from camserve.export.report.document import describe_files, make_report, write_report
from camserve.export.source.load import load_source
from camserve.pixels import normalize

__all__ = ["Outline", "Reported", "report_small_export"]

_LABELS = ("zebra", "n01\ttench", "c", "d", "e", "f")


@dataclass(frozen=True)
class Reported:
    """An export with its report.

    Attributes:
        report: The value of `report.json`.
        examples: The examples of the page.
        folder: The folder of both files.
    """

    report: dict[str, Any]
    examples: tuple[Example, ...]
    folder: Path


def report_small_export(folder: Path) -> Reported:
    """Export a network for 16x16 pixels and six classes as ONNX, and write its report."""
    model = enliven(small_network("average"), PRESETS["unit"])
    prepared = prepare(model, cam=True, top_k=3, all_classes=False)
    served = prepared.served
    contract = ModelContract(
        name="small",
        input=served.input,
        outputs=served.outputs,
        preprocessing=PRESETS["unit"],
        activation=served.activation,
        classes=len(_LABELS),
        cam=served.cam,
    )
    graph = convert(served, 17)
    write_onnx(graph, folder / ONNX_NAME, {})
    (folder / CONTRACT_NAME).write_text(contract.to_json())
    (folder / LABELS_NAME).write_text("\n".join(_LABELS))
    pixels = sample_images(6, 16, 16, 3)
    images = normalize(pixels, PRESETS["unit"])
    truth, run = find_truth(prepared.reference, images[:1]), _runner(folder / ONNX_NAME)
    answers = truth.exact(images)
    metrics = [
        *measure_network(prepared, images, answers, Tolerances()),
        *measure_parity("onnx", run, [(images, answers)], prepared.head, Tolerances()),
    ]
    names = tuple(f"sample {number}" for number in range(1, 7))
    examples = choose_examples(pixels, names, answers, run(images), _LABELS)
    loaded = load_source(model)
    report = make_report(
        loaded,
        prepared,
        contract,
        metrics,
        provenance=collect_provenance(loaded, OnnxSettings()),
        precision="fp32",
        images=MeasurementImages(pixels, names),
        calibration=None,
        graph={
            "opset": 17,
            "ir_version": 8,
            "operators": count_operators(graph),
            "layers": dict(Counter(type(layer).__name__ for layer in model.layers)),
        },
        files=describe_files(folder),
        examples=examples,
        truth=truth,
    )
    write_report(folder, report, examples)
    return Reported(report, examples, folder)


def _runner(path: Path) -> Callable[[Any], dict[str, Any]]:
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {"image": images}), strict=True))


class Outline(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The elements and the names of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]
