"""Compare decoding in the server (`NAME_file`) with decoding in the client: speed, instances, memory, and answers.

    python benchmarks/image_files.py [PART ...] [--rounds 5] [--seconds 3] [--files 10000] [--mutants 20000]

PART is one or more of: throughput, instances, memory, answers (default: all). `--bundle DIR` adds a network to the part
throughput, beside one that answers at once (one convolution). The client, the server and the load share this host's
cores. Rounds alternate between what is compared, and the values are medians. `throughput` does the same work both ways,
with 8 requests at once: the Python client in 8 threads, or the same threads with files. `instances` sends photos of 12
megapixels, so that decoding is nearly all of the work.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from support.image_files import mutants, seeds
from support.process_usage import descendants, usage
from support.toy import with_pixels, write_toy_bundle
from tritonclient.utils import InferenceServerException

from camserve.bundle import Bundle, load_bundle
from camserve.clients import Classifier
from camserve.errors import ClientError
from camserve.serving import TritonServer, publish
from camserve.serving.live.backend_messages import split_hint

AT_ONCE = 8
NAME = "photos"


def main() -> None:
    """Print the results of the parts."""
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "throughput": throughput,
        "instances": instances,
        "memory": memory,
        "answers": answers,
    }
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of a round")
    parser.add_argument("--files", type=int, default=10_000, help="number of files in the part memory")
    parser.add_argument("--mutants", type=int, default=20_000, help="number of corrupt files in the part answers")
    parser.add_argument("--bundle", type=Path, help="a bundle for the part throughput, beside the toy")
    arguments = parser.parse_args()
    for part in arguments.parts or parts:
        print(f"\n## {part}\n", flush=True)
        parts[part](arguments)


def throughput(arguments: argparse.Namespace) -> None:
    """Compare images per second of both ways."""
    print("| network | photos | client | server | server/client |\n|---|---|--:|--:|--:|")
    networks: dict[str, Callable[[Path], Bundle]] = {"one convolution": toy}
    if arguments.bundle is not None:
        networks[arguments.bundle.name] = lambda _: load_bundle(arguments.bundle)
    for network, bundle_of in networks.items():
        with served(bundle_of) as url:
            for size in ((640, 480), (1920, 1440)):
                files = [photo(size, seed) for seed in range(8)]
                rates = alternate({"client": client_side(url, files), "server": server_side(url, files)}, arguments)
                client, server = (median(rates[way]) for way in ("client", "server"))
                ratio = median(s / c for s, c in zip(rates["server"], rates["client"], strict=True))
                print(f"| {network} | {size[0]}x{size[1]} | {client:.0f} | {server:.0f} | {ratio:.2f} |", flush=True)


def instances(arguments: argparse.Namespace) -> None:
    """Compare images per second with one and two instances of `NAME_file`."""
    files = [photo((4000, 3000), seed) for seed in range(4)]
    with served(toy, image_file_instances=1) as one, served(toy, image_file_instances=2) as two:
        rates = alternate({"1": server_side(one, files), "2": server_side(two, files)}, arguments)
    ratio = median(b / a for a, b in zip(rates["1"], rates["2"], strict=True))
    print("| instances | images a second |\n|--:|--:|")
    for number, found in rates.items():
        print(f"| {number} | {median(found):.1f} |")
    print(f"\ntwo instances to one: {ratio:.2f}")


def memory(arguments: argparse.Namespace) -> None:
    """Print the resident memory of the server's processes after a tenth of the files, and after all."""
    random = np.random.default_rng(0)
    sides = random.integers(64, 1600, (200, 2)).tolist()
    files = [photo((width, height), seed) for seed, (width, height) in enumerate(sides)]
    with served(toy) as url, triton.InferenceServerClient(url) as client:
        print("| files | MB of all processes of the server |\n|--:|--:|")
        for number in range(arguments.files):
            infer(client, files[int(random.integers(len(files)))])
            if number + 1 in (arguments.files // 10, arguments.files // 2, arguments.files):
                print(f"| {number + 1:,} | {resident():.0f} |", flush=True)


def answers(arguments: argparse.Namespace) -> None:
    """Count files with equal answers, equal errors and differences."""
    outcomes: dict[str, int] = defaultdict(int)
    files = seeds()
    with served(toy) as url, triton.InferenceServerClient(url) as client, Classifier(url, NAME) as classifier:
        for file in [*files, *mutants(files, arguments.mutants)]:
            by_client, by_server = classified(classifier, file), served_answer(client, file)
            kind = "answered" if isinstance(by_client, list) else "refused"
            outcomes[f"{kind} alike" if by_client == by_server else f"{kind} by the client, not alike"] += 1
    for outcome, number in sorted(outcomes.items()):
        print(f"{outcome}: {number:,}")


def alternate(ways: dict[str, Callable[[], object]], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Return images per second of each way, measured in turn."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # a warm-up
        rate(way, 1.0)
    for number in range(arguments.rounds):
        for name in ways if number % 2 else reversed(ways):
            rates[name].append(rate(ways[name], arguments.seconds))
    return rates


def rate(call: Callable[[], object], seconds: float) -> float:
    """Call from several threads for some seconds and return the calls per second."""
    end = time.monotonic() + seconds

    def work() -> int:
        done = 0
        while time.monotonic() < end:
            call()
            done += 1
        return done

    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        total = sum(each.result() for each in [pool.submit(work) for _ in range(AT_ONCE)])
    return total / (time.monotonic() - began)


def client_side(url: str, files: Sequence[bytes]) -> Callable[[], object]:
    """Return a call that decodes a file in the client."""
    classifier, numbers = Classifier(url, NAME), count()
    return lambda: classifier.classify(files[next(numbers) % len(files)])


def server_side(url: str, files: Sequence[bytes]) -> Callable[[], object]:
    """Return a call that sends a file."""
    client, numbers = triton.InferenceServerClient(url), count()
    return lambda: infer(client, files[next(numbers) % len(files)])


def infer(client: Any, file: bytes) -> Any:
    """Send a file and return the probabilities of the best classes."""
    tensor = triton.InferInput("image_file", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[file]], np.object_))
    return client.infer(f"{NAME}_file", [tensor]).as_numpy("probability")


def classified(classifier: Classifier, file: bytes) -> list[float] | tuple[str, str | None]:
    """Return the best probabilities by the client, or its error."""
    try:
        return [each.probability for each in classifier.classify(file).top]
    except ClientError as error:
        return error.message, error.hint


def served_answer(client: Any, file: bytes) -> list[float] | tuple[str, str | None]:
    """Return the best probabilities by the server, or its error."""
    try:
        return list(infer(client, file)[0].tolist())
    except InferenceServerException as error:
        return split_hint(error.message())


def resident() -> float:
    """Return the memory of the processes that this one started, in MB; what they share counts once."""
    return sum(usage(pid).proportional for pid in descendants(os.getpid())) / 1e6


def photo(size: tuple[int, int], seed: int) -> bytes:
    """Draw a JPEG file with large shapes and fine noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = random.integers(0, 24, (size[1], size[0], 1), np.uint8)
    stream = BytesIO()
    Image.fromarray(np.asarray(coarse) // 2 + noise).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def toy(folder: Path) -> Bundle:
    """Write a network of one convolution that takes 224x224 pixels."""
    return with_pixels(write_toy_bundle(folder, size=(224, 224), classes=1000))


@contextmanager
def served(bundle_of: Callable[[Path], Bundle], **options: Any) -> Iterator[str]:
    """Serve a bundle with image files, and yield the address."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        publish(bundle_of(Path(folder) / "bundle"), repository, name=NAME, options={"image_files": True, **options})
        with TritonServer(repository) as server:
            yield server.grpc_url


if __name__ == "__main__":
    main()
