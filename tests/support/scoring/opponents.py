"""What `camserve score` is compared with, in a process of its own that runs a part when it is told to.

    python -m support.scoring.opponents decode BUNDLE FILES     read, decode and preprocess, in this process
    python -m support.scoring.opponents infer BUNDLE FILES BATCH THREADS   ONNX Runtime without a server
    python -m support.scoring.opponents seed FILES              OpenCV, then Keras's `model.predict`, image by image

FILES is a file with a path in each line. For each line `COUNT` on standard input, the program processes the next images
and prints the seconds of processor time that took.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["decoder", "inference", "seed"]

Run = Callable[[int], object]


def main() -> None:
    """Serve the requests of standard input."""
    kind, *words = sys.argv[1:]
    kinds: dict[str, Callable[..., Run]] = {"decode": decoder, "infer": inference, "seed": seed}
    run = kinds[kind](*words)
    run(1)
    _write("ready")
    for line in sys.stdin:
        began = time.process_time()
        run(int(line))
        _write(str(time.process_time() - began))


def decoder(bundle: str, files: str) -> Run:
    """Return a function that reads, decodes and preprocesses images as camserve does, without maps or rows."""
    from camserve.bundle import load_bundle
    from camserve.images import load_image, prepare

    contract, paths = load_bundle(Path(bundle)).contract, cycle(_paths(files))

    def run(count: int) -> None:
        for path in islice(paths, count):
            prepare(load_image(path), contract)

    return run


def inference(bundle: str, files: str, batch: str, threads: str) -> Run:
    """Return a function that classifies preprocessed images in batches; `count` is rounded up to whole batches."""
    import onnxruntime

    from camserve.bundle import load_bundle
    from camserve.images import load_image, prepare

    loaded, size = load_bundle(Path(bundle)), int(batch)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(str(loaded.onnx_path), options, providers=["CPUExecutionProvider"])
    images: Any = np.stack([prepare(load_image(path), loaded.contract) for path in _paths(files)[:size]])

    def run(count: int) -> None:
        for _ in range(-(-count // size)):
            session.run(["probabilities"], {"image": images})

    return run


def seed(files: str) -> Run:
    """Return the loop at the end of the fourth seed: its reading, its crop of the center, and one prediction each."""
    import cv2
    import keras

    model = keras.applications.ResNet50(weights=None)
    preprocess, side = keras.applications.resnet50.preprocess_input, 224
    paths = cycle(_paths(files))
    classes: list[int] = []

    def run(count: int) -> None:
        for path in islice(paths, count):
            image: Any = cv2.imread(path)
            top, left = image.shape[0] // 2 - side // 2, image.shape[1] // 2 - side // 2
            crop = image[top : top + side, left : left + side]
            batch = preprocess(np.expand_dims(crop, axis=0).astype(np.float32))
            predictions = model.predict(batch, batch_size=1, verbose=0)
            classes.append(int(np.argmax(predictions)))

    return run


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _paths(files: str) -> Sequence[str]:
    return Path(files).read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
