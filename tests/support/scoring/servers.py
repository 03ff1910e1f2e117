"""The servers that are scored against: the embedded Triton, and one that answers at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.process_usage import descendants, processor_seconds
from support.scoring.measured_program import CAMSERVE

from camserve.serving import TritonServer

__all__ = ["Served", "instant", "triton"]

MAX_BATCH = 64
_TESTS = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A served model.

    Attributes:
        url: Address of the server.
        model: Name of the model.
        pid: Process ID of the server.
    """

    url: str
    model: str
    pid: int

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `camserve score` for it."""
        return ("--model", self.model, "--url", self.url)

    def processor_seconds(self) -> float:
        """Return the processor time that the server has used, in seconds."""
        return sum(map(processor_seconds, (self.pid, *descendants(self.pid))))


@contextmanager
def triton(bundle: Path, folder: Path, preset: str = "cpu-throughput") -> Iterator[Served]:
    """Serve a bundle by the embedded Triton with the options of a preset."""
    words = ["--repository", folder / "repository", "--name", "resnet50", "--preset", preset, "--quiet"]
    subprocess.run([CAMSERVE, "publish", bundle, *map(str, words)], check=True, capture_output=True)
    with TritonServer(folder / "repository", start_timeout=300, allow_shared_memory=True) as server:
        yield Served(server.grpc_url, "resnet50", server.pid)


@contextmanager
def instant(bundle: Path) -> Iterator[Served]:
    """Start the server that answers at once."""
    words = [sys.executable, "-m", "support.scoring.instant_server", str(bundle), "--max-batch", str(MAX_BATCH)]
    environment = os.environ | {"PYTHONPATH": str(_TESTS)}
    program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert program.stdout is not None
    try:
        yield Served(program.stdout.readline().strip(), "instant", program.pid)
    finally:
        program.kill()
        program.communicate()
