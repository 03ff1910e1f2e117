"""How often Triton's dynamic batcher delays a request by half a second, and which options avoid it.

Usage: python benchmarks/pauses.py [--seconds 5]

Concurrent requests are sent to a toy network that answers within a millisecond, in configurations that differ in one
option each. A request that takes more than 100 ms has waited in the queue of an idle instance until the batcher checked
the queue again, which it does every half second.
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
    "default options": {},
    "no delay": {"max_queue_delay_us": 0},
    "queue size 256": {"max_queue_size": 256},
    "queue timeout 10 s": {"queue_timeout_us": 10_000_000},
    "queue size 256, 2 instances": {"max_queue_size": 256, "instances": 2},
}
LOADS = (Load(1, 1), Load(1, 4), Load(8, 4), Load(1, 16))
PAUSE = 0.1  # seconds


def main() -> None:
    """Print a row for each configuration and load."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds per load")
    seconds = parser.parse_args().seconds
    print("| configuration | images per request | concurrent requests | requests | over 100 ms | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_toy_bundle(Path(folder) / "bundle", size=(64, 64))
        images = toy_images(bundle, 8)
        for number, (name, options) in enumerate(CONFIGURATIONS.items()):
            repository = Path(folder) / str(number)
            publish(bundle, repository, options=options)
            with TritonServer(repository) as server, connected(server.grpc_url) as client:
                for load in LOADS:
                    durations = send(client, "toy", images, load, seconds).seconds
                    pauses = sum(each > PAUSE for each in durations)
                    p50, p99 = np.percentile(durations, [50, 99]) * 1e3
                    metrics = f"{len(durations)} | {pauses} | {p50:.1f} | {p99:.1f}"
                    print(f"| {name} | {load.batch} | {load.concurrency} | {metrics} |", flush=True)


if __name__ == "__main__":
    main()
