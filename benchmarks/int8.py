"""Measure images per second of a network in fp32, fp16 and int8 with ONNX Runtime on two CPU threads.

Usage: python benchmarks/int8.py [SOURCE]      (default: resnet50; random weights, 64 drawn calibration images)

The three files alternate within each round, so that all see the same machine. Rates are medians over the rounds; ratios
are medians of each round's ratio to fp32. Half precision is meant for GPUs: ONNX Runtime has few float16 kernels for
CPUs. Speed does not depend on the weights, so the parity gate's tolerances for lower precision are disabled: random
weights would not meet them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from camserve.bundle import Bundle
from camserve.choices import Precision
from camserve.export import Tolerances, export_model
from camserve.export.gate.samples import sample_images
from camserve.pixels import normalize

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
BATCHES = (1, 8)
THREADS = 2
ROUNDS = 9
IMAGES = 16  # in each round, for each precision


def main() -> None:
    """Export the network three times and print a line for each precision and batch size."""
    source = sys.argv[1] if len(sys.argv) > 1 else "resnet50"
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "images"
        calibration.mkdir()
        for number, pixels in enumerate(sample_images(64, 256, 256, 3)):
            Image.fromarray(pixels).save(calibration / f"{number:02}.png")
        bundles = {precision: export(source, Path(folder), precision, calibration) for precision in PRECISIONS}
        sessions = {precision: open_session(bundle) for precision, bundle in bundles.items()}
        contract = bundles["fp32"].contract
        images = normalize(sample_images(max(BATCHES), *contract.input.shape), contract.preprocessing)
        for precision, bundle in bundles.items():
            print(f"{source} {precision}: {size(bundle) / 1e6:.1f} MB")
    for batch in BATCHES:
        rounds = [
            {precision: rate(session, images[:batch]) for precision, session in sessions.items()}
            for _ in range(ROUNDS + 1)
        ][1:]  # the first is a warm-up
        for precision in PRECISIONS:
            median_rate = median(rates[precision] for rates in rounds)
            ratio = median(rates[precision] / rates["fp32"] for rates in rounds)
            print(f"batch {batch}, {precision}: {median_rate:.1f} images per second, {ratio:.2f} times fp32")


def export(source: str, folder: Path, precision: Precision, calibration: Path) -> Bundle:
    """Export the network in one precision."""
    return export_model(
        source,
        folder / precision,
        weights="none",
        labels=None,
        formats="onnx",
        precision=precision,
        calibration=calibration if precision == "int8" else None,
        int8_target="cpu",
        tolerances=Tolerances(top1_disagreement=1, cam_distance=2, lower_logits=1, lower_probabilities=1),
    )


def open_session(bundle: Bundle) -> onnxruntime.InferenceSession:
    """Load the bundle's ONNX file on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle sessions would use the cores
    return onnxruntime.InferenceSession(str(bundle.onnx_path), options, providers=["CPUExecutionProvider"])


def size(bundle: Bundle) -> int:
    """Return the size of the ONNX file in bytes."""
    return Path(str(bundle.onnx_path)).stat().st_size


def rate(session: onnxruntime.InferenceSession, images: npt.NDArray[np.float32]) -> float:
    """Return the images per second in batches of these images."""
    start = time.perf_counter()
    for _ in range(IMAGES // len(images)):
        session.run(None, {"image": images})
    return IMAGES / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
