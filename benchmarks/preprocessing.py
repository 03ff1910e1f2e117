"""Compare decoding and preprocessing of a photo with Keras's `load_img` and `preprocess_input`.

Usage: python benchmarks/preprocessing.py [--rounds 200]

The photos are scikit-learn's samples, saved as JPEG with quality 90; `large` is one of them, enlarged to 12 megapixels.
All read the same file in turn, so that they see the same machine. The table contains medians: Keras with one of
Pillow's filters; camserve with the same filter; and camserve with those of TensorFlow and OpenCV of the same kind.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from keras.applications.imagenet_utils import preprocess_input
from keras.utils import img_to_array, load_img
from PIL import Image
from sklearn.datasets import load_sample_image

from camserve.contract import PRESETS, ModelContract, ResizeFilter, TensorSpec
from camserve.images import load_image, prepare

Make = Callable[[], np.ndarray[Any, Any]]

SIDE = 224
KINDS: dict[ResizeFilter, tuple[ResizeFilter, ...]] = {
    "nearest": ("tf-nearest", "cv2-nearest"),
    "bilinear": ("tf-bilinear", "cv2-linear"),
    "bicubic": ("tf-bicubic",),
    "box": ("tf-area", "cv2-area"),
}
PHOTOS = ("china.jpg", "flower.jpg", "large.jpg")
PRESET = "caffe"


def main() -> None:
    """Print a row for each photo and filter."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    print("| photo | filter | ms | relative to `load_img` |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for photo in PHOTOS:
            path = Path(folder, photo)
            write(path)
            for kind, others in KINDS.items():
                filters = (kind, *others)
                theirs, ours = with_keras(path, kind), [with_camserve(path, name) for name in filters]
                if not np.array_equal(theirs(), ours[0]()):
                    raise ValueError(f"{photo}, {kind}: camserve's input differs from Keras's")
                seconds = timed((theirs, *ours), max(5, rounds // 10) if photo == "large.jpg" else rounds)
                print(f"| {photo} | Keras, `{kind}` | {seconds[0] * 1e3:.2f} | 1 |")
                for name, measured in zip(filters, seconds[1:], strict=True):
                    print(f"| | `{name}` | {measured * 1e3:.2f} | {measured / seconds[0]:.2f} |")


def write(path: Path) -> None:
    """Write a photo."""
    large = path.stem == "large"
    photo = Image.fromarray(load_sample_image("china.jpg" if large else path.name))
    (photo.resize((4000, 3000), Image.Resampling.BICUBIC) if large else photo).save(path, "JPEG", quality=90)


def with_camserve(path: Path, resize: ResizeFilter) -> Make:
    """Return a function that preprocesses the photo as a client does."""
    contract = ModelContract(
        name="photos",
        input=TensorSpec(name="image", dtype="FP32", shape=(SIDE, SIDE, 3)),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(1000,)),),
        preprocessing=PRESETS[PRESET].model_copy(update={"resize": resize}),
        activation="softmax",
        classes=1000,
    )

    def make() -> np.ndarray[Any, Any]:
        return prepare(load_image(path), contract)

    return make


def with_keras(path: Path, resize: ResizeFilter) -> Make:
    """Return a function that preprocesses the photo as a notebook does."""

    def make() -> np.ndarray[Any, Any]:
        pixels = img_to_array(load_img(path, target_size=(SIDE, SIDE), interpolation=resize))
        tensor: np.ndarray[Any, Any] = preprocess_input(pixels, mode=PRESET)
        return tensor

    return make


def timed(makers: tuple[Make, ...], rounds: int) -> list[float]:
    """Return the median seconds of each function, in processor time: other programs may run meanwhile."""
    seconds: list[list[float]] = [[] for _ in makers]
    for number in range(rounds):
        order = list(zip(makers, seconds, strict=True))
        for make, measured in order if number % 2 else order[::-1]:
            start = time.thread_time()
            make()
            measured.append(time.thread_time() - start)
    return [median(measured) for measured in seconds]


if __name__ == "__main__":
    main()
