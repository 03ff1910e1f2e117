"""Score images while everything fails that can, and print what came of it.

Usage: python benchmarks/scoring_faults.py [PART ...] [--quick]

PART is one or more of: server, scorer, signals, disk, descriptors, bad, names, memory, listed (default: all). The model
is the toy model of the tests, served by the embedded Triton; images are drawn. Tables are compared byte by byte with
that of a run without a fault. It takes about 20 minutes on two busy cores; `--quick` takes a tenth of the counts.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.disposable_server import DisposableServer
from support.scoring.faults.images import add_bad_image, list_many, score_many, use_odd_names
from support.scoring.faults.interruptions import kill_scorer, kill_server, send_signals
from support.scoring.faults.scarce import fill_disk, limit_descriptors
from support.scoring.faults.setting import Row, Setting
from support.toy import write_toy_bundle

from camserve.serving import publish

PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    "server": kill_server,
    "scorer": kill_scorer,
    "signals": send_signals,
    "disk": fill_disk,
    "descriptors": limit_descriptors,
    "bad": add_bad_image,
    "names": use_odd_names,
    "memory": score_many,
    "listed": list_many,
}


def main() -> None:
    """Print a table with a row for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for programs in the background
    print("| fault | repetitions | result |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="camserve-faults-") as name:
        folder = Path(name)
        repository = folder / "repository"
        publish(write_toy_bundle(folder / "bundle"), repository, options={"max_batch_size": 8})
        with DisposableServer(repository, allow_shared_memory=True) as server:
            setting = Setting(folder, server, repository, quick=arguments.quick)
            for part in arguments.parts or PARTS:
                began = time.monotonic()
                for row in PARTS[part](setting):
                    print(f"| {row.fault} | {row.repetitions} | {row.result} |", flush=True)
                print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
