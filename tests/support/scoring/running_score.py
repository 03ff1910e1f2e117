"""`camserve score` between the parts of a comparison: it runs while it is measured, and is suspended otherwise."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from support.process_usage import descendants, is_running, processor_seconds
from support.scoring.measured_program import CAMSERVE
from support.scoring.opponent_process import Speed
from support.scoring.servers import Served
from support.scoring_faults import RecordWatch
from support.suspending import wait_until_suspended

__all__ = ["RunningScore", "running_score"]

_TIMEOUT = 600
"""Seconds of a request, which go on while the program is suspended."""

_SAMPLE_SECONDS = 0.1
_IDLE_SHARE = 0.25
"""Part of one core that an idle server may use."""


class RunningScore:
    """A run with more images than are measured.

    Args:
        program: The program.
        record: Its record, which tells the finished rows.
        first: Number of images that are scored before the first part: requests are short at first.
        server: The server, if there is one.
        drained: Whether a part ends when the server has answered the pending requests, so that it does not do so in the
            next part. It is not suspended: Triton ends backend processes that do not reply.

    Attributes:
        pids: The process IDs of the program and its child processes.

    Raises:
        RuntimeError: If the program ends.
    """

    def __init__(
        self, program: subprocess.Popen[str], record: RecordWatch, first: int, server: Served | None, drained: bool
    ) -> None:
        self._program = program
        self._record = record
        self._server = server
        self._drained = server if drained else None
        began = time.perf_counter()
        self._wait(1)
        self._start = time.perf_counter() - began
        self._wait(first)
        self.pids = list(filter(is_running, (program.pid, *descendants(program.pid))))
        self.suspend()

    def run(self, seconds: float) -> Speed:
        """Go on for so many seconds.

        Raises:
            RuntimeError: If the program ends, or an image has an error.
        """
        rows, cpu, server_cpu = self._used()
        began = time.perf_counter()
        self.resume()
        with suppress(subprocess.TimeoutExpired):
            self._program.wait(seconds)
        elapsed = self.suspend() - began
        after = self._used()
        images = max(1, after[0] - rows)
        return Speed(images / elapsed, (after[1] - cpu) / images, (after[2] - server_cpu) / images, self._start)

    def suspend(self) -> float:
        """Suspend the program, and return when the part ended, in seconds of `time.perf_counter`.

        Raises:
            RuntimeError: If the program has ended.
        """
        if self._program.poll() is not None:
            raise RuntimeError(f"{self._program.args!r} ended: {self._program.communicate()}")
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in self.pids:
            wait_until_suspended(pid)
        return time.perf_counter() if self._drained is None else _wait_until_idle(self._drained)

    def resume(self) -> None:
        """Let the program go on."""
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)

    def processor_seconds(self) -> float:
        """Return the processor time that the program and its child processes have used, in seconds."""
        return sum(map(processor_seconds, self.pids))

    def _used(self) -> tuple[int, float, float]:
        """Return the finished rows, and the processor time of the program and of the server."""
        content = self._record.path.read_bytes()
        if b'"error":' in content:
            raise RuntimeError(f"an image has an error: {self._record.path}")
        server = self._server.processor_seconds() if self._server else 0.0
        return content.count(b"\n"), self.processor_seconds(), server

    def _wait(self, rows: int) -> None:
        if not self._record.wait(rows, self._program):
            raise RuntimeError(f"{self._program.args!r} ended: {self._program.communicate()}")


def _wait_until_idle(server: Served) -> float:
    """Wait until a server is idle, and return since when it is, in seconds of `time.perf_counter`."""
    while True:
        since, before = time.perf_counter(), server.processor_seconds()
        time.sleep(_SAMPLE_SECONDS)
        if server.processor_seconds() - before < _IDLE_SHARE * _SAMPLE_SECONDS:
            return since


@contextmanager
def running_score(
    images: Path, *options: str | Path, first: int, server: Served | None = None, drained: bool = False
) -> Iterator[RunningScore]:
    """Start `camserve score` on a folder of images, and end it afterwards, without a table."""
    with tempfile.TemporaryDirectory(prefix="camserve-running-") as folder:
        output = Path(folder, "answers.parquet")
        words: Sequence[str | Path] = (CAMSERVE, "score", images, "--output", output, *options)
        if server is not None:
            words = (*words, *server.options, "--timeout", str(_TIMEOUT))
        program = subprocess.Popen(
            [os.fspath(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            running = RunningScore(program, RecordWatch(output), first, server, drained)
            try:
                yield running
            finally:
                running.resume()
        finally:
            program.kill()
            program.communicate()  # until the workers have ended, too, which write to the same pipe
