"""Measure what the maps of heads that are not linear cost, and how far they are from `tf.GradientTape`.

Usage: python benchmarks/gradient_maps.py [--batch 8] [--threads 2] [--rounds 7] [NAME ...]

Each classifier of `keras.applications` is converted to ONNX with and without maps, with random weights, and both files
are run in turn in ONNX Runtime on the CPU; the fastest round of each counts. The maps of the ONNX file are compared
with those of `tf.GradientTape` through the layers of the model, in float32, relative to the largest value of a map.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

NAMES = ("MobileNetV3Small", "ConvNeXtTiny", "VGG16")


def session(model: Any, threads: int) -> Any:
    """Open a converted graph in ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def fastest(sessions: list[Any], images: Any, rounds: int) -> list[float]:
    """Return the fastest run of each session in milliseconds, measured in turn."""
    best = [float("inf")] * len(sessions)
    for _ in range(rounds + 1):
        for index, each in enumerate(sessions):
            start = time.perf_counter()
            each.run(None, {"image": images})
            best[index] = min(best[index], 1e3 * (time.perf_counter() - start))
    return best


def measure(name: str, batch: int, threads: int, rounds: int) -> str:
    """Return a row of the table."""
    import keras  # noqa: PLC0415

    from camserve.export.formats.onnx_format import convert  # noqa: PLC0415
    from camserve.export.graph.prepare import prepare  # noqa: PLC0415
    from camserve.export.source.applications import application  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    model = application(name).build()
    images = np.random.default_rng(0).normal(0, 1, (batch, *model.input_shape[1:])).astype(np.float32)
    prepared = [prepare(model, cam=cam, top_k=5, all_classes=False) for cam in (True, False)]
    graphs = [convert(each.served, 17) for each in prepared]
    sessions = [session(graph, threads) for graph in graphs]
    with_maps, without = fastest(sessions, images, rounds)
    outputs = dict(
        zip(
            (each.name for each in sessions[0].get_outputs()), sessions[0].run(None, {"image": images[:2]}), strict=True
        )
    )
    tape = prepared[0].reference(images[:2]).maps_of(outputs["cam_class"].astype(int))
    difference = np.abs(outputs["cam"] - tape).max() / np.abs(tape).max()
    sizes = [sum(len(tensor.raw_data) for tensor in graph.graph.initializer) / 1e6 for graph in graphs]
    nodes = [len(graph.graph.node) for graph in graphs]
    return (
        f"| {name} | {without:,.1f} | {with_maps:,.1f} | {with_maps / without - 1:+.1%} | {nodes[1]} | {nodes[0]} | "
        f"{sizes[1]:,.1f} | {sizes[0]:,.1f} | {difference:.1e} |"
    )


def main() -> None:
    """Print a table with a row for each classifier."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print("| network | ms without maps | ms with | cost | nodes without | with | MB without | with | from the tape |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.names:
        print(measure(name, options.batch, options.threads, options.rounds), flush=True)


if __name__ == "__main__":
    main()
