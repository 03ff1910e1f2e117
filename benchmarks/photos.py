"""Compare the input and the best class of 300 photos with TensorFlow's, OpenCV's and Keras's own pipelines.

Usage: python benchmarks/photos.py [--epochs 25]

A small network is trained with `image_dataset_from_directory` to name the region of a photo that a crop shows; regions
overlap, so that many answers are close. The photos are those of scikit-learn and matplotlib. Then 300 other crops, in
several sizes and encodings, are preprocessed by each library itself and by camserve. Each row counts equal inputs and
equal best classes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from keras import layers
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.contract import ModelContract, Preprocessing, ResizeFilter, TensorSpec
from camserve.images import DecodeOptions, load_image, prepare

Array = np.ndarray[Any, Any]
Save = Callable[[Image.Image, Path], None]

SIDE = 64
REGIONS = 4  # per side
TRAINING, TESTED = 40, 300
ORIENTATION = 0x0112


def main() -> None:
    """Train the network and print a row for each pipeline and kind of file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=25)
    epochs = parser.parse_args().epochs
    with tempfile.TemporaryDirectory() as folder:
        model = train(Path(folder, "training"), epochs)
        paths = write_photos(Path(folder, "photos"))
        print("| pipeline | camserve | files | equal inputs | largest difference | same best class |")
        print("|---|---|---|---|---|---|")
        for title, preprocess, resize, decode in PIPELINES:
            theirs = preprocess(paths)
            ours = np.stack([prepare(load_image(path, decode), contract(resize)) for path in paths])
            options = f"--resize {resize}{' --exif' * decode.exif}{' --fast-jpeg' * decode.fast_jpeg}"
            for kind in ("jpg", "png", "bmp"):
                chosen = [path.suffix == f".{kind}" for path in paths]
                print(f"| {title} | `{options}` | {compare(model, theirs[chosen], ours[chosen], kind.upper())} |")


def compare(model: keras.Model, theirs: Array, ours: Array, kind: str) -> str:
    """Return the cells of a row: how many inputs and best classes are equal."""
    equal = int((theirs == ours).all(axis=(1, 2, 3)).sum())
    classes = [model.predict(batch, verbose=0).argmax(axis=1) for batch in (theirs, ours)]
    same, total = int((classes[0] == classes[1]).sum()), len(ours)
    return f"{total} {kind} | {equal} | {np.abs(theirs - ours).max():.3g} | {same} of {total}"


def contract(resize: ResizeFilter) -> ModelContract:
    """Return the contract of the network: pixels without arithmetic, which is inside."""
    return ModelContract(
        name="regions",
        input=TensorSpec(name="image", dtype="FP32", shape=(SIDE, SIDE, 3)),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(3 * REGIONS**2,)),),
        preprocessing=Preprocessing(resize=resize),
        activation="softmax",
        classes=3 * REGIONS**2,
    )


def with_tensorflow(paths: list[Path]) -> Array:
    """Preprocess the photos as Keras's dataset does: TensorFlow decodes and resizes."""
    dataset = keras.utils.image_dataset_from_directory(
        paths[0].parent, labels=None, image_size=(SIDE, SIDE), shuffle=False, verbose=False
    )
    if [Path(path) for path in dataset.file_paths] != paths:
        raise ValueError("the dataset has other files or another order")
    return np.concatenate(list(dataset.as_numpy_iterator()))


def with_keras(paths: list[Path]) -> Array:
    """Preprocess the photos as `load_img` does."""
    load = keras.utils.load_img
    return np.stack([keras.utils.img_to_array(load(path, target_size=(SIDE, SIDE))) for path in paths])


def with_opencv(paths: list[Path]) -> Array:
    """Preprocess the photos with OpenCV."""
    return np.stack([cv2.resize(cv2.imread(str(path)), (SIDE, SIDE))[:, :, ::-1].astype(np.float32) for path in paths])


PIPELINES: tuple[tuple[str, Callable[[list[Path]], Array], ResizeFilter, DecodeOptions], ...] = (
    ("TensorFlow: `image_dataset_from_directory`", with_tensorflow, "tf-bilinear", DecodeOptions()),
    ("TensorFlow: `image_dataset_from_directory`", with_tensorflow, "tf-bilinear", DecodeOptions(fast_jpeg=True)),
    ("Keras: `load_img`", with_keras, "nearest", DecodeOptions()),
    ("OpenCV: `imread`, `resize`", with_opencv, "cv2-linear", DecodeOptions(exif=True)),
)


def originals() -> list[Image.Image]:
    """Return the photos that are cropped."""
    with cbook.get_sample_data("grace_hopper.jpg") as stream:
        third = Image.open(stream).convert("RGB")
    return [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")] + [third]


def crop(image: Image.Image, region: int, rng: np.random.Generator) -> Image.Image:
    """Crop a part of one region of a photo, of random size and position, and scale it."""
    row, column = divmod(region, REGIONS)
    width, height = image.width * 2 // (REGIONS + 1), image.height * 2 // (REGIONS + 1)
    left, top = column * (image.width - width) // (REGIONS - 1), row * (image.height - height) // (REGIONS - 1)
    part = rng.uniform(0.6, 1.0, 2)
    across, down = int(width * part[0]), int(height * part[1])
    left, top = left + int(rng.integers(0, width - across + 1)), top + int(rng.integers(0, height - down + 1))
    scale = rng.uniform(0.5, 3.0)
    size = (max(1, int(across * scale)), max(1, int(down * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + across, top + down))


def train(folder: Path, epochs: int) -> keras.Model:
    """Train the network on JPEG files with TensorFlow's pipeline."""
    rng = np.random.default_rng(1)
    for photo, image in enumerate(originals()):
        for region in range(REGIONS**2):
            (folder / f"{photo}-{region:02}").mkdir(parents=True)
            for number in range(TRAINING):
                crop(image, region, rng).save(folder / f"{photo}-{region:02}" / f"{number}.jpg", quality=90)
    keras.utils.set_random_seed(0)
    dataset = keras.utils.image_dataset_from_directory(folder, image_size=(SIDE, SIDE), verbose=False).cache()
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255)])
    for filters in (16, 32, 64):
        model.add(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(3 * REGIONS**2, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(dataset, epochs=epochs, verbose=0)
    print(f"accuracy of the network in training: {history.history['accuracy'][-1]:.2f}\n")
    return model


def write_photos(folder: Path) -> list[Path]:
    """Write the photos in their encodings, in turn, and return their paths, sorted as Keras sorts them."""
    folder.mkdir()
    rng, images = np.random.default_rng(2), originals()
    for number in range(TESTED):
        image = crop(images[number % 3], int(rng.integers(REGIONS**2)), rng)
        ending, save = ENCODINGS[number % len(ENCODINGS)]
        save(image, folder / f"{number:03}.{ending}")
    return sorted(folder.iterdir())


def jpeg(quality: int, subsampling: int, *, mode: str = "RGB", orientation: int = 0, progressive: bool = False) -> Save:
    """Return a function that writes a JPEG."""

    def save(image: Image.Image, path: Path) -> None:
        exif = Image.Exif()
        if orientation:
            exif[ORIENTATION] = orientation
        image.convert(mode).save(path, quality=quality, subsampling=subsampling, progressive=progressive, exif=exif)

    return save


def lossless(mode: str) -> Save:
    """Return a function that writes a PNG or BMP; transparency runs from left to right."""

    def save(image: Image.Image, path: Path) -> None:
        if mode in ("RGBA", "LA"):
            image = image.copy()
            image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
        image.convert(mode).save(path)

    return save


ENCODINGS: tuple[tuple[str, Save], ...] = (
    ("jpg", jpeg(95, 0)),
    ("png", lossless("RGB")),
    ("jpg", jpeg(90, 2)),
    ("jpg", jpeg(75, 2, progressive=True)),
    ("png", lossless("RGBA")),
    ("jpg", jpeg(60, 1)),
    ("bmp", lossless("RGB")),
    ("jpg", jpeg(90, 2, orientation=6)),
    ("png", lossless("P")),
    ("jpg", jpeg(90, 0, mode="L")),
    ("png", lossless("L")),
    ("jpg", jpeg(50, 2)),
)


if __name__ == "__main__":
    main()
