"""The examples of a report: the choice of images, and the drawings of their maps."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.reports import Outline, Reported, report_small_export

from camserve.export.gate.examples import EXAMPLES, Example, choose_examples, example_document
from camserve.export.gate.samples import sample_images
from camserve.export.graph.reference import ReferenceOutputs
from camserve.export.report.map_drawings import draw
from camserve.export.report.page import render_page


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    return report_small_export(tmp_path_factory.mktemp("export"))


def test_nan_is_null_in_json(exported: Reported) -> None:
    broken = replace(exported.examples[0], map=np.full((2, 2), np.nan), keras_map=np.ones((2, 2)))
    values = example_document(broken)
    assert values["difference"] is None
    assert values["export"]["map"] == [[None, None], [None, None]]


def test_examples_show_different_classes(exported: Reported) -> None:
    examples = exported.examples
    assert len(examples) == EXAMPLES
    assert len({example.label for example in examples}) >= 2
    assert all("\t" not in example.label for example in examples)


def test_example_without_a_map_of_its_class_comes_first() -> None:
    keras = answers(np.array([[3.0, 1, 0], [0, 3, 1]]), np.ones((2, 3, 2, 2)))
    export = {
        "probabilities": np.full((2, 3), 1 / 3),
        "cam": np.ones((2, 1, 2, 2)),
        "cam_class": np.array([[0], [2]]),
    }
    found = choose_examples(sample_images(2, 8, 8, 3), ["first", "second"], keras, export, "abc")
    assert [(example.name, example.label) for example in found] == [("second", "b"), ("first", "a")]
    assert found[0].map is None
    assert found[0].difference is None
    assert draw(found[0]).export is None


def test_largest_map_difference_comes_first() -> None:
    keras = answers(np.tile([3.0, 1, 0], (6, 1)), np.ones((6, 3, 2, 2)))
    maps = np.ones((6, 1, 2, 2))
    maps[4] += 0.5
    export = {"probabilities": np.full((6, 3), 1 / 3), "cam": maps, "cam_class": np.zeros((6, 1), int)}
    found = choose_examples(sample_images(6, 8, 8, 3), "uvwxyz", keras, export, "abc")
    assert [example.name for example in found] == ["y", "u", "v", "w"]
    assert [example.difference for example in found] == [0.5, 0, 0, 0]


def answers(logits: Any, maps: Any) -> ReferenceOutputs:
    return ReferenceOutputs(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), logits, maps)


def test_page_without_maps_shows_the_answers(exported: Reported) -> None:
    report = exported.report
    outputs = {"probabilities": np.full((1, 3), 1 / 3)}
    found = choose_examples(sample_images(1, 8, 8, 1), ["one"], answers(np.eye(1, 3), None), outputs, "abc")
    outline = Outline(render_page({**report, "head": None, "contract": {**report["contract"], "cam": None}}, found))
    assert "Answers of Keras and of the export" in outline.text
    assert sum(tag == "img" for tag, _ in outline.elements) == 1


def example_of(size: tuple[int, int], channels: int, export_scale: float = 1.0) -> Example:
    rng = np.random.default_rng(0)
    grid = rng.normal(size=(3, 4))
    image = rng.integers(0, 256, (*size, channels), dtype=np.uint8)  # noise, which no PNG makes small
    return Example("noise", image, "label", 0.5, grid, 0.5, grid * export_scale)


def decoded(address: str) -> tuple[bytes, Image.Image]:
    png = base64.b64decode(address.removeprefix("data:image/png;base64,"), validate=True)
    return png, Image.open(io.BytesIO(png))


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (64, 64), (224, 224), (600, 400), (30, 300), (1, 500)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_small_files_of_a_readable_size(size: tuple[int, int], channels: int) -> None:
    drawings = draw(example_of(size, channels))
    for address in (drawings.image, drawings.keras, drawings.export):
        assert address is not None
        png, image = decoded(address)
        assert len(png) <= 30_000
        assert 64 <= max(image.size) <= 224
        if min(size) >= 28:
            assert image.width / image.height == pytest.approx(size[1] / size[0], rel=0.05)


def test_small_image_keeps_its_pixels() -> None:
    example = example_of((28, 28), 1)
    _, image = decoded(draw(example).image)
    assert np.array_equal(np.asarray(image)[::4, ::4], example.image[..., 0])


def test_equal_maps_look_equal_and_others_do_not() -> None:
    same, weaker = draw(example_of((64, 64), 3)), draw(example_of((64, 64), 3, export_scale=0.5))
    assert same.keras == same.export
    assert weaker.keras == same.keras
    assert weaker.export != same.export, "each in the colors of its own range would hide it"
