"""Time and peak memory of `camserve export`, phase by phase, the import of TensorFlow included.

Usage: python benchmarks/export.py [SOURCE ...]      (default: resnet50; random weights, both formats)

Each export runs in a process of its own, as from the command line; the peak is that process's resident memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("camserve")


def measure(source: str) -> tuple[float, float, str]:
    """Seconds, peak gigabytes, and what the program told of its phases."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        arguments = ["export", source, "--weights", "none", "--out", str(Path(folder) / "bundle")]
        began = time.perf_counter()
        process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        log.seek(0)
        told = log.read()
    if status != 0:
        raise SystemExit(f"export {source} failed:\n{told}")
    return seconds, usage.ru_maxrss / 1e6, told


def main() -> None:
    """Exports each source and prints a line for it."""
    for source in sys.argv[1:] or ["resnet50"]:
        seconds, gigabytes, told = measure(source)
        print(f"{told}{source}: {seconds:.1f} s, {gigabytes:.2f} GB at most\n")


if __name__ == "__main__":
    main()
