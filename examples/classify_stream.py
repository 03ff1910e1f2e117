"""A stream of images, as long as you like: answers in order, a bounded number under way, flat memory.

    python examples/stream.py --url localhost:8001 --model resnet50 --folder photos
    python examples/stream.py --url localhost:8001 --model resnet50 --count 10000

Without a folder it draws its images itself, one after the other as they are needed: the stream is a generator, and
nothing holds all of it. An image that cannot be read is counted and does not end the stream. At the end it prints how
many images of each class there were, how fast it went, and, for drawn images, how much memory the process took on
since the first tenth.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from camserve.clients import Classifier, Pixels, find_images
from camserve.errors import CamserveError


def draw(count: int, side: int = 64) -> Iterator[Pixels]:
    """Images of one bright spot each, somewhere, in some colour."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for _ in range(count):
        row, column = random.integers(0, side, 2)
        spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * (side / 8) ** 2))
        yield Pixels((spot[..., np.newaxis] * random.integers(0, 256, 3)).astype(np.uint8), "rgb")


def megabytes() -> float:
    """The most memory that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def main() -> None:
    """Asks a served model for every image of a stream."""
    parser = argparse.ArgumentParser(description="Classify a stream of images.")
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--folder", type=Path, help="images to classify; drawn ones unless given")
    parser.add_argument("--count", type=int, default=10_000, help="how many images to draw")
    parser.add_argument("--concurrency", type=int, default=8, help="how many requests are under way at once")
    arguments = parser.parse_args()

    drawn = arguments.folder is None
    images = draw(arguments.count) if drawn else find_images([arguments.folder])
    seen: Counter[str] = Counter()
    failed, settled, began = 0, 0.0, time.monotonic()
    with Classifier(arguments.url, arguments.model) as classifier:
        answers = classifier.classify_many(images, top=1, concurrency=arguments.concurrency, errors="yield")
        for number, answer in enumerate(answers, 1):
            if isinstance(answer, CamserveError):
                failed += 1
                print(f"image {number}: {answer}", file=sys.stderr)
            else:
                seen[answer.top[0].label] += 1
            if number <= max(1, arguments.count // 10):
                settled = megabytes()
    seconds = time.monotonic() - began

    for label, times in seen.most_common(10):
        print(f"{times:8,}  {label}")
    total = seen.total() + failed
    print(f"{total:,} images in {seconds:.1f} s, {total / seconds:,.0f} a second; {failed:,} failed")
    if drawn:
        print(f"memory grew by {megabytes() - settled:.1f} MB after the first tenth")


if __name__ == "__main__":
    main()
