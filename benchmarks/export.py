"""Measure time and peak memory of `camserve export` and of Keras's own export to ONNX.

Usage: python benchmarks/export.py [--rounds N] [SOURCE ...]      (default: resnet50, three rounds, random weights)

camserve writes both formats and measures their parity; Keras writes only ONNX, with `Model.export(format="onnx")`. Each
runs in a separate process, one after the other, including the import of TensorFlow. The peak is the resident memory of
that process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CAMSERVE = Path(sys.executable).with_name("camserve")
KERAS_EXPORT = """
import sys
import numpy as np
from camserve.export.source.load import load_source
model = load_source(sys.argv[1], "none").model
model(np.zeros((1, *model.input_shape[1:]), "float32"))
model.export(sys.argv[2], format="onnx", verbose=False)
"""


def measure(arguments: list[str]) -> tuple[float, float, str]:
    """Run a program and return its seconds, its peak memory in gigabytes, and its standard error."""
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        log.seek(0)
        stderr = log.read()
    if status != 0:
        raise SystemExit(f"{arguments} failed:\n{stderr}")
    return seconds, usage.ru_maxrss / 1e6, stderr


def compare(source: str, rounds: int) -> None:
    """Export the source with both programs in turn, and print the medians and their ratio."""
    measured: dict[str, list[tuple[float, float]]] = {"camserve": [], "Keras": []}
    phases = ""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours = [str(CAMSERVE), "export", source, "--weights", "none", "--out", f"{folder}/bundle"]
            seconds, gigabytes, phases = measure(ours)
            measured["camserve"].append((seconds, gigabytes))
            seconds, gigabytes, _ = measure([sys.executable, "-c", KERAS_EXPORT, source, f"{folder}/keras.onnx"])
            measured["Keras"].append((seconds, gigabytes))
    print(phases)
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in measured.items()
    }
    for name, (seconds, gigabytes) in medians.items():
        print(f"{source} by {name}: {seconds:.1f} s, peak {gigabytes:.2f} GB (medians of {rounds})")
    (ours_s, ours_gb), (keras_s, keras_gb) = medians["camserve"], medians["Keras"]
    print(f"ratio: {ours_s / keras_s:.2f} of the time, {ours_gb / keras_gb:.2f} of the memory\n")


def main() -> None:
    """Compare each source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["resnet50"], metavar="SOURCE")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for source in options.sources:
        compare(source, options.rounds)


if __name__ == "__main__":
    main()
