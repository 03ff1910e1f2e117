"""Compare an exported ONNX graph with what it would be without two of its simplifications, on this CPU.

Usage: python benchmarks/graph.py BUNDLE/model.onnx [--threads 1] [--batches 1 8 32] [--rounds 30]

The file is an export with `--input uint8` of a network that takes BGR (`resnet50`). Its variants reverse the channels
of every image with a Gather, and store the head's matrix once for the logits and once, transposed, for the maps.
Prints the operators before and after ONNX Runtime's optimization (level extended), then the size of each variant, its
median milliseconds and the median of their ratios to the file's in the same round, and the largest difference of its
outputs from the file's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper


def main() -> None:
    """Print the operators and the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    model = onnx.load(arguments.file)
    print("exported: ", operators(model))
    print("optimized:", operators(optimized(arguments.file)))
    variants = {"exported": model, "Gather": with_gather(model), "matrix twice": with_two_matrices(model)}
    sessions = {name: open_session(each, arguments.threads) for name, each in variants.items()}
    sizes = ", ".join(f"{name} {each.ByteSize() / 1e6:.1f} MB" for name, each in variants.items())
    print(f"size: {sizes}")
    for batch in arguments.batches:
        measure(sessions, batch, arguments.rounds)


def operators(model: onnx.ModelProto) -> str:
    """Return the number of nodes by operator, most frequent first."""
    counts = Counter(node.op_type for node in model.graph.node)
    return f"{len(model.graph.node)} nodes: " + ", ".join(f"{name} {number}" for name, number in counts.most_common())


def optimized(file: Path) -> onnx.ModelProto:
    """Return the graph as ONNX Runtime optimizes it for any CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the optimized file is for this machine
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def with_gather(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the channels reversed by a Gather after the Transpose, and in no weight or constant."""
    changed = copy_of(model)
    graph = changed.graph
    place, transpose = next(
        (place, node) for place, node in enumerate(graph.node) if node.name.startswith("pixels/Transpose")
    )
    reordered = f"{transpose.output[0]}:reversed"
    for node in graph.node:
        node.input[:] = [reordered if name == transpose.output[0] else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "reversed"))
    graph.node.insert(
        place + 1, helper.make_node("Gather", [transpose.output[0], "reversed"], [reordered], axis=1, name="reverse")
    )
    first = next(node for node in graph.node if node.op_type == "Conv")
    constants = {name for node in graph.node if node.name.startswith("pixels/") for name in node.input}
    for tensor in graph.initializer:
        if tensor.name == first.input[1] or tensor.name in constants - {"reversed"}:
            value = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value[:, ::-1]), tensor.name))
    return changed


def with_two_matrices(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with a product and a sum in place of the Gemm, and a transposed copy of its matrix."""
    changed = copy_of(model)
    graph = changed.graph
    place, gemm = next((place, node) for place, node in enumerate(graph.node) if node.op_type == "Gemm")
    features, matrix, bias = gemm.input
    value = next(numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.name == matrix)
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value.T), "second"))
    result = gemm.output[0]
    graph.node.remove(gemm)
    graph.node.insert(place, helper.make_node("Add", ["products", bias], [result]))
    graph.node.insert(place, helper.make_node("MatMul", [features, "second"], ["products"]))
    return changed


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that can be changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def open_session(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """Load a graph with all optimizations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measure(sessions: dict[str, onnxruntime.InferenceSession], batch: int, rounds: int) -> None:
    """Print the median of each variant, and how much its outputs differ from those of the first."""
    (entry,) = next(iter(sessions.values())).get_inputs()
    images = {entry.name: np.random.default_rng(0).integers(0, 256, (batch, *entry.shape[1:]), np.uint8)}
    outputs = {name: session.run(["logits", "cam"], images) for name, session in sessions.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, images)
            seconds[name].append(time.perf_counter() - start)
    reference = outputs["exported"]
    for name, found in outputs.items():
        difference = max(relative(one, other) for one, other in zip(found, reference, strict=True))
        ratios = [one / other for one, other in zip(seconds[name], seconds["exported"], strict=True)]
        print(
            f"batch {batch}, {name}: {statistics.median(seconds[name]) * 1e3:.2f} ms, "
            f"ratio {statistics.median(ratios):.3f}, differs by {difference:.1e}"
        )


def relative(found: npt.NDArray[Any], reference: npt.NDArray[Any]) -> float:
    """Return the largest difference, relative to the largest value."""
    return float(np.abs(found - reference).max() / np.abs(reference).max())


if __name__ == "__main__":
    main()
