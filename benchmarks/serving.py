"""Throughput and latency of Triton, compared with the same runtime without a server in the same run.

Usage: python benchmarks/serving.py [SOURCE] [--rounds 3] [--seconds 3] [--concurrency 1,2,4,8,16,32]
                                    [--precisions fp32 int8 bf16]

The network (default: resnet50, random weights) is exported in each precision, with float and with uint8 input,
published with a maximum batch size of 8, and served by the embedded Triton with one instance that uses all cores: bf16
by OpenVINO, the others by ONNX Runtime. Requests with 1 and with 8 images are sent over gRPC at several levels of
concurrency; each requests all outputs. The runtime runs the same files with as many threads, in batches of 1 and 8,
alternating with the server within each round, so that both run under the same conditions. The results are medians over
the rounds; the last table compares the best.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from bench.networks import wide_tolerances
from bench.runtimes import Run, in_onnxruntime, in_openvino, native_bf16
from PIL import Image
from support.load_generator import Load, Measured, connected, send

from camserve.bundle import Bundle
from camserve.choices import InputType, Precision
from camserve.cores import host_cores
from camserve.export import export_model
from camserve.export.gate.samples import sample_images
from camserve.pixels import normalize
from camserve.serving import TritonServer, publish

INPUTS: tuple[InputType, ...] = ("float32", "uint8")
BATCHES = (1, 8)
WARM_UP = 1.0  # seconds


def main() -> None:
    """Print a table for each variant, and one that compares them."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        bundles = export(arguments.source, Path(folder), arguments.precisions)
        for name, bundle in bundles.items():
            publish(bundle, Path(folder) / "repository", name=name, options={"max_batch_size": max(BATCHES)})
        with TritonServer(Path(folder) / "repository", start_timeout=300) as server:
            best = {name: measure(name, bundle, server.grpc_url, arguments) for name, bundle in bundles.items()}
    print("\n| variant | bare | through Triton | ratio |\n|---|---|---|---|")
    for name, (bare, served) in best.items():
        print(f"| {name} | {bare:.1f} | {served:.1f} | {served / bare:.3f} |")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("source", nargs="?", default="resnet50")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds per measurement")
    parser.add_argument("--concurrency", default="1,2,4,8,16,32", type=lambda text: [int(n) for n in text.split(",")])
    precisions = ("fp32", "int8", *(("bf16",) if find_spec("openvino") and native_bf16() else ()))
    parser.add_argument("--precisions", nargs="+", choices=precisions, default=precisions)
    return parser.parse_args()


def export(source: str, folder: Path, precisions: Sequence[Precision]) -> dict[str, Bundle]:
    """Export the network in each precision, with each type of input, and return the bundles by name."""
    images = folder / "images"
    images.mkdir()
    for number, pixels in enumerate(sample_images(64, 256, 256, 3)):
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    return {
        f"{precision}-{dtype}": export_model(
            source,
            folder / f"{precision}-{dtype}",
            weights="none",
            labels=None,
            formats="onnx",
            precision=precision,
            input_dtype=dtype,
            calibration=images if precision == "int8" else None,
            int8_layers="all" if precision == "int8" else "auto",
            tolerances=wide_tolerances(),
        )
        for precision in precisions
        for dtype in INPUTS
    }


def measure(name: str, bundle: Bundle, url: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Print the table of a variant and return the best throughput of ONNX Runtime and of Triton."""
    contract = bundle.contract
    pixels = sample_images(max(BATCHES), *contract.input.shape)
    images = pixels if contract.preprocessing.in_graph else normalize(pixels, contract.preprocessing)
    run = open_bare(bundle)
    loads = [Load(batch, concurrency) for batch in BATCHES for concurrency in arguments.concurrency]
    bare: dict[int, list[Measured]] = {batch: [] for batch in BATCHES}
    served: dict[Load, list[Measured]] = {load: [] for load in loads}
    with connected(url) as client:
        send(client, name, images, Load(max(BATCHES), 4), WARM_UP)
        for _ in range(arguments.rounds):
            for batch in BATCHES:
                bare[batch].append(run_bare(run, images[:batch], arguments.seconds))
            for load in loads:
                served[load].append(send(client, name, images, load, arguments.seconds))
    print(f"\n{name}\n\n| | images per request | concurrent requests | images per second | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|")
    for batch, runs in bare.items():
        print(row("bare", batch, 1, runs))
    for load, runs in served.items():
        print(row("Triton", load.batch, load.concurrency, runs))
    return best(bare), best(served)


def best(measured: dict[Any, list[Measured]]) -> float:
    """Return the highest median throughput."""
    return max(median(run.rate for run in runs) for runs in measured.values())


def row(what: str, batch: int, concurrency: int, runs: list[Measured]) -> str:
    """Format a row of the table."""
    seconds = np.concatenate([run.seconds for run in runs])
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    rate = median(run.rate for run in runs)
    return f"| {what} | {batch} | {concurrency} | {rate:.1f} | {p50:.0f} | {p99:.0f} |"


def open_bare(bundle: Bundle) -> Run:
    """Open the ONNX file of a bundle on all cores, in the runtime of the server's instance."""
    assert bundle.onnx_path is not None
    if bundle.precision == "bf16":
        return in_openvino(bundle.onnx_path, host_cores(), "bf16")
    return in_onnxruntime(bundle.onnx_path, host_cores())


def run_bare(run: Run, images: Any, seconds: float) -> Measured:
    """Run one batch after the other."""
    run(images)
    durations: list[float] = []
    begin = time.perf_counter()
    while (started := time.perf_counter()) < begin + seconds:
        run(images)
        durations.append(time.perf_counter() - started)
    return Measured(len(images) * len(durations) / (time.perf_counter() - begin), tuple(durations))


if __name__ == "__main__":
    main()
