"""The physical limit: a plain matrix product in each arithmetic, and how much of its speed ResNet50 reaches.

The operations of ResNet50 are counted in the ONNX file: a multiplication and an addition are two. A product of n × n
matrices has 2 n³. As defined, ResNet50 has 7.7e9 operations per image of 224 × 224 pixels; the exported graph has
fewer, because it does not compute pixels that the next stride leaves out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.networks import images, onnx_file
from bench.operations import operations
from bench.runtimes import native_bf16, onnxruntime_run, openvino, openvino_compile, openvino_run
from bench.settings import Settings
from bench.tables import Cell, Table
from bench.turns import Rates, image_rates, take_turns

__all__ = ["measure"]

SIZES = (1024, 2048, 4096)
BATCH = 8


def measure(settings: Settings) -> list[Table]:
    """Compare networks with plain matrix products, in turn."""
    sizes = SIZES[:2] if settings.quick else SIZES
    arithmetics = ["float32", *(["bfloat16"] if native_bf16() else []), "int8"]
    products = {f"{kind} {size}": product(kind, size, settings.cores) for kind in arithmetics for size in sizes}
    peaks = take_turns({name: partial(best_rate, *turn) for name, turn in products.items()}, settings.rounds)
    limits = {kind: max(peaks.median(f"{kind} {size}") for size in sizes) for kind in arithmetics}
    runs = networks(settings, arithmetics)
    batch = images(BATCH)
    rates = image_rates({name: partial(run, batch) for name, (_, run) in runs.items()}, BATCH, settings)
    each = operations(onnx_file(settings))
    rows = [row(name, kind, rates, each, limits) for name, (kind, _) in runs.items()]
    note = (
        f"{each / 1e9:.2f}e9 operations per image, a multiplication and an addition being two; batches of {BATCH}. The "
        f"matrix product is the fastest of square matrices of {', '.join(map(str, sizes))} rows, by OpenVINO or, in "
        "float32, numpy."
    )
    columns = ("ResNet50", "images/s", "1e9 operations/s", "matrix product, 1e9 operations/s", "fraction")
    return [Table("What ResNet50 reaches of the speed of plain matrix products", note, columns, rows)]


def row(name: str, kind: str, rates: Rates, each: float, limits: dict[str, float]) -> tuple[Cell, ...]:
    """Return the row of a network."""
    reached = rates.median(name) * each / 1e9
    return (name, rates.median(name), reached, limits[kind], reached / limits[kind])


def networks(settings: Settings, arithmetics: list[str]) -> dict[str, tuple[str, Callable[[Any], object]]]:
    """Return the networks and the arithmetic that most of their operations are in."""
    fp32, int8 = onnx_file(settings), onnx_file(settings, "int8")
    threads = settings.cores
    runs: dict[str, tuple[str, Callable[[Any], object]]] = {
        "fp32, ONNX Runtime": ("float32", onnxruntime_run(fp32, threads)),
        "fp32, OpenVINO": ("float32", openvino_run(openvino_compile(fp32, threads, "f32"))),
        "int8, ONNX Runtime": ("int8", onnxruntime_run(int8, threads)),
        "int8, OpenVINO": ("int8", openvino_run(openvino_compile(int8, threads, "f32"))),
    }
    if "bfloat16" in arithmetics:
        runs["bf16, OpenVINO"] = ("bfloat16", openvino_run(openvino_compile(fp32, threads, "bf16")))
    return runs


def product(kind: str, size: int, threads: int) -> tuple[list[Callable[[], object]], float]:
    """Return functions that multiply matrices of so many rows, and the operations of one product."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((size, size), np.float32) for _ in range(2))
    compiled = openvino_compile(
        graph(right, quantized=kind == "int8"), threads, "bf16" if kind == "bfloat16" else "f32"
    )
    runs: list[Callable[[], object]] = [partial(openvino_run(compiled), left)]
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
        left, right = (
            ops.fake_quantize(each, low, high, low, high, 256)
            for each, low, high in (
                (left, np.float32(-4), np.float32(4 * 127 / 128)),
                (right, np.float32(-4), np.float32(4 * 127 / 128)),
            )
        )
    return openvino().Model([ops.matmul(left, right, False, False)], [matrix])


def best_rate(runs: list[Callable[[], object]], operations_each: float) -> float:
    """Return the 1e9 operations per second of the fastest of five runs of the fastest function."""
    fastest = float("inf")
    for run in runs:
        for _ in range(5):
            began = time.perf_counter()
            run()
            fastest = min(fastest, time.perf_counter() - began)
    return operations_each / fastest / 1e9
