"""Measure what a server with many models costs: start, processes, memory, descriptors and shared memory.

    python benchmarks/many_models.py --models 1,20,60 --load-threads default,1,2,4

`--load-threads` sets Triton's `--model-load-thread-count`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.toy import write_toy_bundle

from camserve.serving import TritonServer, publish
from camserve.serving.server import launch
from camserve.serving.server.command import server_command


def main() -> None:
    """Print one line for each number of models and of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="1,20,60", help="numbers of models")
    parser.add_argument("--load-threads", default="default", help="numbers of threads that load models")
    options = parser.parse_args()
    print("| models | threads that load | start s | processes | threads | memory MB | descriptors | /dev/shm MB |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_toy_bundle(Path(folder) / "bundle")
        for count in map(int, options.models.split(",")):
            repository = Path(folder) / str(count)
            for number in range(count):
                publish(bundle, repository, name=f"model{number}")
            for threads in options.load_threads.split(","):
                print(f"| {count} | {threads} | {measure(repository, threads)} |", flush=True)


def measure(repository: Path, threads: str) -> str:
    """Start a server and return the cells of its line."""

    def command(*arguments: object, **options: object) -> list[str]:
        flags = [] if threads == "default" else [f"--model-load-thread-count={threads}"]
        return [*server_command(*arguments, **options), *flags]  # type: ignore[arg-type]

    with mock.patch.object(launch, "server_command", command):
        server = TritonServer(repository, start_timeout=600)
        began = time.monotonic()
        server.start()
        seconds = time.monotonic() - began
    if server._run is None:
        raise SystemExit("the server ended")
    name = server._run.scratch.name
    try:
        members = group(os.getpgid(server.pid))
        memory = sum(proportional_size(pid) for pid in members)
        tasks = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in members)
        descriptors = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
        shared = sum(each.stat().st_blocks * 512 for each in Path("/dev/shm").glob(f"{name}*"))
    finally:
        server.stop(grace=0)
    return f"{seconds:.1f} | {len(members)} | {tasks} | {memory / 1e6:.0f} | {descriptors} | {shared / 1e6:.0f}"


def group(leader: int) -> list[int]:
    """Return the processes in a process group."""
    stats = ((int(path.parent.name), path.read_text()) for path in Path("/proc").glob("[0-9]*/stat") if path.exists())
    return [pid for pid, stat in stats if int(stat.rpartition(")")[2].split()[2]) == leader]


def proportional_size(pid: int) -> int:
    """Return the memory of a process in bytes; what several processes share is divided among them."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
