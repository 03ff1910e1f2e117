"""The servers that are scored against: the embedded Triton, and one that answers at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.scoring.measured_program import CAMSERVE

from camserve.serving import TritonServer

__all__ = ["MODEL", "instant", "processor_seconds", "triton"]

MODEL = "instant"
MAX_BATCH = 64
_TESTS = Path(__file__).parents[2]


@contextmanager
def triton(bundle: Path, folder: Path, preset: str = "cpu-throughput") -> Iterator[tuple[str, str]]:
    """Serve a bundle by the embedded Triton with the options of a preset; yield its address and the model's name."""
    words = ["--repository", folder / "repository", "--name", "resnet50", "--preset", preset, "--quiet"]
    subprocess.run([CAMSERVE, "publish", bundle, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    with TritonServer(folder / "repository", start_timeout=300, allow_shared_memory=True) as server:
        yield server.grpc_url, "resnet50"


@contextmanager
def instant(bundle: Path) -> Iterator[tuple[str, int]]:
    """Start the server that answers at once; yield its address and process ID."""
    words = [sys.executable, "-m", "support.scoring.instant_server", str(bundle), "--max-batch", str(MAX_BATCH)]
    environment = os.environ | {"PYTHONPATH": str(_TESTS)}
    program = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    assert program.stdout is not None
    try:
        yield program.stdout.readline().strip(), program.pid
    finally:
        program.kill()
        program.communicate()


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
