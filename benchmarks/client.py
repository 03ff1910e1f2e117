"""Measure the overhead of the client over tritonclient, the size of its replies, and its memory.

    python benchmarks/client.py [PART ...] [--rounds 5] [--seconds 2] [--requests 10000] [--other FOLDER]

PART is one or more of: overhead, concurrency, answers, memory, shared, compression (default: all). The network is the
toy model of the tests (one convolution, 1,000 classes), so that mostly the transfer is measured, served by the embedded
Triton; `concurrency` also measures ResNet50. What is compared alternates request by request, or round by round with
concurrent requests, so that load on the machine affects both; the values are medians. Memory and concurrency are
measured in separate processes. `--other` adds the clients in the folder `src` of another version of camserve.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import client_load
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from PIL import Image
from prometheus_client import CollectorRegistry
from support.alternating import Call, alternate, async_alternate, async_requests_per_second, rate
from support.toy import with_pixels, write_toy_bundle

from camserve.clients import AsyncClassifier, Classifier
from camserve.clients.observing.metrics import Metrics
from camserve.export import export_model
from camserve.serving import TritonServer, publish

Array = np.ndarray[Any, Any]

PHOTO, PIXELS, MAPS = "photo", "pixels", "maps"
CLASSES = 1000
CONCURRENCY = 8
BATCHES = (1, 8, 32)
PROBABILITIES = ["probabilities"]
BARE = {"Classifier": "tritonclient", "AsyncClassifier": "tritonclient.aio"}
NOTEBOOK_BYTES = 7 * 7 * 2048 * 4


def main() -> None:
    """Print the tables of the parts."""
    parts: dict[str, Callable[[str, argparse.Namespace], None]] = {
        "overhead": overhead,
        "concurrency": concurrency,
        "answers": answers,
        "memory": memory,
        "shared": shared,
        "compression": compression,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each round with concurrent requests")
    parser.add_argument("--requests", type=int, default=10_000, help="number of requests in the memory test")
    parser.add_argument("--other", metavar="FOLDER", help="src of another version, for the part concurrency")
    parser.add_argument("--memory-at", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_at:
        print(json.dumps(resident(arguments.memory_at, arguments.requests)))
        return
    with served() as url:
        for part in arguments.parts or parts:
            parts[part](url, arguments)


@contextmanager
def served() -> Iterator[str]:
    """Serve the three models and yield the address."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photo = write_toy_bundle(root / PHOTO, size=(224, 224), classes=CLASSES, top_k=5)
        maps = write_toy_bundle(root / MAPS, size=(14, 14), classes=CLASSES, top_k=5)
        pixels = write_toy_bundle(root / PIXELS, size=(224, 224), classes=CLASSES, top_k=5, preset="raw-rgb")
        for name, bundle in ((PHOTO, photo), (MAPS, maps), (PIXELS, with_pixels(pixels))):
            publish(bundle, root / "repository", name=name, options={"max_batch_size": max(BATCHES)})
        with TritonServer(root / "repository", allow_shared_memory=True) as server:
            yield server.grpc_url


def photo(size: int = 256) -> Image.Image:
    """Return an image as smooth and as noisy as a photo."""
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((size, size))
    noisy = np.asarray(smooth) + random.normal(0, 4, (size, size, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def overhead(url: str, arguments: argparse.Namespace) -> None:
    """Compare the library with tritonclient, for the same preprocessed tensor and output."""
    seconds = arguments.seconds
    client: Any = triton.InferenceServerClient(url)
    with Classifier(url, PHOTO) as classifier:
        batch = classifier.prepare(photo())[np.newaxis]
        bare, library = tritonclient_call(client, batch), lambda: classifier.infer(batch, PROBABILITIES)
        alone = alternate(bare, library, 60 * arguments.rounds)
        many = [
            (rate(bare, CONCURRENCY, seconds), rate(library, CONCURRENCY, seconds)) for _ in range(arguments.rounds)
        ]
    client.close()
    async_alone, async_many = asyncio.run(async_overhead(url, batch, arguments))
    print("\n| one at a time | bare, ms | library, ms | more, ms (limit 0.3) |\n|---|---|---|---|")
    for name, (one, other, more) in (("Classifier", alone), ("AsyncClassifier", async_alone)):
        print(f"| {name} | {one * 1e3:.2f} | {other * 1e3:.2f} | {more * 1e3:+.3f} |")
    print(
        f"\n| {CONCURRENCY} at once | bare, requests/s | library, requests/s | ratio (limit 0.95) |\n|---|---|---|---|"
    )
    for name, rounds in (("Classifier, threads", many), ("AsyncClassifier, tasks", async_many)):
        ratio = median(library / bare for bare, library in rounds)
        print(f"| {name} | {median(r[0] for r in rounds):.0f} | {median(r[1] for r in rounds):.0f} | {ratio:.3f} |")


async def async_overhead(url: str, batch: Array, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Do the same on an event loop."""
    client: Any = triton_aio.InferenceServerClient(url)
    async with AsyncClassifier(url, PHOTO) as classifier:
        bare, library = tritonclient_call(client, batch), lambda: classifier.infer(batch, PROBABILITIES)
        alone = await async_alternate(bare, library, 60 * arguments.rounds)
        seconds = arguments.seconds
        many = [
            (
                await async_requests_per_second(bare, CONCURRENCY, seconds),
                await async_requests_per_second(library, CONCURRENCY, seconds),
            )
            for _ in range(arguments.rounds)
        ]
    await client.close()
    return alone, many


def tritonclient_call(client: Any, batch: Array) -> Any:
    """Return a function that sends a request with tritonclient."""

    def call() -> Any:
        tensor = triton.InferInput("image", batch.shape, "FP32")
        tensor.set_data_from_numpy(batch)
        return client.infer(PHOTO, [tensor], outputs=[triton.InferRequestedOutput(*PROBABILITIES)], client_timeout=30)

    return call


def concurrency(url: str, arguments: argparse.Namespace) -> None:
    """Print rate and processor time of concurrent requests to a small network and to ResNet50."""
    heads = f"{CONCURRENCY} at once | network | requests/s | ratio to tritonclient | processor time of a request, ms"
    print(f"\n| {heads} |\n|---|---|---|---|---|")
    compare_clients(url, MAPS, arguments)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_model("resnet50", Path(folder) / "bundle", weights="none", formats="onnx")
        publish(bundle, Path(folder) / "repository", name="resnet50", options={"max_batch_size": CONCURRENCY})
        with TritonServer(Path(folder) / "repository") as server:
            compare_clients(server.grpc_url, "resnet50", arguments)


def compare_clients(url: str, model: str, arguments: argparse.Namespace) -> None:
    """Print the rows of one network."""
    others = [(name, arguments.other) for name in ("Classifier", "AsyncClassifier") if arguments.other]
    clients = [(name, "") for name in client_load.CLIENTS] + others
    rounds = [
        [load(url, model, name, source, arguments.seconds) for name, source in clients] for _ in range(arguments.rounds)
    ]
    for place, (name, source) in enumerate(clients):
        bare = client_load.CLIENTS.index(BARE.get(name, name))
        answered, processor = (median(each[place][key] for each in rounds) for key in ("rate", "microseconds"))
        ratio = median(each[place]["rate"] / each[bare]["rate"] for each in rounds)
        what = f"{name}{', other version' * bool(source)} | {model}"
        print(f"| {what} | {answered:.1f} | {ratio:.2f} | {processor / 1e3:.2f} |")


def load(url: str, model: str, client: str, source: str, seconds: float) -> dict[str, float]:
    """Run `client_load.py` with the clients of this version, or of another source folder."""
    words = [sys.executable, client_load.__file__, url, model, client]
    words += ["--concurrency", str(CONCURRENCY), "--seconds", str(seconds)]
    environment = os.environ | ({"PYTHONPATH": source} if source else {})
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def answers(url: str, _: argparse.Namespace) -> None:
    """Print the size of the reply for one image."""
    print(f"\n| reply for one image, {CLASSES} classes, grid of 7 by 7 | bytes |\n|---|---|")
    received = reply_size(url, lambda classifier: classifier.classify(photo(), cam=True))
    print(f"| classify(cam=True): with its five maps (limit 8192) | {received:,.0f} |")
    received = reply_size(url, lambda classifier: classifier.classify(photo()))
    print(f"| classify() | {received:,.0f} |")
    every = ["probabilities", "logits", "cam", "cam_class"]
    received = reply_size(url, lambda classifier: classifier.infer(classifier.prepare(photo())[np.newaxis], every))
    print(f"| infer, every output | {received:,.0f} |")
    print(f"| the features themselves, 7 by 7 by 2048 in float32 (computed) | {NOTEBOOK_BYTES:,} |")


def reply_size(url: str, call: Callable[[Classifier], object]) -> float:
    """Return the size of the reply to a request, in bytes."""
    registry = CollectorRegistry()
    with Classifier(url, MAPS, metrics=Metrics(registry)) as classifier:
        call(classifier)
    return registry.get_sample_value("camserve_client_received_bytes_total", {"model": MAPS}) or 0.0


def memory(url: str, arguments: argparse.Namespace) -> None:
    """Print the resident memory of a client before and after the requests."""
    words = [sys.executable, __file__, "--memory-at", url, "--requests", str(arguments.requests)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    print("\n| resident memory, MB | after warm-up | at the end | growth (limit 1) |\n|---|---|---|---|")
    for name, (before, after) in json.loads(done.stdout).items():
        print(f"| {arguments.requests:,} images by {name} | {before:.2f} | {after:.2f} | {after - before:+.2f} |")


def resident(url: str, requests: int) -> dict[str, tuple[float, float]]:
    """Return the megabytes before and after the requests, by method."""
    encoded = BytesIO()
    photo().save(encoded, "JPEG")
    image = encoded.getvalue()
    measured = {}
    with Classifier(url, MAPS) as classifier:

        def one_by_one(count: int) -> None:
            for _ in range(count):
                classifier.classify(image, cam=True)

        def many(count: int) -> None:
            for _ in classifier.classify_many(repeat(image, count), cam=True):
                pass

        for name, run in (("classify", one_by_one), ("classify_many", many)):
            run(requests // 5)
            before = megabytes()
            run(requests)
            measured[name] = (before, megabytes())
    return measured


def megabytes() -> float:
    """Return the resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def shared(url: str, arguments: argparse.Namespace) -> None:
    """Compare shared memory with messages."""
    print("\n| input, 224 by 224 by 3 | MB | message, ms | shared memory, ms | ratio |\n|---|---|---|---|---|")
    for model in (PHOTO, PIXELS):
        with Classifier(url, model) as plain, Classifier(url, model, shared_memory=True) as through:
            for size in BATCHES:
                batch = np.repeat(plain.prepare(photo())[np.newaxis], size, axis=0)
                one, other, _ = alternate(*infer_calls((plain, through), batch), (100 * arguments.rounds) // (4 + size))
                name = f"{batch.dtype}, batch of {size}"
                print(
                    f"| {name} | {batch.nbytes / 1e6:.1f} | {one * 1e3:.2f} | {other * 1e3:.2f} | {other / one:.2f} |"
                )


def infer_calls(classifiers: tuple[Classifier, Classifier], batch: Array) -> tuple[Call, Call]:
    """Return the same request for each of two classifiers."""
    one, other = classifiers
    return (lambda: one.infer(batch, PROBABILITIES), lambda: other.infer(batch, PROBABILITIES))


def compression(url: str, arguments: argparse.Namespace) -> None:
    """Compare compressed with plain messages on one host, where compression gains nothing."""
    print("\n| input of one image | KB | KB in gzip | plain, ms | gzip, ms |\n|---|---|---|---|---|")
    for model in (PHOTO, PIXELS):
        with Classifier(url, model) as plain, Classifier(url, model, compression="gzip") as packed:
            batch = plain.prepare(photo())[np.newaxis]
            one, other, _ = alternate(*infer_calls((plain, packed), batch), 10 * arguments.rounds)
            small = len(zlib.compress(batch.tobytes())) / 1e3
            print(f"| {batch.dtype} | {batch.nbytes / 1e3:.0f} | {small:.0f} | {one * 1e3:.2f} | {other * 1e3:.2f} |")


if __name__ == "__main__":
    main()
