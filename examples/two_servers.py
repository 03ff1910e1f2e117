"""Two servers of one model: they share the work, and when one goes the other takes over unnoticed.

    python examples/two_servers.py cat.jpg --url host-a:8001,host-b:8001 --model resnet50 --count 1000

It asks for the same image again and again, prints a line whenever another server begins or ceases to answer, and at
the end how many answers came from each. Stop one of the servers meanwhile: no answer is lost. Start it again: after a
few seconds it gets its share once more.
"""

from __future__ import annotations

import argparse
from collections import Counter, deque
from itertools import repeat
from pathlib import Path

from camserve.clients import Classifier

RECENT = 50


def main() -> None:
    """Asks two servers for one image, many times."""
    parser = argparse.ArgumentParser(description="Classify by two servers, one of which may go.")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--url", default="localhost:8001,localhost:9001", help="gRPC addresses of the Tritons")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()

    answered: Counter[str] = Counter()
    recent: deque[str] = deque(maxlen=RECENT)
    by: set[str] = set()
    with Classifier(arguments.url, arguments.model) as classifier:
        for result in classifier.classify_many(repeat(arguments.image, arguments.count), top=1):
            answered[result.url] += 1
            recent.append(result.url)
            if len(recent) == RECENT and set(recent) != by:
                by = set(recent)
                print(f"after {answered.total():,}: {' and '.join(sorted(by))}", flush=True)
    for url, times in sorted(answered.items()):
        print(f"{url} answered {times:,}")
    print(f"{answered.total():,} of {arguments.count:,} answered")


if __name__ == "__main__":
    main()
