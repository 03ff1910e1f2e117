"""Classify a stream of images of any length, in order and in constant memory.

    python examples/classify_stream.py --url localhost:8001 --model resnet50 --folder photos
    python examples/classify_stream.py --url localhost:8001 --model resnet50 --count 10000

Without --folder, a generator draws each image when it is needed. An image that cannot be read is counted and does not
end the stream. At the end, prints the number of images of each class, the throughput and, for drawn images, the growth
of the process's memory after the first tenth of the stream.
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


def draw_images(count: int, side: int = 64) -> Iterator[Pixels]:
    """Yield images with one bright spot at a random place, in a random color."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for _ in range(count):
        row, column = random.integers(0, side, 2)
        spot = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * (side / 8) ** 2))
        yield Pixels((spot[..., np.newaxis] * random.integers(0, 256, 3)).astype(np.uint8), "rgb")


def peak_memory() -> float:
    """Return the peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def main() -> None:
    """Classify every image of a stream."""
    parser = argparse.ArgumentParser(description="Classify a stream of images.")
    parser.add_argument("--url", default="localhost:8001", help="gRPC address of Triton (default: localhost:8001)")
    parser.add_argument("--model", default="resnet50", help="name of the model (default: resnet50)")
    parser.add_argument("--folder", type=Path, help="folder of images (default: draw images)")
    parser.add_argument("--count", type=int, default=10_000, help="number of images to draw (default: 10000)")
    parser.add_argument("--concurrency", type=int, default=8, help="requests in flight (default: 8)")
    arguments = parser.parse_args()

    drawn = arguments.folder is None
    images = draw_images(arguments.count) if drawn else find_images([arguments.folder])
    classes: Counter[str] = Counter()
    failed, memory, start = 0, 0.0, time.monotonic()
    with Classifier(arguments.url, arguments.model) as classifier:
        results = classifier.classify_many(images, top=1, concurrency=arguments.concurrency, errors="yield")
        for number, result in enumerate(results, 1):
            if isinstance(result, CamserveError):
                failed += 1
                print(f"image {number}: {result}", file=sys.stderr)
            else:
                classes[result.top[0].label] += 1
            if number <= max(1, arguments.count // 10):
                memory = peak_memory()
    seconds = time.monotonic() - start

    for label, count in classes.most_common(10):
        print(f"{count:8,}  {label}")
    total = classes.total() + failed
    print(f"{total:,} images in {seconds:.1f} s ({total / seconds:,.0f} images/s), {failed:,} failed")
    if drawn:
        print(f"Memory growth after the first tenth: {peak_memory() - memory:.1f} MB")


if __name__ == "__main__":
    main()
