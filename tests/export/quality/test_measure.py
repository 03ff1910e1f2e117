"""What an export reports of maps that are known to be good, and of maps of the opposite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support.reports import Outline
from support.squares import COLORS, color_network, write_squares

from camserve.bundle import Bundle
from camserve.errors import ExportError, UsageError
from camserve.export import export_model
from camserve.export.formats.runner import Runner
from camserve.export.formats.writing import open_format
from camserve.export.graph.prepare import prepare
from camserve.export.quality.boxes import read_boxes
from camserve.export.quality.images import read_boxed_images
from camserve.export.quality.measure import measure_quality
from camserve.export.quality.results import MapQuality
from camserve.export.report.page import render_page
from camserve.export.report.quality_text import curve_images, quality_notes, quality_warnings, weights_text
from camserve.progress import no_progress

pytestmark = pytest.mark.slow

IMAGES = 12
OPTIONS: dict[str, Any] = {"preprocessing": "unit", "resize": "nearest", "formats": "onnx", "labels": list(COLORS)}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return color_network()


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"), IMAGES, 0)


@pytest.fixture(scope="module")
def bundle(model: keras.Model, boxes: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_model(model, tmp_path_factory.mktemp("quality") / "bundle", boxes=boxes, **OPTIONS)


def measure(model: keras.Model, bundle: Bundle, boxes: Path, run: Runner) -> MapQuality:
    """Measure the maps of an exported file that is run by another function."""
    reference = prepare(model, cam=True, top_k=5, all_classes=False).reference
    images = read_boxed_images(read_boxes(boxes), bundle.contract, COLORS)
    return measure_quality(reference, bundle.contract, run, images, no_progress)


def areas(quality: Mapping[str, Any], source: str) -> dict[str, Any]:
    return {row["curve"]: row for row in quality["curves"]["areas"] if row["map"] == source}


def test_good_maps_are_better_than_random_ones_and_point_at_the_objects(bundle: Bundle) -> None:
    quality = bundle.report["map_quality"]
    assert (quality["measured_on"], quality["images"], quality["curves"]["images"]) == ("boxes", IMAGES, IMAGES)
    for source in ("keras", "export"):
        deletion, insertion = (areas(quality, source)[curve] for curve in ("deletion", "insertion"))
        assert deletion["verdict"] == insertion["verdict"] == "better"
        assert deletion["area"] < deletion["random"] < insertion["area"]
        assert deletion["gain"] == pytest.approx(deletion["random"] - deletion["area"], abs=2e-6)
    assert [row["hits"] for row in quality["pointing"]["hits"]] == [IMAGES, IMAGES]
    assert 0.1 < quality["pointing"]["chance"] < 0.5
    assert not any("maps" in warning for warning in bundle.report["warnings"])


def test_curves_begin_with_the_image_and_end_with_the_blurred_one(bundle: Bundle) -> None:
    values = bundle.report["map_quality"]["curves"]["values"]
    deletion, insertion = values["deletion"]["export"], values["insertion"]["export"]
    assert len(deletion) == len(insertion) == len(values["random"]) == 15
    assert deletion[0] == insertion[-1] == values["random"][0] > 0.8
    assert deletion[-1] == insertion[0] == values["random"][-1] == pytest.approx(1 / 3, abs=0.05)


def test_maps_of_the_opposite_are_found(model: keras.Model, bundle: Bundle, boxes: Path) -> None:
    run = open_format(bundle.path, "onnx")

    def opposite(images: Any) -> dict[str, Any]:
        outputs = dict(run(images))
        return {**outputs, "cam": -outputs["cam"]}

    quality = measure(model, bundle, boxes, opposite).as_document()
    assert areas(quality, "keras") == areas(bundle.report["map_quality"], "keras")
    assert {row["verdict"] for row in areas(quality, "export").values()} == {"worse"}
    keras_hits, export_hits = (row["hits"] for row in quality["pointing"]["hits"])
    assert keras_hits == IMAGES
    assert export_hits < IMAGES / 2
    warnings = " ".join(quality_warnings(quality))
    assert "the maps do not rank pixels better than random maps on 12 images with boxes" in warnings
    assert "more often than by chance" in warnings


def test_boxes_of_classes_without_a_map_are_counted(model: keras.Model, bundle: Bundle, boxes: Path) -> None:
    file = boxes.with_name("three.csv")
    file.write_text("\n".join(line.replace("red", "blue") for line in boxes.read_text().splitlines()[:4]))
    run = open_format(bundle.path, "onnx")

    def best_only(images: Any) -> dict[str, Any]:
        outputs = dict(run(images))
        return {**outputs, "cam": outputs["cam"][:, :1], "cam_class": outputs["cam_class"][:, :1]}

    found = measure(model, bundle, file, best_only).pointing
    assert found is not None
    assert (found.played, found.without_map) == (2, 1)


def test_game_without_a_box_in_the_input_is_reported(model: keras.Model, bundle: Bundle, boxes: Path) -> None:
    file = boxes.with_name("outside.csv")
    file.write_text("path,class,xmin,ymin,xmax,ymax\n0.png,red,0,0,9,9\n")
    preprocessing = bundle.contract.preprocessing.model_copy(update={"fit": "crop-only"})  # from 16 to 48
    contract = bundle.contract.model_copy(update={"preprocessing": preprocessing})
    reference = prepare(model, cam=True, top_k=5, all_classes=False).reference
    images = read_boxed_images(read_boxes(file), contract, COLORS)
    quality = measure_quality(reference, contract, open_format(bundle.path, "onnx"), images, no_progress).as_document()
    assert (quality["pointing"]["played"], quality["pointing"]["chance"]) == (0, None)
    assert any("the pointing game was not played" in warning for warning in quality_warnings(quality))
    (note,) = quality_notes(quality)
    assert note == "left out of the pointing game: 1 box outside the part of the image that the network receives"
    assert curve_images(quality) == "1 image with boxes"


def test_file_with_values_that_are_not_finite_is_refused(model: keras.Model, bundle: Bundle, boxes: Path) -> None:
    run = open_format(bundle.path, "onnx")

    def overflowing(images: Any) -> dict[str, Any]:
        outputs = dict(run(images))
        return {**outputs, "probabilities": outputs["probabilities"] * np.nan}

    with pytest.raises(ExportError, match="values that are not finite for an image with blurred pixels"):
        measure(model, bundle, boxes, overflowing)


def test_unknown_class_is_refused_before_files_are_written(model: keras.Model, boxes: Path, tmp_path: Path) -> None:
    file = boxes.with_name("unknown.csv")
    file.write_text("path,class,xmin,ymin,xmax,ymax\n0.png,purple,0,0,9,9\n")
    phases: list[str] = []
    with pytest.raises(UsageError, match=r"line 2 of .* names the class 'purple'"):
        export_model(model, tmp_path / "bundle", boxes=file, progress=phases.append, **OPTIONS)
    assert phases[-1] == "read the images with boxes"
    assert not any("write" in phase for phase in phases)


def test_warning_of_unchanged_maps_requires_that_every_layer_was_shuffled(bundle: Bundle) -> None:
    row = {"weights": "all", "layers": 2, "rank_correlation": 0.9, "of_seeds": [0.9], "compared": 1, "pairs": 1}
    quality = {**bundle.report["map_quality"], "other_weights": [row]}
    assert any("hardly depend on the weights" in warning for warning in quality_warnings(quality))
    quality["kept_weights"] = ["mine"]
    assert quality_warnings(quality) == []
    assert "(of all layers but those of tf_keras: 2)" in weights_text(quality)


def test_page_shows_curves_and_table(bundle: Bundle) -> None:
    outline = Outline((bundle.path / "report.html").read_text())
    assert sum(tag == "polyline" for tag, _ in outline.elements) == 6
    text = " ".join(outline.text.split())
    assert "How good the maps are, measured on 12 images with boxes" in text
    assert "12 of 12 (76 to 100 %)" in text
    report = {**bundle.report, "map_quality": None}
    assert "How good the maps are Not measured: " in " ".join(Outline(render_page(report)).text.split())


def test_maps_that_cannot_be_compared_are_counted(bundle: Bundle) -> None:
    rows = bundle.report["map_quality"]["other_weights"]
    assert rows[-1]["compared"] < rows[-1]["pairs"], "shuffled, the convolution finds no color in most images"
    assert "maps constant or not finite)" in weights_text(bundle.report["map_quality"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map_quality": True}, "--map-quality requires images"),
        ({"map_quality": True, "cam": False}, "--map-quality conflicts with --no-cam"),
        ({"boxes": "gone.csv"}, "gone.csv is not a file"),
    ],
)
def test_options_are_checked_at_once(options: dict[str, Any], message: str, model: keras.Model, tmp_path: Path) -> None:
    phases: list[str] = []
    with pytest.raises(UsageError, match=message):
        export_model(model, tmp_path / "bundle", progress=phases.append, **{**OPTIONS, **options})
    assert phases == []
