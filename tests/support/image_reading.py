"""Reads images in a process of its own, and reports what time and memory that took there.

Run it in `tests/`: `python -m support.image_reading mutants COUNT SEED`, or `... files PATH...`; it prints JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["read_apart"]

_SECONDS = 300


def read_apart(*words: str | Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Runs this module as a program, and returns what it reported; its death is an error that names its signal."""
    process = subprocess.run(
        [sys.executable, "-m", "support.image_reading", *map(str, words)],
        capture_output=True,
        timeout=_SECONDS,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **(environment or {})},
    )
    report: dict[str, Any] = json.loads(process.stdout)
    return report


def _of_mutants(count: int, seed: int) -> dict[str, Any]:
    from support.image_files import mutants, seeds

    from camserve.clients.images.decode_options import DecodeOptions
    from camserve.clients.images.loading import load_image
    from camserve.errors import ImageError

    files = seeds()
    for data in files:
        load_image(data)
    _forget_peak()
    before = _memory("VmRSS")
    read, refused, slowest = 0, 0, 0.0
    for number, data in enumerate(mutants(files, count, seed=seed)):
        begin = time.perf_counter()
        try:
            load_image(data, DecodeOptions(exif=number % 2 == 1))
            read += 1
        except ImageError:
            refused += 1
        slowest = max(slowest, time.perf_counter() - begin)
    growth, peak = (_memory(name) - before for name in ("VmRSS", "VmHWM"))
    return {
        "seeds": len(files), "read": read, "refused": refused, "slowest": slowest, "growth": growth, "peak": peak,
    }  # fmt: skip


def _of_files(paths: Sequence[str]) -> dict[str, Any]:
    from camserve.clients.images.loading import load_image
    from camserve.errors import ImageError

    found = {}
    for path in paths:
        _forget_peak()
        before, begin, error = _memory("VmRSS"), time.perf_counter(), None
        try:
            load_image(path)
        except ImageError as refusal:
            error = str(refusal)
        found[path] = {
            "error": error, "seconds": time.perf_counter() - begin, "growth": _memory("VmHWM") - before,
        }  # fmt: skip
    return found


def _forget_peak() -> None:
    """Sets the peak of resident memory to what is resident now (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Bytes of resident memory, now (VmRSS) or at its peak (VmHWM)."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"/proc/self/status says no {name}")
    return int(found[1]) * 1024


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    kind, *given = sys.argv[1:]
    report = _of_mutants(*map(int, given)) if kind == "mutants" else _of_files(given)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
