"""tf2onnx driven as its documentation says, and as camserve drives it (`export/formats/conversion.py`): time, memory.

Usage: python benchmarks/conversion.py      (ResNet50, random weights, BatchNorm folded, with maps)

Each way runs in a process of its own, one after the other; the peak is that process's resident memory.
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


def convert(way: str) -> None:
    """Converts once, and prints seconds and peak gigabytes."""
    served = prepare(RECIPES["resnet50"].build(), cam=True, top_k=5, all_classes=False).served
    signature = tf.TensorSpec((None, *served.input.shape), tf.float32, name="image")
    function = tf.function(served.function)
    began = time.perf_counter()
    if way == "documented":
        tf2onnx.convert.from_function(function, [signature], opset=17)
    else:
        to_onnx(function.get_concrete_function(signature), 17)
    seconds = time.perf_counter() - began
    print(f"{seconds:.1f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f}")


def main() -> None:
    """Runs both ways and prints a line for each, and the ratios."""
    figures = []
    for way in ("documented", "camserve"):
        run = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True)
        seconds, gigabytes = map(float, run.stdout.split()[-2:])
        figures.append((seconds, gigabytes))
        print(f"{way}: {seconds:.1f} s, {gigabytes:.2f} GB at most")
    (slow, large), (fast, small) = figures
    print(f"ratio: {slow / fast:.1f} times the time, {large / small:.1f} times the memory")


if __name__ == "__main__":
    convert(sys.argv[1]) if len(sys.argv) > 1 else main()
