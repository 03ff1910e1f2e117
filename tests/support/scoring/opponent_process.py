"""The processes of `opponents`, which wait between their parts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Opponent", "Speed", "opened"]

_TESTS = Path(__file__).parents[2]


@dataclass(frozen=True)
class Speed:
    """How fast something is.

    Attributes:
        rate: Images per second.
        cpu: Processor time of an image, in seconds.
        server_cpu: Processor time of an image in the server, in seconds.
        start: Seconds before the first image; None if it was not measured.
    """

    rate: float
    cpu: float
    server_cpu: float = 0.0
    start: float | None = None


class Opponent:
    """One or several equal processes that share the images of each part."""

    def __init__(self, programs: Sequence[subprocess.Popen[str]]) -> None:
        self._programs = programs
        for program in programs:
            _line(program)

    def run(self, count: int) -> Speed:
        """Process so many images, the same number in each process."""
        share = -(-count // len(self._programs))
        images = share * len(self._programs)
        began = time.perf_counter()
        for program in self._programs:
            assert program.stdin is not None
            program.stdin.write(f"{share}\n")
            program.stdin.flush()
        processor = sum(float(_line(program)) for program in self._programs)
        return Speed(images / (time.perf_counter() - began), processor / images)


@contextmanager
def opened(*words: str | Path, processes: int = 1) -> Iterator[Opponent]:
    """Start the processes, and end them afterwards."""
    command = [sys.executable, "-m", "support.scoring.opponents", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(_TESTS)}
    with ExitStack() as stack:
        programs = []
        for _ in range(processes):
            program = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            stack.callback(_end, program)
            programs.append(program)
        yield Opponent(programs)


def _line(program: subprocess.Popen[str]) -> str:
    """Return the next line of a process.

    Raises:
        RuntimeError: If it has ended.
    """
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise RuntimeError(f"{program.args!r} ended")
    return line


def _end(program: subprocess.Popen[str]) -> None:
    program.kill()
    program.communicate()
