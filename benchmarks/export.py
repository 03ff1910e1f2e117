"""Time and peak memory of `camserve export` beside Keras's own export to ONNX, phase by phase.

Usage: python benchmarks/export.py [--rounds N] [SOURCE ...]      (default: resnet50, three rounds, random weights)

camserve writes both formats and measures their parity; Keras writes ONNX alone, by `Model.export(format="onnx")`. Each
runs in a process of its own, one after the other, the import of TensorFlow included; the peak is that process's
resident memory.
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

PROGRAM = Path(sys.executable).with_name("camserve")
BY_KERAS = """
import sys
import numpy as np
from camserve.export.source.load import load_source
model = load_source(sys.argv[1], "none").model
model(np.zeros((1, *model.input_shape[1:]), "float32"))
model.export(sys.argv[2], format="onnx", verbose=False)
"""


def measure(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds, peak gigabytes, and what the program told of its phases."""
    with tempfile.TemporaryFile("w+") as log:
        began = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        log.seek(0)
        told = log.read()
    if status != 0:
        raise SystemExit(f"{arguments} failed:\n{told}")
    return seconds, usage.ru_maxrss / 1e6, told


def compare(source: str, rounds: int) -> None:
    """Exports the source both ways in turn, and prints the medians and their ratio."""
    figures: dict[str, list[tuple[float, float]]] = {"camserve": [], "Keras": []}
    told = ""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours = [str(PROGRAM), "export", source, "--weights", "none", "--out", f"{folder}/bundle"]
            *figure, told = measure(ours)
            figures["camserve"].append((figure[0], figure[1]))
            *figure, _ = measure([sys.executable, "-c", BY_KERAS, source, f"{folder}/keras.onnx"])
            figures["Keras"].append((figure[0], figure[1]))
    print(told)
    medians = {who: [statistics.median(column) for column in zip(*rows, strict=True)] for who, rows in figures.items()}
    for who, (seconds, gigabytes) in medians.items():
        print(f"{source} by {who}: {seconds:.1f} s, {gigabytes:.2f} GB at most (medians of {rounds})")
    (ours_s, ours_gb), (keras_s, keras_gb) = medians["camserve"], medians["Keras"]
    print(f"ratio: {ours_s / keras_s:.2f} of the time, {ours_gb / keras_gb:.2f} of the memory\n")


def main() -> None:
    """Compares each source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", default=["resnet50"], metavar="SOURCE")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for source in options.sources:
        compare(source, options.rounds)


if __name__ == "__main__":
    main()
