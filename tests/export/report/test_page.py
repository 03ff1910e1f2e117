"""The page of a report: a page and no more, in which every figure stands against its bound."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.reports import Outline, Reported, report_small_export

from camserve.export.gate.parity import Metric
from camserve.export.report.page import page

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return report_small_export(tmp_path_factory.mktemp("export"))


def of_elsewhere(outline: Outline) -> list[str]:
    """What of a page would run, be loaded, or lead away from it."""
    found = [
        tag for tag, _ in outline.elements if tag in ("script", "link", "iframe", "object", "embed", "base", "form")
    ]
    for _, attributes in outline.elements:
        found += [name for name in attributes if name.startswith("on") or name in ("href", "srcset", "action")]
        found += [source for source in [attributes.get("src")] if source and not source.startswith("data:image/png;")]
    return found + re.findall(r"url\(|@import|https?:|//", outline.text)


def test_nothing_of_the_page_runs_or_comes_from_elsewhere(exported: Reported) -> None:
    examples, folder = exported.examples, exported.folder
    outline = Outline((folder / "report.html").read_text())
    assert of_elsewhere(outline) == []
    assert sum(tag == "img" for tag, _ in outline.elements) == 3 * len(examples)
    policies = [dict(attributes).get("content") for _, attributes in outline.elements if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.parametrize(
    "planted",
    ["<script></script>", "<img src='x.png'>", "<a href='/'>", "<b onclick='x'>", "<style>@import 'x'</style>"],
)
def test_what_runs_or_comes_from_elsewhere_is_found(exported: Reported, planted: str) -> None:
    text = (exported.folder / "report.html").read_text()
    assert of_elsewhere(Outline(text.replace("</body>", f"{planted}</body>"))) != []


def test_no_text_of_a_model_becomes_markup(exported: Reported) -> None:
    report, examples = exported.report, exported.examples
    report = {**report, "warnings": ["a warning"], "folding": {**report["folding"]}}
    report["folding"]["kept"] = [{"batchnorm": "bn", "because": "it stays"}]
    renamed = [replace(example, label=example.label + HOSTILE, name=example.name + HOSTILE) for example in examples]
    benign, attacked = Outline(page(report, examples)), Outline(page(spoilt(report), renamed))
    assert attacked.shape == benign.shape
    assert attacked.text.count("<script>alert(1)</script>") > 50
    assert "\u202e" not in attacked.text, "what turns the direction of reading is shown as an escape"


def spoilt(value: Any, key: str = "") -> Any:
    """The report with every text that a model or its owner chose followed by markup."""
    if isinstance(value, Mapping):
        named = key in ("files", "layers", "operators", "packages")
        return {name + HOSTILE if named else name: spoilt(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [spoilt(item, key) for item in value]
    return value + HOSTILE if isinstance(value, str) and key not in ("format", "figure") else value


def with_figures(report: Mapping[str, Any], *figures: Metric) -> str:
    """The page of an export with these figures, through JSON as a bundle has them."""
    rows = [
        {**vars(figure), "value": figure.value if np.isfinite(figure.value) else None, "passed": figure.passed}
        for figure in figures
    ]
    return page({**report, "parity": rows})


def text_of(markup: str) -> str:
    return " ".join(Outline(markup).text.split())


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (Metric("onnx", "cam", 3, 2e-3, 1e-4), "Maps, ONNX Runtime, 3 images: 2e-03 > 1e-04, 20× the bound"),
        (Metric("onnx", "cam_class", 1, 2, 0), "Classes of maps, ONNX Runtime, 1 image: 2 > 0, must be 0"),
        (Metric("onnx", "cam", 8, 4e37, 1e-4), "Maps, ONNX Runtime, 8 images: 4e+37 > 1e-04, > 1,000× the bound"),
        (Metric("savedmodel", "logits", 8, float("nan"), 1e-4), "Logits, SavedModel, 8 images: NaN, bound 1e-04"),
        (Metric("onnx", "logits", 8, float("nan"), None), "Logits, ONNX Runtime, 8 images: NaN, not a number"),
    ],
)
def test_a_missed_figure_is_the_first_thing_said(exported: Reported, figure: Metric, said: str) -> None:
    good = Metric("onnx", "logits", 3, 1e-7, 1e-4)
    text = text_of(with_figures(exported.report, good, figure))
    assert "parity missed" in text
    assert "Figures within their bounds: 1 of 2; do not serve it." in text
    assert said in text
    assert text.index(said) < text.index("Precision")
    assert "parity missed" not in text_of(with_figures(exported.report, good))


@pytest.mark.parametrize(
    ("name", "value", "bound", "said"),
    [
        ("top1_disagreement", 0.004, 0.01, "Other best class 0.4 % ≤ 1 % 2.5× below"),
        ("cam_distance", 0.0002, 0.01, "Map distance 2e-04 ≤ 1e-02 50× below"),
        ("half_range", 812.4, 65504.0, "Largest activation 812 ≤ 65,504 81× below"),
        ("logits", 0.12, None, "Logits 1.2e-01 told, not judged"),
        ("logits", 0.0, 1e-4, "Logits 0 ≤ 1e-04 exact"),
        ("top1", 0.0, 0.0, "Best class 0 none"),
        ("top1_disagreement", 0.0, 0.01, "Other best class 0 % ≤ 1 % none"),
        ("cam_distance", -1e-16, 0.01, "Map distance -1e-16 ≤ 1e-02 exact"),
        ("logits", 0.02507, 0.25, "Logits 2.5e-02 ≤ 2.5e-01 10× below"),
        ("logits", 1e-7, 1e-4, "Logits 1e-07 ≤ 1e-04 1,000× below"),
        ("logits", 2.7e-39, 1e-4, "Logits 2.7e-39 ≤ 1e-04 > 1,000× below"),
        ("logits", 5e-324, 1e-4, "Logits 5e-324 ≤ 1e-04 > 1,000× below"),
        ("a_new_figure", 1e-3, 1e-2, "a new figure 1e-03 ≤ 1e-02 10× below"),
    ],
)
def test_each_figure_stands_against_its_bound(
    exported: Reported, name: Any, value: float, bound: float | None, said: str
) -> None:
    row = {"format": "onnx", "figure": name, "batch": 8, "value": value, "bound": bound, "passed": True}
    assert said in text_of(page({**exported.report, "parity": [row]}))


def test_a_figure_that_is_told_and_not_judged_decides_nothing(exported: Reported) -> None:
    told = {"format": "onnx", "figure": "logits", "batch": 8, "value": 9.9, "bound": None, "passed": True}
    judged = {"format": "onnx", "figure": "cam", "batch": 8, "value": 1e-6, "bound": 1e-4, "passed": True}
    text = text_of(page({**exported.report, "parity": [told, judged]}))
    assert "Figures within their bounds: 1 of 1." in text
    assert "100× below Maps of ONNX Runtime, 8 images" in text


@pytest.mark.parametrize(
    ("share_of_bound", "percent"), [(1e-9, 2.0), (1e-3, 20.0), (0.1, 60.0), (1.0, 80.0), (10.0, 100.0), (1e6, 100.0)]
)
def test_a_bar_grows_by_powers_of_ten_and_reaches_the_line_at_the_bound(
    exported: Reported, share_of_bound: float, percent: float
) -> None:
    markup = with_figures(exported.report, Metric("onnx", "logits", 1, share_of_bound * 1e-4, 1e-4))
    (bar,) = [attributes["style"] for attributes in bars(markup)]
    assert bar == f"width:{percent:.1f}%"


def bars(markup: str) -> Iterator[dict[str, str | None]]:
    for (_, outer), (_, inner) in pairwise(Outline(markup).elements):
        if outer.get("class") == "bar":
            yield inner


def test_the_worst_batch_is_the_one_that_is_shown(exported: Reported) -> None:
    figures = [Metric("onnx", "logits", batch, value, 1e-4) for batch, value in ((1, 1e-7), (3, 3e-6), (8, 2e-7))]
    text = text_of(with_figures(exported.report, *figures))
    assert "Logits 3e-06 ≤ 1e-04 33× below" in text
    assert "1 image 3 images 8 images ONNX Runtime Logits 1e-07 3e-06 2e-07" in text


OF_LOGITS, OF_KERAS = "than the export's own logits rank there, or of one class twice", "than Keras ranks there"


@pytest.mark.parametrize("marker", ["top1_disagreement", "cam_distance"])
def test_classes_of_maps_in_a_lower_precision_are_said_to_be_held_to_the_exports_own_logits(
    exported: Reported, marker: Any
) -> None:
    of_onnx = Metric("onnx", "cam_class", 64, 0, 0), Metric("onnx", marker, 64, 0, 0.01)
    text = text_of(with_figures(exported.report, *of_onnx))
    assert OF_LOGITS in text
    assert OF_KERAS not in text
    both = text_of(with_figures(exported.report, *of_onnx, Metric("savedmodel", "cam_class", 8, 0, 0)))
    assert f"ONNX Runtime: maps of another class {OF_LOGITS}; SavedModel: maps of another class {OF_KERAS}" in both


def test_classes_of_maps_in_float32_are_said_to_be_held_to_keras(exported: Reported) -> None:
    text = text_of(with_figures(exported.report, Metric("onnx", "cam_class", 8, 0, 0)))
    assert OF_KERAS in text
    assert OF_LOGITS not in text
