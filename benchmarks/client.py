"""What the client library costs over bare tritonclient, what its answers weigh, and whether its memory stays flat.

    python benchmarks/client.py [PART ...] [--rounds 5] [--seconds 2] [--requests 10000]

PART is one or more of: overhead, answers, memory, shared, compression; all unless given. The network is the toy of the
tests (one convolution, 1,000 classes), so that little but the way there and back is measured, served by the embedded
Triton. What is compared takes turns request by request, or round by round where many ask at once, so that a busy moment
of the machine meets both; figures are medians. Memory is that of a process of its own.
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

import numpy as np
import onnx
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from onnx import TensorProto, helper
from PIL import Image
from prometheus_client import CollectorRegistry
from support.alternating import Ask, alternate, async_alternate, async_requests_per_second, rate
from support.toy import write_toy_bundle

from camserve.bundle import CONTRACT_NAME, ONNX_NAME, Bundle, load_bundle
from camserve.clients import AsyncClassifier, Classifier
from camserve.clients.observing.metrics import Metrics
from camserve.contract import ModelContract
from camserve.manifest import write_manifest
from camserve.serving import TritonServer, publish

Array = np.ndarray[Any, Any]

PHOTO, PIXELS, MAPS = "photo", "pixels", "maps"
CLASSES = 1000
AT_ONCE = 8
BATCHES = (1, 8, 32)
PROBABILITIES = ["probabilities"]
NOTEBOOK_BYTES = 7 * 7 * 2048 * 4


def main() -> None:
    """Prints the tables of the parts."""
    parts: dict[str, Callable[[str, argparse.Namespace], None]] = {
        "overhead": overhead,
        "answers": answers,
        "memory": memory,
        "shared": shared,
        "compression": compression,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round in which many ask at once")
    parser.add_argument("--requests", type=int, default=10_000, help="of which memory must not grow")
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
    """The address of a server with the three models."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photo = write_toy_bundle(root / PHOTO, size=(224, 224), classes=CLASSES, top_k=5)
        maps = write_toy_bundle(root / MAPS, size=(14, 14), classes=CLASSES, top_k=5)
        pixels = write_toy_bundle(root / PIXELS, size=(224, 224), classes=CLASSES, top_k=5, preset="raw-rgb")
        for name, bundle in ((PHOTO, photo), (MAPS, maps), (PIXELS, with_pixels(pixels))):
            publish(bundle, root / "repository", name=name, options={"max_batch_size": max(BATCHES)})
        with TritonServer(root / "repository", allow_shared_memory=True) as server:
            yield server.grpc_url


def with_pixels(bundle: Bundle) -> Bundle:
    """The same bundle with uint8 pixels as its input."""
    model = onnx.load(bundle.onnx_path)
    contract = json.loads((bundle.path / CONTRACT_NAME).read_text())
    contract["input"]["dtype"] = "UINT8"
    contract["preprocessing"] |= {"in_graph": True}
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.node[0].input[0] = "pixels"
    model.graph.node.insert(0, helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT))
    text = ModelContract.from_json(json.dumps(contract)).to_json()
    helper.set_model_props(model, {entry.key: text for entry in model.metadata_props})
    onnx.save(model, bundle.path / ONNX_NAME)
    (bundle.path / CONTRACT_NAME).write_text(text)
    write_manifest(bundle.path)
    return load_bundle(bundle.path)


def photo(size: int = 256) -> Image.Image:
    """An image that is as smooth and as noisy as a photo."""
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((size, size))
    noisy = np.asarray(smooth) + random.normal(0, 4, (size, size, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def overhead(url: str, arguments: argparse.Namespace) -> None:
    """The library beside bare tritonclient, for one and the same prepared tensor and output."""
    seconds = arguments.seconds
    client: Any = triton.InferenceServerClient(url)
    with Classifier(url, PHOTO) as classifier:
        batch = classifier.prepare(photo())[np.newaxis]
        bare, library = ask_bare(client, batch), lambda: classifier.infer(batch, PROBABILITIES)
        alone = alternate(bare, library, 60 * arguments.rounds)
        many = [(rate(bare, AT_ONCE, seconds), rate(library, AT_ONCE, seconds)) for _ in range(arguments.rounds)]
    client.close()
    async_alone, async_many = asyncio.run(async_overhead(url, batch, arguments))
    print("\n| one at a time | bare, ms | library, ms | more, ms (bound 0.3) |\n|---|---|---|---|")
    for name, (one, other, more) in (("Classifier", alone), ("AsyncClassifier", async_alone)):
        print(f"| {name} | {one * 1e3:.2f} | {other * 1e3:.2f} | {more * 1e3:+.3f} |")
    print(f"\n| {AT_ONCE} at once | bare, requests/s | library, requests/s | ratio (bound 0.95) |\n|---|---|---|---|")
    for name, rounds in (("Classifier, threads", many), ("AsyncClassifier, tasks", async_many)):
        ratio = median(library / bare for bare, library in rounds)
        print(f"| {name} | {median(r[0] for r in rounds):.0f} | {median(r[1] for r in rounds):.0f} | {ratio:.3f} |")


async def async_overhead(url: str, batch: Array, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The same on an event loop."""
    client: Any = triton_aio.InferenceServerClient(url)
    async with AsyncClassifier(url, PHOTO) as classifier:
        bare, library = ask_bare(client, batch), lambda: classifier.infer(batch, PROBABILITIES)
        alone = await async_alternate(bare, library, 60 * arguments.rounds)
        seconds = arguments.seconds
        many = [
            (
                await async_requests_per_second(bare, AT_ONCE, seconds),
                await async_requests_per_second(library, AT_ONCE, seconds),
            )
            for _ in range(arguments.rounds)
        ]
    await client.close()
    return alone, many


def ask_bare(client: Any, batch: Array) -> Any:
    """A request as who uses tritonclient makes it."""

    def ask() -> Any:
        tensor = triton.InferInput("image", batch.shape, "FP32")
        tensor.set_data_from_numpy(batch)
        return client.infer(PHOTO, [tensor], outputs=[triton.InferRequestedOutput(*PROBABILITIES)], client_timeout=30)

    return ask


def answers(url: str, _: argparse.Namespace) -> None:
    """Bytes of the message that answers one image."""
    print(f"\n| answer to one image, {CLASSES} classes, grid of 7 by 7 | bytes |\n|---|---|")
    received = weigh(url, lambda classifier: classifier.classify(photo(), cam=True))
    print(f"| classify(cam=True): with its five maps (bound 8192) | {received:,.0f} |")
    received = weigh(url, lambda classifier: classifier.classify(photo()))
    print(f"| classify() | {received:,.0f} |")
    every = ["probabilities", "logits", "cam", "cam_class"]
    received = weigh(url, lambda classifier: classifier.infer(classifier.prepare(photo())[np.newaxis], every))
    print(f"| infer, every output | {received:,.0f} |")
    print(f"| the features themselves, 7 by 7 by 2048 in float32 (reckoned) | {NOTEBOOK_BYTES:,} |")


def weigh(url: str, ask: Callable[[Classifier], object]) -> float:
    """Bytes that a request brings back."""
    registry = CollectorRegistry()
    with Classifier(url, MAPS, metrics=Metrics(registry)) as classifier:
        ask(classifier)
    return registry.get_sample_value("camserve_client_received_bytes_total", {"model": MAPS}) or 0.0


def memory(url: str, arguments: argparse.Namespace) -> None:
    """Resident memory of a client before and after so many requests."""
    words = [sys.executable, __file__, "--memory-at", url, "--requests", str(arguments.requests)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    print("\n| resident memory, MB | after warm-up | at the end | growth (bound 1) |\n|---|---|---|---|")
    for name, (before, after) in json.loads(done.stdout).items():
        print(f"| {arguments.requests:,} images by {name} | {before:.2f} | {after:.2f} | {after - before:+.2f} |")


def resident(url: str, requests: int) -> dict[str, tuple[float, float]]:
    """Megabytes before and after the requests, by the way in which they are made."""
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

        for name, ask in (("classify", one_by_one), ("classify_many", many)):
            ask(requests // 5)
            before = megabytes()
            ask(requests)
            measured[name] = (before, megabytes())
    return measured


def megabytes() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def shared(url: str, arguments: argparse.Namespace) -> None:
    """The way through shared memory beside the plain one."""
    print("\n| input, 224 by 224 by 3 | MB | plain, ms | shared memory, ms | ratio |\n|---|---|---|---|---|")
    for model in (PHOTO, PIXELS):
        with Classifier(url, model) as plain, Classifier(url, model, shared_memory=True) as through:
            for size in BATCHES:
                batch = np.repeat(plain.prepare(photo())[np.newaxis], size, axis=0)
                one, other, _ = alternate(*asked_of((plain, through), batch), (100 * arguments.rounds) // (4 + size))
                name = f"{batch.dtype}, batch of {size}"
                print(
                    f"| {name} | {batch.nbytes / 1e6:.1f} | {one * 1e3:.2f} | {other * 1e3:.2f} | {other / one:.2f} |"
                )


def asked_of(classifiers: tuple[Classifier, Classifier], batch: Array) -> tuple[Ask, Ask]:
    """The same request to each of two."""
    one, other = classifiers
    return (lambda: one.infer(batch, PROBABILITIES), lambda: other.infer(batch, PROBABILITIES))


def compression(url: str, arguments: argparse.Namespace) -> None:
    """Compressed messages beside plain ones, on one host: what it costs where it gains nothing."""
    print("\n| input of one image | KB | KB in gzip | plain, ms | gzip, ms |\n|---|---|---|---|---|")
    for model in (PHOTO, PIXELS):
        with Classifier(url, model) as plain, Classifier(url, model, compression="gzip") as packed:
            batch = plain.prepare(photo())[np.newaxis]
            one, other, _ = alternate(*asked_of((plain, packed), batch), 10 * arguments.rounds)
            small = len(zlib.compress(batch.tobytes())) / 1e3
            print(f"| {batch.dtype} | {batch.nbytes / 1e3:.0f} | {small:.0f} | {one * 1e3:.2f} | {other * 1e3:.2f} |")


if __name__ == "__main__":
    main()
