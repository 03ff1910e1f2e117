"""The page of a report: self-contained, escaped, and every metric compared with its tolerance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from support.reports import Outline, Reported, report_small_export

from camserve.export.gate.metric import Metric
from camserve.export.gate.tolerances import Limit
from camserve.export.report.page import render_page

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return report_small_export(tmp_path_factory.mktemp("export"))


def external_content(outline: Outline) -> list[str]:
    """List what a page would run, load or link to."""
    found = [
        tag for tag, _ in outline.elements if tag in ("script", "link", "iframe", "object", "embed", "base", "form")
    ]
    for _, attributes in outline.elements:
        found += [name for name in attributes if name.startswith("on") or name in ("href", "srcset", "action")]
        found += [source for source in [attributes.get("src")] if source and not source.startswith("data:image/png;")]
    return found + re.findall(r"url\(|@import|https?:|//", outline.text)


def test_page_has_no_scripts_and_no_external_content(exported: Reported) -> None:
    examples, folder = exported.examples, exported.folder
    outline = Outline((folder / "report.html").read_text())
    assert external_content(outline) == []
    assert sum(tag == "img" for tag, _ in outline.elements) == 3 * len(examples)
    policies = [dict(attributes).get("content") for _, attributes in outline.elements if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


@pytest.mark.parametrize(
    "planted",
    ["<script></script>", "<img src='x.png'>", "<a href='/'>", "<b onclick='x'>", "<style>@import 'x'</style>"],
)
def test_planted_external_content_is_found(exported: Reported, planted: str) -> None:
    text = (exported.folder / "report.html").read_text()
    assert external_content(Outline(text.replace("</body>", f"{planted}</body>"))) != []


def test_text_of_a_model_is_escaped(exported: Reported) -> None:
    report, examples = exported.report, exported.examples
    report = {**report, "warnings": ["a warning"], "notes": ["no <labels>"], "folding": {**report["folding"]}}
    report["folding"]["kept"] = [{"batchnorm": "bn", "because": "it stays"}]
    renamed = [replace(example, label=example.label + HOSTILE, name=example.name + HOSTILE) for example in examples]
    benign, attacked = Outline(render_page(report, examples)), Outline(render_page(hostile(report), renamed))
    assert "no <labels>." in benign.text
    assert attacked.shape == benign.shape
    assert attacked.text.count("<script>alert(1)</script>") > 50
    assert "\u202e" not in attacked.text, "characters that change the reading direction are escaped"


def hostile(value: Any, key: str = "") -> Any:
    """Return the report with markup appended to every text that a model or its author chose."""
    if isinstance(value, Mapping):
        named = key in ("files", "layers", "operators", "packages")
        return {name + HOSTILE if named else name: hostile(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, key) for item in value]
    return value + HOSTILE if isinstance(value, str) and key not in ("format", "figure") else value


def with_metrics(report: Mapping[str, Any], *metrics: Metric) -> str:
    """Render the page of a report with these metrics."""
    rows = [metric.as_document() for metric in metrics]
    return render_page({**report, "parity": rows})


def text_of(markup: str) -> str:
    return " ".join(Outline(markup).text.split())


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (Metric("onnx", "cam", 3, 2e-3, 1e-4), "Map values, ONNX Runtime, 3 images: 2e-03 > 1e-04, 20× the tolerance"),
        (Metric("onnx", "cam_class", 1, 2, 0), "Map classes, ONNX Runtime, 1 image: 2 > 0, must be 0"),
        (
            Metric("onnx", "cam", 8, 4e37, 1e-4),
            "Map values, ONNX Runtime, 8 images: 4e+37 > 1e-04, > 1,000× the tolerance",
        ),
        (Metric("savedmodel", "logits", 8, float("nan"), 1e-4), "Logits, SavedModel, 8 images: NaN, tolerance 1e-04"),
        (Metric("onnx", "logits", 8, float("nan"), None), "Logits, ONNX Runtime, 8 images: NaN, not a number"),
    ],
)
def test_failed_metric_is_shown_first(exported: Reported, metric: Metric, expected: str) -> None:
    good = Metric("onnx", "logits", 3, 1e-7, 1e-4)
    text = text_of(with_metrics(exported.report, good, metric))
    assert "parity failed" in text
    assert "Metrics within tolerance: 1 of 2; do not serve this export." in text
    assert expected in text
    assert text.index(expected) < text.index("Precision")
    assert "parity failed" not in text_of(with_metrics(exported.report, good))


@pytest.mark.parametrize(
    ("name", "value", "bound", "expected"),
    [
        ("top1_disagreement", 0.004, 0.01, "Top-1 disagreement 0.4 % ≤ 1 % 2.5× below"),
        ("cam_distance", 0.0002, 0.01, "Map distance 2e-04 ≤ 1e-02 50× below"),
        ("half_range", 812.4, 65504.0, "Largest activation 812 ≤ 65,504 81× below"),
        ("logits", 0.12, None, "Logits 1.2e-01 not judged"),
        ("logits", 0.0, 1e-4, "Logits 0 ≤ 1e-04 exact"),
        ("top1", 0.0, 0.0, "Top-1 class 0 none"),
        ("top1_disagreement", 0.0, 0.01, "Top-1 disagreement 0 % ≤ 1 % none"),
        ("cam_distance", -1e-16, 0.01, "Map distance -1e-16 ≤ 1e-02 exact"),
        ("logits", 0.02507, 0.25, "Logits 2.5e-02 ≤ 2.5e-01 10× below"),
        ("logits", 1e-7, 1e-4, "Logits 1e-07 ≤ 1e-04 1,000× below"),
        ("logits", 2.7e-39, 1e-4, "Logits 2.7e-39 ≤ 1e-04 > 1,000× below"),
        ("logits", 5e-324, 1e-4, "Logits 5e-324 ≤ 1e-04 > 1,000× below"),
        ("a_new_metric", 1e-3, 1e-2, "a new metric 1e-03 ≤ 1e-02 10× below"),
    ],
)
def test_metric_is_compared_with_its_tolerance(
    exported: Reported, name: Any, value: float, bound: float | None, expected: str
) -> None:
    row = {"format": "onnx", "figure": name, "batch": 8, "value": value, "bound": bound, "passed": True}
    assert expected in text_of(render_page({**exported.report, "parity": [row]}))


def test_metric_without_tolerance_is_not_counted(exported: Reported) -> None:
    reported = {"format": "onnx", "figure": "logits", "batch": 8, "value": 9.9, "bound": None, "passed": True}
    judged = {"format": "onnx", "figure": "cam", "batch": 8, "value": 1e-6, "bound": 1e-4, "passed": True}
    text = text_of(render_page({**exported.report, "parity": [reported, judged]}))
    assert "Metrics within tolerance: 1 of 1." in text
    assert "100× below Map values of ONNX Runtime, 8 images" in text


@pytest.mark.parametrize(
    ("share", "percent"), [(1e-9, 2.0), (1e-3, 20.0), (0.1, 60.0), (1.0, 80.0), (10.0, 100.0), (1e6, 100.0)]
)
def test_bar_is_logarithmic_and_reaches_the_line_at_the_tolerance(
    exported: Reported, share: float, percent: float
) -> None:
    markup = with_metrics(exported.report, Metric("onnx", "logits", 1, share * 1e-4, 1e-4))
    (bar,) = [attributes["style"] for attributes in bars(markup)]
    assert bar == f"width:{percent:.1f}%"


def bars(markup: str) -> Iterator[dict[str, str | None]]:
    for (_, outer), (_, inner) in pairwise(Outline(markup).elements):
        if outer.get("class") == "bar":
            yield inner


def test_worst_batch_is_shown(exported: Reported) -> None:
    metrics = [Metric("onnx", "logits", batch, value, 1e-4) for batch, value in ((1, 1e-7), (3, 3e-6), (8, 2e-7))]
    text = text_of(with_metrics(exported.report, *metrics))
    assert "Logits 3e-06 ≤ 1e-04 33× below" in text
    assert "1 image 3 images 8 images ONNX Runtime Logits 1e-07 3e-06 2e-07" in text


OWN = "maps whose class differs from the export's own class of that rank, or is repeated"
KERAS = "maps whose class differs from Keras's class of that rank"


@pytest.mark.parametrize("marker", ["top1_disagreement", "cam_distance"])
def test_map_classes_of_lower_precision_are_compared_with_own_logits(exported: Reported, marker: Any) -> None:
    of_onnx = Metric("onnx", "cam_class", 64, 0, 0), Metric("onnx", marker, 64, 0, 0.01)
    text = text_of(with_metrics(exported.report, *of_onnx))
    assert OWN in text
    assert KERAS not in text
    both = text_of(with_metrics(exported.report, *of_onnx, Metric("savedmodel", "cam_class", 8, 0, 0)))
    assert f"ONNX Runtime: {OWN}; SavedModel: {KERAS}" in both


def test_map_classes_of_fp32_are_compared_with_keras(exported: Reported) -> None:
    text = text_of(with_metrics(exported.report, Metric("onnx", "cam_class", 8, 0, 0)))
    assert KERAS in text
    assert OWN not in text


def test_widened_tolerance_is_shown_in_badge_count_and_cell(exported: Reported) -> None:
    limit = Limit(0.2, 0.01, "top1_disagreement")
    text = text_of(with_metrics(exported.report, Metric.share("onnx", "top1_disagreement", 13, 100, limit)))
    assert "parity passed with widened tolerances" in text
    assert "Metrics within tolerance: 1 of 1, 1 of them wider than the default." in text
    assert "13 % ≤ 20 % 1.5× below 13 of 100 images: 95 % interval 7.8 % to 21 %; 126 images would settle it" in text
    assert "widened from 1 %" in text


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (Limit(1.6e-5, 1.6e-5, "probabilities", 4e-6), "8e-06 ≤ 1.6e-05 2.0× below Keras fp32: 4e-06"),
        (
            Limit(2.8e-5, 2.8e-5, "probabilities", 1.4e-5),
            "8e-06 ≤ 2.8e-05 3.5× below Keras fp32: 1.4e-05; tolerance twice that",
        ),
        (Limit(9e-6, 1e-5, "probabilities"), "8e-06 ≤ 9e-06 1.1× below default 1e-05"),
    ],
)
def test_rounding_of_keras_and_default_are_shown(exported: Reported, limit: Limit, expected: str) -> None:
    metric = Metric.limited("onnx", "probabilities", 8, 8e-6, limit)
    text = text_of(with_metrics(exported.report, metric))
    assert expected in text
    assert "with widened tolerances" not in text


def test_share_that_is_not_settled_is_shown_as_such(exported: Reported) -> None:
    metric = Metric.share("onnx", "top1_disagreement", 1, 75, Limit(0.01, 0.01, "top1_disagreement"))
    text = text_of(with_metrics(exported.report, metric))
    assert "1.33 %, tolerance 1 % not settled" in text
    assert "1 of 75 images: 95 % interval 0.24 % to 7.2 %; 3,423 images would settle it" in text
    assert "with widened tolerances" not in text
