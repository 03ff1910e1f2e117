"""Run `camserve score`: to its end, under a limit, or while its memory is measured."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from support.command_line import PROGRAM
from support.process_usage import descendants, resident
from support.scoring_faults import score

__all__ = ["peak_of", "require", "run", "run_limited"]


def run(*words: str | Path) -> str:
    """Run `camserve score`, which must succeed, and return what it prints."""
    process = score(*words)
    printed, errors = process.communicate()
    require(process.returncode == 0, f"exit code {process.returncode}: {errors}")
    return printed


def run_limited(limit: str, *words: str | Path) -> tuple[int, str]:
    """Run `camserve score` under a limit of the shell's `ulimit`, and return its exit code and stderr."""
    command = ["bash", "-c", f'ulimit {limit} && exec "$@"', "bash", PROGRAM, "score", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def peak_of(*words: str | Path, codes: tuple[int, ...] = (0,)) -> tuple[int, dict[str, float]]:
    """Run `camserve score`, and return the largest memory of all its processes at once in bytes, and what it prints."""
    process, peak = score(*words), 0
    while process.poll() is None:
        try:
            peak = max(peak, sum(resident(pid) for pid in (process.pid, *descendants(process.pid))))
        except (OSError, IndexError, ValueError):  # one of them has ended
            continue
        time.sleep(0.1)
    printed, errors = process.communicate()
    require(process.returncode in codes, f"exit code {process.returncode}: {errors}")
    return peak, json.loads(printed)


def require(condition: bool, message: str) -> None:
    """Fail unless a condition is met."""
    if not condition:
        raise RuntimeError(message[-2000:])
