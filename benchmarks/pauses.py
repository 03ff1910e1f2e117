"""How often Triton's dynamic batcher leaves a request waiting for half a second, and what helps.

Usage: python benchmarks/pauses.py [--seconds 5]

A toy network that answers in a millisecond is asked by so many requests at once, in configurations that differ in one
thing each. A request that takes over 100 ms has waited in the queue of an idle instance until the batcher looked again,
which it does every half second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
from support.load_generator import Load, connected, send
from support.toy import toy_images, write_toy_bundle

from camserve.serving import TritonServer, publish

CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "as published": {},
    "no delay": {"max_queue_delay_us": 0},
    "a bound of 256": {"max_queue_size": 256},
    "a time-out of 10 s": {"queue_timeout_us": 10_000_000},
    "a bound, two copies": {"max_queue_size": 256, "instances": 2},
}
LOADS = (Load(1, 1), Load(1, 4), Load(8, 4), Load(1, 16))
PAUSE = 0.1  # seconds


def main() -> None:
    """Prints a row for each configuration and load."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    seconds = parser.parse_args().seconds
    print("| configuration | images in a request | requests at once | requests | over 100 ms | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_toy_bundle(Path(folder) / "bundle", size=(64, 64))
        images = toy_images(bundle, 8)
        for number, (name, options) in enumerate(CONFIGURATIONS.items()):
            repository = Path(folder) / str(number)
            publish(bundle, repository, options=options)
            with TritonServer(repository) as server, connected(server.grpc_url) as client:
                for load in LOADS:
                    taken = send(client, "toy", images, load, seconds).seconds
                    pauses = sum(each > PAUSE for each in taken)
                    p50, p99 = np.percentile(taken, [50, 99]) * 1e3
                    figures = f"{len(taken)} | {pauses} | {p50:.1f} | {p99:.1f}"
                    print(f"| {name} | {load.batch} | {load.concurrency} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
