"""The preprocessing that reproduces expected answers is found; the answers are those of the original libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from support.original_pipelines import original_tensor, write_expected, write_photos

from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import ParityError
from camserve.export import RECIPES
from camserve.export.expect.candidates import list_candidates
from camserve.export.expect.end_to_end import find_expected
from camserve.export.graph.trace import trace
from camserve.export.options import ExportOptions
from camserve.export.source.load import load_source
from camserve.progress import no_progress

SIZE = (24, 20)
Pipeline = tuple[str, ResizeFilter, Fit]


def network(inside: Any = None, channels: int = 3, units: int = 4) -> keras.Model:
    """Build a network whose answers depend on scale, order and fine detail of the pixels."""
    image = layers.Input((*SIZE, channels))
    x = image if inside is None else inside(image)
    x = layers.Conv2D(8, 3, strides=2, activation="tanh")(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(12, 3, activation="relu")(x))
    return keras.Model(image, layers.Dense(units, "softmax" if units > 1 else "sigmoid")(x))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"), 10)


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("jpegs"), 6, ".jpg")


def adjusted(model: keras.Model, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Give the model statistics of its inputs and logits of different classes, and return its answers."""
    norm, dense = (
        next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)),
        model.layers[-1],
    )
    inputs = keras.Model(model.input, norm.input)(images)
    norm.moving_mean.assign(np.mean(inputs, axis=(0, 1, 2)))
    norm.moving_variance.assign(np.var(inputs, axis=(0, 1, 2)))
    features = np.asarray(keras.Model(model.input, dense.input)(images))
    kernel = np.asarray(dense.kernel) / features.std() * 3
    dense.kernel.assign(kernel)
    dense.bias.assign(-(features @ kernel).mean(axis=0))
    return np.asarray(model.predict(images, verbose=0))


def write_answers(model: keras.Model, photos: list[Path], pipeline: Pipeline) -> Path:
    images = np.stack([original_tensor(path, *pipeline, SIZE) for path in photos])
    return write_expected(photos[0].parent / "expected.csv", photos, adjusted(model, images))


def find(model: keras.Model, expected: Path, **options: Any) -> tuple[Preprocessing, str]:
    found = find_expected(load_source(model), trace(model), ExportOptions(expect=expected, **options), no_progress)
    assert found is not None
    return found.preprocessing, found.summary


def of(pipeline: Pipeline) -> Preprocessing:
    preset, resize, fit = pipeline
    return PRESETS[preset].model_copy(update={"resize": resize, "fit": fit})


@pytest.mark.parametrize(
    "pipeline",
    [
        ("caffe", "bilinear", "center-crop"),
        ("tf", "tf-bilinear", "stretch"),
        ("unit", "cv2-linear", "stretch"),
        ("raw-bgr", "nearest", "crop-only"),
    ],
)
def test_pipeline_of_the_original_libraries_is_found(pipeline: Pipeline, photos: list[Path]) -> None:
    model = network()
    found, summary = find(model, write_answers(model, photos, pipeline))
    assert found == of(pipeline)
    assert "reproduces 10 of 10 (largest difference" in summary
    assert "; next best " in summary


def test_answers_that_tensorflow_decoded_are_recognized(jpegs: list[Path]) -> None:
    model = network()
    found, summary = find(model, write_answers(model, jpegs, ("tf", "tf-bilinear", "stretch")))
    assert found == of(("tf", "tf-bilinear", "stretch"))
    assert "decoded by TensorFlow" in summary


def test_model_that_rescales_inside_is_found_to_take_raw_pixels(photos: list[Path]) -> None:
    model = network(layers.Rescaling(1 / 127.5, offset=-1))
    found, _ = find(model, write_answers(model, photos, ("raw-rgb", "tf-bilinear", "stretch")))
    assert found == of(("raw-rgb", "tf-bilinear", "stretch"))


def test_answers_of_one_sigmoid_are_compared(photos: list[Path]) -> None:
    model = network(units=1)
    found, _ = find(model, write_answers(model, photos, ("unit", "bilinear", "stretch")))
    assert found == of(("unit", "bilinear", "stretch"))


def test_given_filter_that_is_wrong_is_refused_with_the_right_one(photos: list[Path]) -> None:
    model = network()
    expected = write_answers(model, photos, ("tf", "tf-bilinear", "stretch"))
    with pytest.raises(ParityError, match="the given preprocessing does not reproduce") as raised:
        find(model, expected, preprocessing="tf", resize="nearest")
    assert "Use --preprocess tf --resize tf-bilinear, which reproduces 10 of 10" in str(raised.value.hint)


def test_given_filter_that_is_almost_right_is_refused(photos: list[Path]) -> None:
    model = network()
    expected = write_answers(model, photos, ("tf", "tf-bilinear", "stretch"))
    with pytest.raises(ParityError, match="more closely than --preprocess tf --resize cv2-linear: 10 of 10") as raised:
        find(model, expected, preprocessing="tf", resize="cv2-linear", fit="stretch")  # rounds to whole pixels
    assert "--resize tf-bilinear" in str(raised.value.hint)


def test_equal_pixels_are_ambiguous_unless_the_options_are_given(tmp_path: Path, photos: list[Path]) -> None:
    model = network()
    resized = [tmp_path / path.name for path in photos[:4]]
    for path, target in zip(photos, resized, strict=False):
        keras.utils.load_img(path, target_size=SIZE).save(target)
    expected = write_answers(model, resized, ("unit", "nearest", "stretch"))
    with pytest.raises(ParityError, match="because they give the same pixels: --preprocess unit --resize") as raised:
        find(model, expected)
    assert "Add the answer to an image of " in str(raised.value.hint)
    with pytest.raises(ParityError, match="because they give the same pixels"):
        find(model, expected, resize="tf-bilinear")
    found, _ = find(model, expected, resize="tf-bilinear", fit="stretch")
    assert found == of(("unit", "tf-bilinear", "stretch"))


def test_classes_that_several_pipelines_reproduce_are_ambiguous(photos: list[Path]) -> None:
    model = network()
    answers = write_answers(model, photos, ("unit", "tf-bilinear", "stretch")).read_text().splitlines()[1:]
    rows = [line.split(",") for line in answers]
    expected = photos[0].parent / "classes.csv"
    expected.write_text(
        "path,class\n" + "".join(f"{row[0]},{np.argmax([float(v) for v in row[1:]])}\n" for row in rows)
    )
    with pytest.raises(ParityError, match="equally well") as raised:
        find(model, expected)
    assert "Expect probabilities instead of classes" in str(raised.value.hint)


def test_answers_of_another_model_are_refused(photos: list[Path]) -> None:
    model = network()
    expected = write_answers(model, photos, ("unit", "tf-bilinear", "stretch"))
    keras.utils.set_random_seed(1)
    with pytest.raises(ParityError, match=r"no combination of .* reproduces the expected answers; the best, .* of 10"):
        find(network(), expected)


def test_rotated_photos_that_opencv_read_are_mentioned(tmp_path: Path) -> None:
    model, paths = network(), write_photos(tmp_path, 4, ".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(paths[3]) as photo:
        photo.save(paths[3], exif=exif)
    expected = write_answers(model, paths, ("unit", "cv2-linear", "stretch"))
    with pytest.raises(ParityError, match=r"1 image with an EXIF rotation, which OpenCV applies") as raised:
        find(model, expected)
    assert "--resize cv2-linear, reproduces 3 of 4" in raised.value.message
    assert "photo-3.jpg" in raised.value.message


def test_gray_and_integer_models_take_fewer_pipelines() -> None:
    presets = {each.preset for each in list_candidates(1, "float32")}
    assert presets == {"tf", "unit", "raw-rgb"}
    whole = list_candidates(3, "uint8")
    assert {each.preset for each in whole} == {"raw-rgb", "raw-bgr"}
    assert not any(each.preprocessing.gives_fractions for each in whole)


def test_documented_preprocessing_of_a_recipe_is_tried_first(tmp_path: Path) -> None:
    recipe = RECIPES["resnet-mini"]
    source = load_source("resnet-mini")
    paths = []
    for number in range(3):
        digit = np.random.default_rng(number).integers(0, 256, (28, 28, 1), np.uint8)
        paths.append(tmp_path / f"{number}.png")
        keras.utils.save_img(paths[-1], digit, scale=False)
    images = np.stack([keras.utils.img_to_array(keras.utils.load_img(path, color_mode="grayscale")) for path in paths])
    expected = write_expected(tmp_path / "e.csv", paths, source.model.predict(images / 255, verbose=0))
    phases: list[str] = []
    found = find_expected(source, trace(source.model), ExportOptions(expect=expected), phases.append)
    assert found is not None
    assert found.preprocessing == recipe.preprocessing
    assert [phase for phase in phases if not phase.startswith("compare 1 pipeline ")] == []
