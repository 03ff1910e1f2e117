"""Find the preprocessing of networks from ten images with the answers of the original libraries.

Usage: python benchmarks/expect.py [combinations|networks|inside|ambiguous]

The images are parts of scikit-learn's photos, of several sizes. Keras, TensorFlow and OpenCV themselves turn them into
tensors, Keras answers them, and `--expect` finds the pipeline without being given any part of it:

- combinations: a small network, for presets, filters and fits, from PNG and from JPEG files;
- networks: the five recipes with the pipelines of their notebooks, passed as models so that the documented
  preprocessing is not known;
- inside: models that preprocess inside;
- ambiguous: answers that several pipelines reproduce, which must be refused.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from camserve.export.frameworks import keras

import numpy as np
from keras import layers

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.networks import enliven, small_network
from support.original_pipelines import original_tensor, write_expected, write_photos

from camserve.contract import PRESETS, Fit, Preprocessing, ResizeFilter
from camserve.errors import ParityError
from camserve.export import RECIPES
from camserve.export.expect.end_to_end import find_expected
from camserve.export.graph.trace import trace
from camserve.export.options import ExportOptions
from camserve.export.source.load import load_source
from camserve.progress import no_progress

Pipeline = tuple[str, ResizeFilter, Fit]

IMAGES = 10
COMBINATIONS: tuple[Pipeline, ...] = (
    ("caffe", "nearest", "stretch"),
    ("caffe", "bilinear", "center-crop"),
    ("caffe", "cv2-linear", "stretch"),
    ("tf", "tf-bilinear", "stretch"),
    ("tf", "tf-bilinear", "center-crop"),
    ("tf", "tf-area", "stretch"),
    ("tf", "cv2-area", "center-crop"),
    ("torch", "bicubic", "stretch"),
    ("torch", "lanczos", "center-crop"),
    ("torch", "bilinear", "stretch"),
    ("unit", "nearest", "center-crop"),
    ("unit", "tf-bicubic", "center-crop"),
    ("unit", "cv2-nearest", "stretch"),
    ("raw-rgb", "box", "stretch"),
    ("raw-rgb", "tf-bilinear", "stretch"),
    ("raw-bgr", "hamming", "stretch"),
    ("raw-bgr", "cv2-linear", "stretch"),
    ("raw-bgr", "nearest", "crop-only"),
)
RECIPE_PIPELINES: dict[str, Pipeline] = {  # of the notebooks
    "resnet50": ("caffe", "cv2-linear", "stretch"),
    "resnet-mini": ("unit", "nearest", "stretch"),
    "resnet50-signs": ("unit", "nearest", "stretch"),
    "resnet50-signs-126": ("unit", "nearest", "stretch"),
    "resnet50-camera": ("raw-bgr", "nearest", "crop-only"),
}


def main() -> None:
    """Print a row for each network and pipeline, and fail if one was not found."""
    chosen = sys.argv[1:] or list(PARTS)
    right = []
    for part in chosen:
        print(f"\n{part}\n\n| network | answers | result | seconds |\n|---|---|---|---|")
        right += list(PARTS[part]())
    print(f"\n{sum(right)} of {len(right)} as expected")
    sys.exit(0 if all(right) else 1)


def combinations() -> Iterator[bool]:
    """Find each combination with a small network."""
    for suffix in (".png", ".jpg"):
        for pipeline in COMBINATIONS:
            keras.utils.set_random_seed(0)
            model = enliven(small_network(), PRESETS[pipeline[0]])
            yield found(f"small, {suffix[1:].upper()}", model, pipeline, suffix=suffix)


def networks() -> Iterator[bool]:
    """Find the pipeline of each recipe."""
    for name, pipeline in RECIPE_PIPELINES.items():
        keras.utils.set_random_seed(0)
        recipe = RECIPES[name]
        yield found(name, enliven(recipe.build(), recipe.preprocessing), pipeline)


def inside() -> Iterator[bool]:
    """Find the pipeline of models that preprocess inside."""
    builders: dict[str, Callable[[], Any]] = {
        "MobileNetV3Small": lambda: keras.applications.MobileNetV3Small(weights=None, input_shape=(96, 96, 3)),
        "Rescaling inside": lambda: preprocessed_by(layers.Rescaling(1 / 127.5, offset=-1)),
        "preprocess_input inside": lambda: preprocessed_by(keras.applications.resnet50.preprocess_input),
    }
    for name, build in builders.items():
        keras.utils.set_random_seed(0)
        yield found(name, enliven(build(), PRESETS["raw-rgb"]), ("raw-rgb", "tf-bilinear", "stretch"))


def preprocessed_by(first: Callable[[Any], Any]) -> keras.Model:
    """Return a network that begins with preprocessing."""
    image = layers.Input((48, 48, 3))
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(first(image))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(24, 3, strides=2)(x)))
    return keras.Model(image, layers.Dense(5, "softmax")(layers.GlobalAveragePooling2D()(x)))


def ambiguous() -> Iterator[bool]:
    """Refuse to guess from classes alone, and from images that already have the size of the input."""
    keras.utils.set_random_seed(0)
    model = enliven(small_network(), PRESETS["tf"])
    yield refused("small, classes alone", model, ("tf", "tf-bilinear", "stretch"), classes=True)
    yield refused("small, images of the input's size", model, ("tf", "tf-bilinear", "stretch"), same_size=True)
    yield refused("small, images of the input's aspect ratio", model, ("tf", "bilinear", "stretch"), square=True)


def found(name: str, model: keras.Model, pipeline: Pipeline, *, suffix: str = ".png") -> bool:
    """Find a pipeline, print a row and return whether it is the right one."""
    with tempfile.TemporaryDirectory() as folder:
        expected = write_answers(Path(folder), model, pipeline, suffix=suffix)
        result, summary, seconds = search(model, expected)
    preset, resize, fit = pipeline
    wanted = PRESETS[preset].model_copy(update={"resize": resize, "fit": fit})
    if model.input_shape[-1] == 1:
        wanted = wanted.in_gray()
    print(f"| {name} | {' '.join(pipeline)} | {summary} | {seconds:.0f} |", flush=True)
    return result == wanted


def refused(name: str, model: keras.Model, pipeline: Pipeline, **how: Any) -> bool:
    """Search, print a row and return whether the search was refused as ambiguous."""
    with tempfile.TemporaryDirectory() as folder:
        result, summary, seconds = search(model, write_answers(Path(folder), model, pipeline, **how))
    print(f"| {name} | {' '.join(pipeline)} | {summary} | {seconds:.0f} |", flush=True)
    return result is None and "equally well" in summary


def search(model: keras.Model, expected: Path) -> tuple[Preprocessing | None, str, float]:
    """Return the pipeline, a sentence about it, and the seconds that the search took."""
    started = time.monotonic()
    try:
        result = find_expected(load_source(model), trace(model), ExportOptions(expect=expected), no_progress)
    except ParityError as error:
        return None, str(error), time.monotonic() - started
    if result is None:
        raise RuntimeError("no answers were given")
    return result.preprocessing, result.summary, time.monotonic() - started


def write_answers(
    folder: Path,
    model: keras.Model,
    pipeline: Pipeline,
    *,
    suffix: str = ".png",
    classes: bool = False,
    same_size: bool = False,
    square: bool = False,
) -> Path:
    """Write images and the answers of Keras to them, computed by the original libraries."""
    paths = write_photos(folder, IMAGES, suffix)
    size = model.input_shape[1:3]
    for path in paths if same_size or square else ():
        side = size if same_size else (200, 200)
        keras.utils.load_img(path, target_size=side, interpolation="bilinear").save(path)
    images = np.stack([original_tensor(path, *pipeline, size) for path in paths])
    if model.input_shape[-1] == 1:
        images = np.stack([gray_tensor(path, size) for path in paths])
    answers = model.predict(images, verbose=0)
    if not classes:
        return write_expected(folder / "expected.csv", paths, answers)
    rows = [f"{path.name},{best}" for path, best in zip(paths, answers.argmax(axis=1), strict=True)]
    (folder / "expected.csv").write_text("\n".join(["path,class", *rows]) + "\n")
    return folder / "expected.csv"


def gray_tensor(path: Path, size: tuple[int, int]) -> Any:
    """Return the tensor of a gray network: `load_img`, divided by 255."""
    return keras.utils.img_to_array(keras.utils.load_img(path, color_mode="grayscale", target_size=size)) / 255


PARTS = {"combinations": combinations, "networks": networks, "inside": inside, "ambiguous": ambiguous}

if __name__ == "__main__":
    main()
