"""Run a program, and measure its time, processor time and memory, those of its child processes included."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from support.process_usage import descendants

__all__ = ["CAMSERVE", "Measured", "measure"]

CAMSERVE = Path(sys.executable).parent / "camserve"
_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Measured:
    """What a program took.

    Attributes:
        seconds: From its start to its end.
        cpu: Processor time in seconds, of its child processes too.
        peak: The largest resident memory of each of its processes, added, in bytes; 0 if it was not measured.
        processes: The largest number of processes at once; 0 if it was not measured.
        output: What it printed.
    """

    seconds: float
    cpu: float
    peak: int
    processes: int
    output: str


def measure(words: Sequence[str | Path], *, memory: bool = False) -> Measured:
    """Run a program to its end.

    Args:
        words: Its command line.
        memory: Whether to measure its memory, which takes processor time itself.

    Raises:
        RuntimeError: If it fails.
    """
    peaks: dict[int, int] = {}
    began = time.perf_counter()
    program = subprocess.Popen(
        [os.fspath(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while memory and os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        for pid in (program.pid, *descendants(program.pid)):
            with suppress(OSError, StopIteration):
                peaks[pid] = _peak(pid)
        time.sleep(_SAMPLE_SECONDS)
    assert program.stdout is not None
    assert program.stderr is not None
    output, errors = program.stdout.read(), program.stderr.read()
    _, status, usage = os.wait4(program.pid, 0)
    seconds = time.perf_counter() - began
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} exited with {program.returncode}: {errors}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, sum(peaks.values()), len(peaks), output)


def _peak(pid: int) -> int:
    """Return the largest resident memory that a process had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
