"""Send requests for some seconds, and print their rate and this process's processor time as JSON.

    python benchmarks/client_load.py HOST:PORT MODEL CLIENT [--concurrency 8] [--seconds 2]

CLIENT is one of: Classifier (threads), AsyncClassifier (tasks), tritonclient (threads), tritonclient.aio (tasks). The
program imports no more of camserve than its clients, so that `PYTHONPATH=OTHER/src` measures those of another version.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from support.alternating import async_requests_per_second, rate

from camserve.clients import AsyncClassifier, Classifier

CLIENTS = ("Classifier", "tritonclient", "AsyncClassifier", "tritonclient.aio")
OUTPUTS = ("probabilities",)
WARM_UP = 0.5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    with Classifier(arguments.url, arguments.model) as classifier:
        shape, dtype = classifier.contract.input.shape, classifier.contract.input.dtype
    batch = np.zeros((1, *shape), np.uint8 if dtype == "UINT8" else np.float32)
    if arguments.client in ("Classifier", "tritonclient"):
        measured = threads(arguments, batch, dtype)
    else:
        measured = asyncio.run(tasks(arguments, batch, dtype))
    print(json.dumps(measured))


def threads(arguments: argparse.Namespace, batch: Any, dtype: str) -> dict[str, float]:
    """Measure a client of threads."""

    def measure(call: Callable[[], object]) -> dict[str, float]:
        rate(call, arguments.concurrency, WARM_UP)
        began = time.process_time()
        answered = rate(call, arguments.concurrency, arguments.seconds)
        return summary(answered, time.process_time() - began, arguments.seconds)

    if arguments.client == "Classifier":
        with Classifier(arguments.url, arguments.model) as classifier:
            return measure(lambda: classifier.infer(batch, OUTPUTS))
    client: Any = triton.InferenceServerClient(arguments.url)
    try:
        return measure(lambda: client.infer(arguments.model, **message(batch, dtype)))
    finally:
        client.close()


async def tasks(arguments: argparse.Namespace, batch: Any, dtype: str) -> dict[str, float]:
    """Measure a client of asyncio."""

    async def measure(call: Callable[[], Awaitable[object]]) -> dict[str, float]:
        await async_requests_per_second(call, arguments.concurrency, WARM_UP)
        began = time.process_time()
        answered = await async_requests_per_second(call, arguments.concurrency, arguments.seconds)
        return summary(answered, time.process_time() - began, arguments.seconds)

    if arguments.client == "AsyncClassifier":
        async with AsyncClassifier(arguments.url, arguments.model) as classifier:
            return await measure(lambda: classifier.infer(batch, OUTPUTS))
    client: Any = triton_aio.InferenceServerClient(arguments.url)
    try:
        return await measure(lambda: client.infer(arguments.model, **message(batch, dtype)))
    finally:
        await client.close()


def message(batch: Any, dtype: str) -> dict[str, Any]:
    """Return the arguments of tritonclient's `infer`, made for each request as the library does."""
    tensor = triton.InferInput("image", batch.shape, dtype)
    tensor.set_data_from_numpy(batch)
    return {"inputs": [tensor], "outputs": [triton.InferRequestedOutput(name) for name in OUTPUTS]}


def summary(answered: float, processor: float, seconds: float) -> dict[str, float]:
    """Return requests per second, and the processor time of one in microseconds."""
    return {"rate": answered, "microseconds": processor / (answered * seconds) * 1e6}


if __name__ == "__main__":
    main()
