"""Compare time and memory of tf2onnx as documented and as camserve uses it (`export/formats/conversion.py`).

Usage: python benchmarks/conversion.py      (ResNet50, random weights, BatchNorm folded, with maps)

Each runs in a separate process, one after the other. The peak is the resident memory of that process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import tensorflow as tf
import tf2onnx

from camserve.export import RECIPES
from camserve.export.formats.conversion import to_onnx
from camserve.export.graph.prepare import prepare


def convert(method: str) -> None:
    """Convert once, and print seconds and peak gigabytes."""
    served = prepare(RECIPES["resnet50"].build(), cam=True, top_k=5, all_classes=False).served
    signature = tf.TensorSpec((None, *served.input.shape), tf.float32, name="image")
    function = tf.function(served.function)
    start = time.perf_counter()
    if method == "documented":
        tf2onnx.convert.from_function(function, [signature], opset=17)
    else:
        to_onnx(function.get_concrete_function(signature), 17)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f}")


def main() -> None:
    """Run both methods and print a line for each, and the ratios."""
    measured = []
    for method in ("documented", "camserve"):
        run = subprocess.run([sys.executable, __file__, method], capture_output=True, text=True, check=True)
        seconds, gigabytes = map(float, run.stdout.split()[-2:])
        measured.append((seconds, gigabytes))
        print(f"{method}: {seconds:.1f} s, peak {gigabytes:.2f} GB")
    (slow, large), (fast, small) = measured
    print(f"ratio: {slow / fast:.1f} times the time, {large / small:.1f} times the memory")


if __name__ == "__main__":
    convert(sys.argv[1]) if len(sys.argv) > 1 else main()
