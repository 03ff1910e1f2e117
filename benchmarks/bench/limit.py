"""The physical limit: a plain matrix product in each arithmetic, and how much of its speed ResNet50 reaches.

The operations of ResNet50 are counted in the ONNX file: a multiplication and an addition are two. A product of n × n
matrices has 2 n³. As defined, ResNet50 has 7.7e9 operations per image of 224 × 224 pixels; the exported graph has
fewer, because it does not compute pixels that the next stride leaves out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.networks import images, onnx_file
from bench.operations import operations
from bench.runtimes import Run, in_onnxruntime, in_openvino, native_bf16, openvino, openvino_as_it_is
from bench.settings import Settings
from bench.tables import Cell, Table
from bench.turns import Rates, Turn, images_per_second, take_turns

__all__ = ["measure"]

SIZES = (1024, 2048, 4096)
BATCH = 8


def measure(settings: Settings) -> list[Table]:
    """Compare networks with plain matrix products, in turn."""
    sizes = SIZES[:2] if settings.quick else SIZES
    kinds = ("float32", *(["bfloat16"] if native_bf16() else []), "int8")
    products = {(kind, size): product(kind, size, settings.cores) for kind in kinds for size in sizes}
    nets, each, batch = networks(settings), operations(onnx_file(settings)), images(BATCH)
    turns: dict[Hashable, Turn] = {key: partial(fastest, *runs) for key, runs in products.items()}
    turns |= {name: images_per_second(partial(run, batch), BATCH, settings) for name, (_, run) in nets.items()}
    rates = take_turns(turns, settings.rounds)
    best = {kind: max(((kind, size) for size in sizes), key=rates.median) for kind in kinds}
    rows = [row(name, best[kind], rates, each) for name, (kind, _) in nets.items()]
    note = (
        f"{each / 1e9:.2f}e9 operations per image, a multiplication and an addition being two; batches of {BATCH}. The "
        f"matrix product is the fastest of square matrices of {', '.join(map(str, sizes))} rows, by OpenVINO or, in "
        "float32, numpy."
    )
    columns = ("ResNet50", "images/s", "1e9 operations/s", "matrix product, 1e9 operations/s", "fraction")
    return [Table("What ResNet50 reaches of the speed of plain matrix products", note, columns, rows)]


def row(name: str, best: tuple[str, int], rates: Rates[Hashable], each: float) -> tuple[Cell, ...]:
    """Return the row of a network, beside the fastest product in its arithmetic."""
    reached = rates.median(name) * each
    return (name, rates.median(name), reached / 1e9, rates.median(best) / 1e9, rates.ratio(name, best) * each)


def networks(settings: Settings) -> dict[str, tuple[str, Run]]:
    """Return the networks, and the arithmetic that most of their operations are in."""
    fp32, int8 = onnx_file(settings), onnx_file(settings, "int8")
    threads = settings.cores
    runs = {
        "fp32, ONNX Runtime": ("float32", in_onnxruntime(fp32, threads)),
        "fp32, OpenVINO": ("float32", in_openvino(fp32, threads, "f32")),
        "int8, ONNX Runtime": ("int8", in_onnxruntime(int8, threads)),
        "int8, OpenVINO": ("int8", in_openvino(int8, threads, "f32")),
    }
    if native_bf16():
        runs["bf16, OpenVINO"] = ("bfloat16", in_openvino(fp32, threads, "bf16"))
    return runs


def product(kind: str, size: int, threads: int) -> tuple[list[Callable[[], object]], float]:
    """Return functions that multiply matrices of so many rows, and the operations of one product."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((size, size), np.float32) for _ in range(2))
    run = openvino_as_it_is(graph(right, quantized=kind == "int8"), threads, "bf16" if kind == "bfloat16" else "f32")
    runs: list[Callable[[], object]] = [partial(run, left)]
    if kind == "float32":
        runs.append(partial(np.matmul, left, right, np.empty_like(left)))
    return runs, 2.0 * size**3


def graph(weights: Any, *, quantized: bool) -> Any:
    """Return an OpenVINO model that multiplies by a constant matrix, in 8 bits if it is to be quantized."""
    ops = openvino().opset13

    size = len(weights)
    matrix = ops.parameter([size, size], np.float32)
    left, right = matrix, ops.constant(weights)
    if quantized:
        low, high = np.float32(-4), np.float32(4 * 127 / 128)  # of standard normal numbers
        left, right = (ops.fake_quantize(each, low, high, low, high, 256) for each in (left, right))
    return openvino().Model([ops.matmul(left, right, False, False)], [matrix])


def fastest(runs: Sequence[Callable[[], object]], each: float) -> float:
    """Return the operations per second of the fastest of five runs of each function."""
    shortest = float("inf")
    for run in runs:
        for _ in range(5):
            began = time.perf_counter()
            run()
            shortest = min(shortest, time.perf_counter() - began)
    return each / shortest
