"""Fixed batch sizes compared with batches of any size, in camserve's ONNX Runtime backend on the CPU, without a server.

Usage: python benchmarks/fixed_sizes.py [SOURCE] [--sizes 1,8] [--rows 1,2,3,5,8] [--rounds 9]

The network (default: resnet50, random weights) is exported in fp32. The backend runs it with one session for batches of
any size, and with one session for each of the sizes. Both run each number of rows once in every round, under the same
conditions; the table contains medians. A process of its own measures the memory of each, after a batch of every size.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from google.protobuf.json_format import MessageToDict
from support.model_folder import toy_config
from support.process_usage import resident

from camserve.bundle import ONNX_NAME, load_bundle
from camserve.export import export_model
from camserve.serving.backends.camserve_backend.cuda_graphs import plan_attempts
from camserve.serving.backends.camserve_backend.fixed_sizes import FixedSizes
from camserve.serving.backends.camserve_backend.free_sizes import FreeSizes
from camserve.serving.backends.camserve_backend.onnx_providers import CPU, Provider
from camserve.serving.backends.camserve_backend.onnx_sessions import SessionFactory
from camserve.serving.backends.camserve_backend.onnx_settings import session_settings

Model = FreeSizes | FixedSizes
PROVIDERS: tuple[Provider, ...] = ((CPU, {}),)
MEGABYTE = 2**20


def main() -> None:
    """Print the table."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export_model(arguments.source, bundle, weights="none", labels=None, formats="onnx")
        variants: dict[str, tuple[int, ...]] = {"any size": (), "fixed sizes": arguments.sizes}
        memory = {name: measure_memory(bundle, sizes, arguments.rows) for name, sizes in variants.items()}
        models = {name: open_model(bundle, sizes) for name, sizes in variants.items()}
        taken = measure(models, bundle, arguments.rows, arguments.rounds)
    heads = " | ".join(f"{rows} {'row' if rows == 1 else 'rows'}, ms" for rows in arguments.rows)
    print(f"| | ready, s | memory, MB | {heads} |\n|---|---|---|{'---|' * len(arguments.rows)}")
    for name in variants:
        times = " | ".join(f"{median(taken[name, rows]) * 1e3:.0f}" for rows in arguments.rows)
        print(f"| {name} | {memory[name][0]:.1f} | {memory[name][1]:.0f} | {times} |")


def parse() -> argparse.Namespace:
    """Parse the command line."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(number) for number in text.split(","))

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("source", nargs="?", default="resnet50")
    parser.add_argument("--sizes", type=numbers, default=(1, 8))
    parser.add_argument("--rows", type=numbers, default=(1, 2, 3, 5, 8))
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def open_model(folder: Path, sizes: Sequence[int]) -> Model:
    """Open the model of a bundle as the backend does; without sizes, for batches of any size."""
    bundle = load_bundle(folder)
    options = {"max_batch_size": max(sizes), "batch_sizes": tuple(sizes)} if sizes else {}
    config: dict[str, Any] = MessageToDict(toy_config(bundle, options=options), preserving_proto_field_name=True)
    factory = SessionFactory(folder / ONNX_NAME, session_settings(config))
    if not sizes:
        return FreeSizes(factory, PROVIDERS)
    log: list[str] = []
    model = FixedSizes(factory, config, sizes, plan_attempts(config, PROVIDERS, {}), log=log.append)
    model.make_ready()
    return model


def measure(
    models: dict[str, Model], folder: Path, numbers: Sequence[int], rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Return the seconds of each run by model and number of rows, after a first round that is not measured."""
    taken: dict[tuple[str, int], list[float]] = {}
    for measured in range(rounds + 1):
        for rows in numbers:
            for name, model in models.items():
                seconds = run(model, folder, rows)
                if measured:
                    taken.setdefault((name, rows), []).append(seconds)
    return taken


def run(model: Model, folder: Path, rows: int) -> float:
    """Run one batch of random images, and return the seconds it took."""
    contract = load_bundle(folder).contract
    images = np.random.default_rng(rows).random((rows, *contract.input.shape), np.float32)
    names = [output.name for output in contract.outputs]
    started = time.perf_counter()
    model.run(names, [{contract.input.name: images}])
    return time.perf_counter() - started


def measure_memory(folder: Path, sizes: Sequence[int], numbers: Sequence[int]) -> tuple[float, float]:
    """Return the seconds until the model is ready and the megabytes that it adds to a process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure_memory, folder, sizes, numbers).result()


def _measure_memory(folder: Path, sizes: Sequence[int], numbers: Sequence[int]) -> tuple[float, float]:
    before, started = resident(os.getpid()), time.perf_counter()
    model = open_model(folder, sizes)
    seconds = time.perf_counter() - started
    for rows in numbers:
        run(model, folder, rows)
    return seconds, (resident(os.getpid()) - before) / MEGABYTE


if __name__ == "__main__":
    main()
