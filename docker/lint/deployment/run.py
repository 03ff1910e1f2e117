"""Run all checks and print one line per fault."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deployment import composition, dashboards, images, kubernetes, prometheus

__all__ = ["CHECKS", "main"]

ROOT = Path(__file__).parents[2]

CHECKS: Mapping[str, Callable[[Path], list[str]]] = {
    "images": images.check,
    "compose": composition.check,
    "kubernetes": kubernetes.check,
    "prometheus": prometheus.check,
    "dashboards": dashboards.check,
}
"""Checks by name; each receives the folder `docker/` and returns its faults."""


def main(root: Path = ROOT) -> int:
    """Run every check and return the exit code: 0 without faults, else 1."""
    start = time.monotonic()
    faults = [f"{name}: {fault}" for name, check in CHECKS.items() for fault in check(root)]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    if not faults:
        sys.stdout.write(f"docker/: {', '.join(CHECKS)} checked in {time.monotonic() - start:.1f} s\n")
    return 1 if faults else 0
