"""Share requests between two servers of one model, one of which may stop.

    python examples/two_servers.py cat.jpg --url host-a:8001,host-b:8001 --model resnet50 --count 1000

Classifies the same image many times, and prints a line whenever the set of servers that answer changes. Stop one of
the servers meanwhile: no request fails. Start it again: it gets requests again after a few seconds.
"""

from __future__ import annotations

import argparse
from collections import Counter, deque
from itertools import repeat
from pathlib import Path

from camserve.clients import Classifier

RECENT = 50


def main() -> None:
    """Classify one image many times on two servers."""
    parser = argparse.ArgumentParser(description="Classify on two servers, one of which may stop.")
    parser.add_argument("image", type=Path)
    parser.add_argument(
        "--url", default="localhost:8001,localhost:9001", help="gRPC addresses (default: localhost:8001,localhost:9001)"
    )
    parser.add_argument("--model", default="resnet50", help="name of the model (default: resnet50)")
    parser.add_argument("--count", type=int, default=1000, help="number of requests (default: 1000)")
    arguments = parser.parse_args()

    counts: Counter[str] = Counter()
    recent: deque[str] = deque(maxlen=RECENT)
    active: set[str] = set()
    with Classifier(arguments.url, arguments.model) as classifier:
        for result in classifier.classify_many(repeat(arguments.image, arguments.count), top=1):
            counts[result.url] += 1
            recent.append(result.url)
            if len(recent) == RECENT and set(recent) != active:
                active = set(recent)
                print(f"after {counts.total():,} requests: {' and '.join(sorted(active))}", flush=True)
    for url, count in sorted(counts.items()):
        print(f"{url}: {count:,} requests")
    print(f"{counts.total():,} of {arguments.count:,} requests succeeded")


if __name__ == "__main__":
    main()
