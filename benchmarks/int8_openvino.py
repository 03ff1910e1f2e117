"""Measure images per second of int8 beside float32 and bfloat16 in OpenVINO and in ONNX Runtime on the CPU.

Usage: pip install openvino
       python benchmarks/int8_openvino.py [--target cpu] [--batch 8] [--threads 2] [--rounds 9] [NAME ...]

Each network, a name of `keras.applications` (default: ResNet50), is converted with random weights and quantized on
drawn images as with `--int8-target` (`--target`). The runtimes alternate within each round, so that all see the same
machine; rates are medians over the rounds. `in 8 bits` counts the convolutions that OpenVINO runs so; around each of
the others, tensors are converted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np

from camserve.choices import Int8Target
from camserve.openvino_runtime import import_openvino

IMAGES = 32  # that calibrate


def main() -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["ResNet50"], metavar="NAME")
    parser.add_argument("--target", choices=("cpu", "tensorrt"), default="cpu", help="as --int8-target of an export")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(
        "| network | runtime | images per second | relative to bfloat16 | in 8 bits |\n| --- | --- | --- | --- | --- |"
    )
    for name in options.names:
        with tempfile.TemporaryDirectory() as folder:
            float32, int8 = convert(name, Path(folder), options.target)
            for row in measure(float32, int8, options.batch, options.threads, options.rounds):
                print(f"| {name} | {row}", flush=True)


def convert(name: str, folder: Path, target: Int8Target) -> tuple[Path, Path]:
    """Write a network in float32 and in int8, without the parity gate, which random weights would not pass."""
    import keras  # noqa: PLC0415

    from camserve.export.formats.onnx_settings import OnnxSettings  # noqa: PLC0415
    from camserve.export.formats.quantize import quantize  # noqa: PLC0415
    from camserve.export.formats.writing import convert as to_onnx  # noqa: PLC0415
    from camserve.export.graph.prepare import prepare  # noqa: PLC0415
    from camserve.export.source.applications import application  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    model = application(name).build()
    images = drawn_images(IMAGES, model.input_shape[1:])
    converted = to_onnx(prepare(model, cam=True, top_k=5, all_classes=False).served, OnnxSettings().opset)
    int8 = quantize(converted.model, images, converted.stay_float, target)
    paths = folder / "float32.onnx", folder / "int8.onnx"
    for path, graph in zip(paths, (converted.model, int8), strict=True):
        path.write_bytes(graph.SerializeToString())
    return paths


def drawn_images(count: int, shape: tuple[int, int, int]) -> Any:
    """Return drawn images in the range of most networks, float32 `[count, height, width, channels]` from -1 to 1."""
    from camserve.export.gate.samples import sample_images  # noqa: PLC0415

    return sample_images(count, *shape).astype(np.float32) / 127.5 - 1


def measure(float32: Path, int8: Path, batch: int, threads: int, rounds: int) -> list[str]:
    """Return a row for each runtime and precision."""
    openvino = import_openvino("this benchmark")
    shape = tuple(side.get_length() for side in list(openvino.Core().read_model(int8).input(0).partial_shape)[1:])
    images = np.ascontiguousarray(np.resize(drawn_images(4, shape), (batch, *shape)))
    compiled = {
        "OpenVINO float32": in_openvino(float32, threads, "f32"),
        "OpenVINO bfloat16": in_openvino(float32, threads, "bf16"),
        "OpenVINO int8": in_openvino(int8, threads, "bf16"),
    }
    run: dict[str, Callable[[], Any]] = {
        "ONNX Runtime float32": in_onnxruntime(float32, threads, images),
        "ONNX Runtime int8": in_onnxruntime(int8, threads, images),
    }
    for label, model in compiled.items():
        run[label] = partial(model.create_infer_request().infer, [images])
    rates = [{label: batch / seconds(once) for label, once in run.items()} for _ in range(rounds + 1)][1:]
    rows = []
    for label in run:
        ratio = median(each[label] / each["OpenVINO bfloat16"] for each in rates)
        counted = convolutions(compiled[label]) if label in compiled else ""
        rows.append(f"{label} | {median(each[label] for each in rates):.1f} | {ratio:.2f} | {counted} |")
    return rows


def seconds(once: Callable[[], Any]) -> float:
    """Return the time of a run."""
    start = time.perf_counter()
    once()
    return time.perf_counter() - start


def in_openvino(path: Path, threads: int, precision: str) -> Any:
    """Compile a file for the CPU; `precision` is that of what the file leaves in float32."""
    openvino = import_openvino("this benchmark")
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(path, "CPU", settings)


def in_onnxruntime(path: Path, threads: int, images: Any) -> Callable[[], Any]:
    """Open a file in ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle session would use the cores
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {session.get_inputs()[0].name: images})


def convolutions(compiled: Any) -> str:
    """Return how many of the convolutions OpenVINO runs in 8 bits: `52 of 53`."""
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kernels = [str(info["primitiveType"].value) for info in nodes if info["layerType"].value == "Convolution"]
    return f"{sum(kernel.lower().endswith('_i8') for kernel in kernels)} of {len(kernels)}"


if __name__ == "__main__":
    main()
