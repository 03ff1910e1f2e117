"""A client of another library cancels 10,000 requests, while a `Classifier` classifies images on the same server.

Usage: python benchmarks/cancellations.py [--cancellations 10000] [--seconds 120] [--runs 1] [--original-program]

Four threads with plain tritonclient send up to eight requests each and cancel them at about the time of the first
answer, so that cancellations arrive just as answers are ready. Beside them, a `Classifier` in another thread
classifies images with its default retries. Every answer of both is compared with the one that numpy computes.
`camserve serve` runs the server. A run ends after so many cancellations or seconds, or when the server ends for good.

With `--original-program`, tritonserver runs as the wheel contains it, without the fix for cancelled requests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from PIL import Image
from support.canceller import Canceller
from support.process_usage import children, resident
from support.serve_process import ServeProcess
from support.toy import expected_outputs, toy_pixels, write_toy_bundle

from camserve.bundle import Bundle
from camserve.clients import Classifier
from camserve.errors import CamserveError
from camserve.pixels import normalize
from camserve.serving import publish

TOLERANCE = 1e-5
POLL_SECONDS = 0.05


def main() -> None:
    """Print a row for each run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--cancellations", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="longest duration of a run")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--original-program", action="store_true", help="without the fix for cancelled requests")
    arguments = parser.parse_args()
    print(
        "| cancelled | answered | wrong | failed | ours answered | wrong | failed | p50 ms | starts | MB | stubs | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_toy_bundle(Path(folder) / "bundle", size=(32, 32), classes=10)
        publish(bundle, Path(folder) / "repository")
        options = ["--original-program"] if arguments.original_program else []
        for _ in range(arguments.runs):
            row = run(bundle, Path(folder) / "repository", arguments.cancellations, arguments.seconds, options)
            print(row, flush=True)


def run(bundle: Bundle, repository: Path, cancellations: int, seconds: float, options: list[str]) -> str:
    """Start a server, cancel requests and return a row with the results."""
    begin = time.monotonic()
    with ServeProcess(repository, *options) as serve:
        url, (before, _) = serve.ready["grpc"], state(serve)
        with Canceller(url, bundle) as canceller, watched(serve, canceller) as servers, classifying(url, bundle) as own:
            canceller.cancel(cancellations, seconds=seconds)
        theirs, (after, count) = canceller.results, state(serve)
    known = sum(theirs[name] for name in ("cancelled", "answered", "wrong"))
    for message, number in (theirs + own.errors).most_common():
        if message not in ("cancelled", "answered", "wrong"):
            print(f"{number} times: {message}", file=sys.stderr)
    results = [theirs["cancelled"], theirs["answered"], theirs["wrong"], theirs.total() - known]
    results += [len(own.seconds), own.wrong, own.errors.total()]
    latency = f"{1e3 * statistics.median(own.seconds):.1f}" if own.seconds else "–"
    cells = (*results, latency, len(servers), f"{before:.0f} → {after:.0f}", count, f"{time.monotonic() - begin:.0f}")
    return f"| {' | '.join(map(str, cells))} |"


def state(serve: ServeProcess) -> tuple[float, int]:
    """Return the resident memory of tritonserver in megabytes and the number of its stubs; zeros if it has ended."""
    with suppress(OSError, ValueError):
        pid = serve.triton
        return resident(pid) / 2**20, len(children(pid))
    return 0.0, 0


@contextmanager
def watched(serve: ServeProcess, canceller: Canceller) -> Iterator[set[int]]:
    """Collect the process IDs of tritonserver, and stop the canceller if `camserve serve` ends."""
    servers, done = {serve.triton}, threading.Event()

    def watch() -> None:
        while not done.wait(POLL_SECONDS):
            with suppress(OSError, ValueError):  # it is being restarted
                servers.add(serve.triton)
            if serve.process.poll() is not None:
                canceller.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield servers
    finally:
        done.set()
        thread.join()


class OwnClient:
    """A `Classifier` that classifies one image again and again.

    Attributes:
        seconds: Duration of each call that was answered.
        wrong: Number of wrong answers.
        errors: Number of errors by message.
    """

    def __init__(self, url: str, bundle: Bundle) -> None:
        pixels = toy_pixels(bundle.contract)[:1]
        outputs = expected_outputs(bundle, normalize(pixels, bundle.contract.preprocessing))
        self._expected, self._image = outputs["probabilities"][0], Image.fromarray(pixels[0])
        self._classifier = Classifier(url, bundle.contract.name)
        self.seconds: list[float] = []
        self.wrong = 0
        self.errors: Counter[str] = Counter()

    def classify_until(self, done: threading.Event) -> None:
        """Classify the image until the event is set."""
        with self._classifier as classifier:
            while not done.is_set():
                begin = time.perf_counter()
                try:
                    probabilities: Any = classifier.classify(self._image).probabilities
                except CamserveError as error:
                    self.errors[f"{type(error).__name__}: {error}"] += 1
                    time.sleep(POLL_SECONDS)
                    continue
                self.seconds.append(time.perf_counter() - begin)
                self.wrong += not np.allclose(probabilities, self._expected, rtol=TOLERANCE, atol=TOLERANCE)


@contextmanager
def classifying(url: str, bundle: Bundle) -> Iterator[OwnClient]:
    """Run an `OwnClient` in a thread."""
    client, done = OwnClient(url, bundle), threading.Event()
    thread = threading.Thread(target=client.classify_until, args=(done,))
    thread.start()
    try:
        yield client
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    main()
