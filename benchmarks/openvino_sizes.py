"""Measure what networks of one batch size save in camserve's OpenVINO backend, and the memory that each takes.

Usage: python benchmarks/openvino_sizes.py BUNDLE [ROUNDS]

Runs the code of the backend in this process, on all cores: batches of 1 and 8 in a network of that size and in the one
for any size, in turn. Prints medians of the milliseconds as a Markdown table, and the memory of each network before its
first batch.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from camserve.bundle import Bundle, load_bundle
from camserve.serving.backends.camserve_backend.openvino_model import OpenVinoModel
from camserve.serving.backends.camserve_backend.openvino_settings import NetworkSettings
from camserve.serving.config.openvino import pinned_precision
from camserve.tensors import DATA_TYPES

LARGEST = 8
PAGE_MB = 4096 / 2**20


def open_model(bundle: Bundle, sizes: tuple[int, ...]) -> tuple[OpenVinoModel, float]:
    """Open the ONNX file of a bundle with a network for each size, and return the memory that it took in MB."""
    if bundle.onnx_path is None:
        raise SystemExit(f"{bundle.path} has no ONNX file")
    tensor = {"name": bundle.contract.input.name, "dims": list(bundle.contract.input.shape)}
    settings = NetworkSettings(pinned_precision(bundle.precision), sizes=sizes)
    before = resident()
    config = {"max_batch_size": LARGEST, "input": [tensor]}
    model = OpenVinoModel(bundle.onnx_path, config, settings, log=lambda _: None)
    model.make_ready()
    return model, resident() - before


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB


def main(path: str, rounds: str = "30") -> None:
    """Print the table."""
    bundle = load_bundle(path)
    spec = bundle.contract.input
    names = [output.name for output in bundle.contract.outputs]
    any_size, smallest = open_model(bundle, ())
    own, memory = open_model(bundle, (1, LARGEST))
    print("| images | a network for any size | of this size |\n|---|---|---|")
    for size in (1, LARGEST):
        pixels = np.random.default_rng(size).integers(0, 256, (size, *spec.shape))
        batch = [{spec.name: pixels.astype(DATA_TYPES[spec.dtype].numpy)}]
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(int(rounds)):
            for model, taken in zip((any_size, own), times, strict=True):
                begin = time.perf_counter()
                model.run(names, batch)
                taken.append((time.perf_counter() - begin) * 1e3)
        print(f"| {size} | {median(times[0]):.1f} | {median(times[1]):.1f} |")
    each = (memory - smallest) / 2
    print(f"\nONNX file {bundle.onnx_path.stat().st_size / 2**20:.0f} MB; ", end="")  # type: ignore[union-attr]
    print(f"memory: {smallest:.0f} MB for any size, and {each:.0f} MB for each size")


if __name__ == "__main__":
    main(*sys.argv[1:])
