"""Decode images in a subprocess, and report its time and memory.

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

__all__ = ["read_in_subprocess"]

_SECONDS = 300


def read_in_subprocess(*arguments: str | Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run this module as a program and return its report; an error names the signal if it was killed."""
    process = subprocess.run(
        [sys.executable, "-m", "support.image_reading", *map(str, arguments)],
        capture_output=True,
        timeout=_SECONDS,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **(environment or {})},
    )
    if process.stderr:
        raise ValueError(f"the decoders wrote to standard error: {process.stderr[:500]!r}")
    report: dict[str, Any] = json.loads(process.stdout)
    return report


def _decode_mutants(count: int, seed: int) -> dict[str, Any]:
    from support.image_files import mutants, seeds

    from camserve.errors import ImageError
    from camserve.images.decode_options import DecodeOptions
    from camserve.images.loading import load_image

    files = seeds()
    for data in files:
        load_image(data)
    _reset_peak()
    before = _memory("VmRSS")
    read, refused, slowest = 0, 0, 0.0
    for number, data in enumerate(mutants(files, count, seed=seed)):
        start = time.process_time()  # other programs do not prolong it
        try:
            load_image(data, DecodeOptions(exif=number % 2 == 1))
            read += 1
        except ImageError:
            refused += 1
        slowest = max(slowest, time.process_time() - start)
    growth, peak = (_memory(name) - before for name in ("VmRSS", "VmHWM"))
    return {
        "seeds": len(files), "read": read, "refused": refused, "slowest": slowest, "growth": growth, "peak": peak,
    }  # fmt: skip


def _decode_files(paths: Sequence[str]) -> dict[str, Any]:
    from camserve.errors import ImageError
    from camserve.images.loading import load_image

    found = {}
    for path in paths:
        _reset_peak()
        before, start, error = _memory("VmRSS"), time.perf_counter(), None
        try:
            load_image(path)
        except ImageError as refusal:
            error = str(refusal)
        found[path] = {
            "error": error, "seconds": time.perf_counter() - start, "growth": _memory("VmHWM") - before,
        }  # fmt: skip
    return found


def _reset_peak() -> None:
    """Reset the peak of resident memory to its current value (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Return the resident memory in bytes: current (VmRSS) or peak (VmHWM)."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"/proc/self/status has no {name}")
    return int(found[1]) * 1024


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    kind, *arguments = sys.argv[1:]
    report = _decode_mutants(*map(int, arguments)) if kind == "mutants" else _decode_files(arguments)
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
