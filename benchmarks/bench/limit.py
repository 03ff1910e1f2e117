"""The physical limit: a plain matrix product in each arithmetic, and how much of its speed ResNet50 reaches.

The operations of ResNet50 are counted in the ONNX file: a multiplication and an addition are two. A product of n × n
matrices has 2 n³. As defined, ResNet50 has 7.7e9 operations per image of 224 × 224 pixels; the exported graph has
fewer, because it does not compute pixels that the next stride leaves out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np

from bench.networks import images, onnx_file
from bench.operations import operations
from bench.runtimes import Run, in_onnxruntime, in_openvino, native_bf16, openvino, openvino_as_it_is
from bench.settings import Settings
from bench.tables import Cell, Table
from bench.turns import Turn, images_per_second, take_turns

__all__ = ["measure"]

SIZES = (512, 1024, 2048)
CHAIN = 8
BATCH = 8


def measure(settings: Settings) -> list[Table]:
    """Compare networks with plain matrix products, in turn."""
    kinds = ("float32", *(["bfloat16"] if native_bf16() else []), "int8")
    products = {(kind, size): product(kind, size, settings.cores) for kind in kinds for size in SIZES}
    nets, counted, batch = networks(settings), operations(onnx_file(settings)), images(BATCH)
    turns: dict[Hashable, Turn] = {key: partial(fastest, *each, settings.seconds) for key, each in products.items()}
    turns |= {name: images_per_second(partial(run, batch), BATCH, settings) for name, (_, run) in nets.items()}
    rates = take_turns(turns, settings.rounds)
    limits = {kind: max(rates.highest((kind, size)) for size in SIZES) for kind in kinds}
    rows = [row(name, rates.median(name) * counted, counted, limits[kind]) for name, (kind, _) in nets.items()]
    note = (
        f"{counted / 1e9:.2f}e9 operations per image, a multiplication and an addition being two; batches of {BATCH}. "
        f"The matrix product is the fastest of square matrices of {', '.join(map(str, SIZES))} rows, {CHAIN} products "
        "in a row by OpenVINO, in any round; the others are medians."
    )
    columns = ("ResNet50", "images/s", "1e9 operations/s", "matrix product, 1e9 operations/s", "fraction")
    return [Table("What ResNet50 reaches of the speed of plain matrix products", note, columns, rows)]


def row(name: str, reached: float, counted: float, limit: float) -> tuple[Cell, ...]:
    """Return the row of a network.

    Args:
        name: The network.
        reached: Its operations per second.
        counted: Its operations per image.
        limit: The operations per second of the fastest product in its arithmetic.
    """
    return (name, reached / counted, reached / 1e9, limit / 1e9, reached / limit)


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


def product(kind: str, size: int, threads: int) -> tuple[Callable[[], object], float]:
    """Return a function that multiplies matrices of so many rows, and its operations."""
    run = openvino_as_it_is(graph(size, quantized=kind == "int8"), threads, "bf16" if kind == "bfloat16" else "f32")
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32)
    return partial(run, matrix), 2.0 * CHAIN * size**3


def graph(size: int, *, quantized: bool) -> Any:
    """Return an OpenVINO model that multiplies by several constant matrices, one after the other.

    The first input and the last output are float32; in a chain, their conversion takes little of the time.
    """
    ops = openvino().opset13
    rng = np.random.default_rng(0)
    matrix = result = ops.parameter([size, size], np.float32)
    for _ in range(CHAIN):
        weights = ops.constant((rng.standard_normal((size, size)) / size**0.5).astype(np.float32))
        if quantized:
            result, weights = in_8_bits(result, 4.0), in_8_bits(weights, 4.0 / size**0.5)
        result = ops.matmul(result, weights, False, False)
    return openvino().Model([result], [matrix])


def in_8_bits(tensor: Any, largest: float) -> Any:
    """Return a tensor of a model rounded to 8 bits."""
    low, high = np.float32(-largest), np.float32(largest * 127 / 128)
    return openvino().opset13.fake_quantize(tensor, low, high, low, high, 256)


def fastest(run: Callable[[], object], operations_each: float, seconds: float) -> float:
    """Return the operations per second of the fastest of the runs in so many seconds."""
    shortest = float("inf")
    ends = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends:
        run()
        shortest = min(shortest, time.perf_counter() - began)
    return operations_each / shortest
