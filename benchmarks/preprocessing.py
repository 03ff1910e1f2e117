"""Compare decoding and preprocessing of a photo with Keras's `load_img` and `preprocess_input`.

Usage: python benchmarks/preprocessing.py [--rounds 200]

The photos are scikit-learn's samples, saved as JPEG with quality 90. Both read the same file in alternating order, so
that both see the same machine. The table contains medians and the largest difference of the tensors.
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
CASES: tuple[tuple[str, str, ResizeFilter], ...] = (
    ("china.jpg", "caffe", "nearest"),
    ("flower.jpg", "caffe", "nearest"),
    ("china.jpg", "tf", "bilinear"),
    ("china.jpg", "torch", "bicubic"),
)


def main() -> None:
    """Print a row for each photo, preset and filter."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    print("| photo | preset | filter | Keras | camserve | ratio | difference |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for photo, preset, resize in CASES:
            path = Path(folder, photo)
            Image.fromarray(load_sample_image(photo)).save(path, "JPEG", quality=90)
            ours, theirs = with_camserve(path, preset, resize), with_keras(path, preset, resize)
            difference = float(np.abs(ours() - theirs()).max())
            seconds = timed((theirs, ours), rounds)
            print(
                f"| {photo} | {preset} | {resize} | {seconds[0] * 1e3:.2f} ms | {seconds[1] * 1e3:.2f} ms "
                f"| {seconds[1] / seconds[0]:.2f} | {difference} |"
            )


def with_camserve(path: Path, preset: str, resize: ResizeFilter) -> Make:
    """Return a function that preprocesses the photo as a client does."""
    contract = ModelContract(
        name="photos",
        input=TensorSpec(name="image", dtype="FP32", shape=(SIDE, SIDE, 3)),
        outputs=(TensorSpec(name="probabilities", dtype="FP32", shape=(1000,)),),
        preprocessing=PRESETS[preset].model_copy(update={"resize": resize}),
        activation="softmax",
        classes=1000,
    )

    def make() -> np.ndarray[Any, Any]:
        return prepare(load_image(path), contract)

    return make


def with_keras(path: Path, preset: str, resize: ResizeFilter) -> Make:
    """Return a function that preprocesses the photo as a notebook does."""

    def make() -> np.ndarray[Any, Any]:
        pixels = img_to_array(load_img(path, target_size=(SIDE, SIDE), interpolation=resize))
        tensor: np.ndarray[Any, Any] = preprocess_input(pixels, mode=preset)
        return tensor

    return make


def timed(makers: tuple[Make, ...], rounds: int) -> list[float]:
    """Return the median seconds of each function."""
    seconds: list[list[float]] = [[] for _ in makers]
    for number in range(rounds):
        order = list(zip(makers, seconds, strict=True))
        for make, measured in order if number % 2 else order[::-1]:
            start = time.perf_counter()
            make()
            measured.append(time.perf_counter() - start)
    return [median(measured) for measured in seconds]


if __name__ == "__main__":
    main()
