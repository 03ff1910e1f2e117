"""Faults while `camserve score` runs: the server or the scorer is killed, again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from support.command_line import PROGRAM
from support.disposable_server import DisposableServer

__all__ = ["RecordWatch", "draw_images", "keys_of", "score", "score_while_killed", "score_while_the_server_is_killed"]

_SECONDS = 300.0
_POLL_SECONDS = 0.002
_PER_FOLDER = 100
_KEY = slice(27, 43)


def draw_images(folder: Path, count: int, *, size: int = 12) -> Path:
    """Write so many images of noise, each another, into folders of a hundred."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    for number, each in enumerate(pixels):
        path = folder / f"{number // _PER_FOLDER:05}" / f"{number:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each).save(path, compress_level=1)
    return folder


class RecordWatch:
    """Counts the rows of a record while they are written.

    Args:
        output: The table.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.name}.unfinished")

    def rows(self) -> int:
        """Return the number of rows that are recorded now."""
        return max(0, self.path.read_bytes().count(b"\n") - 1) if self.path.exists() else 0

    def wait(self, rows: int, process: subprocess.Popen[str]) -> bool:
        """Wait until so many rows are recorded; return False if the process ends before."""
        end, read, found = time.monotonic() + _SECONDS, 0, -1
        while process.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"{found} of {rows} rows after {_SECONDS:g} s")
            if self.path.exists():
                with self.path.open("rb") as stream:
                    stream.seek(read)
                    new = stream.read()
                read, found = read + len(new), found + new.count(b"\n")
                if found >= rows:
                    return True
            time.sleep(_POLL_SECONDS)
        return False


def keys_of(record: Path) -> list[bytes]:
    """Return the key of each complete row of a record."""
    return [line[_KEY] for line in record.read_bytes().split(b"\n")[1:-1]]


def score(*words: str | Path) -> subprocess.Popen[str]:
    """Start `camserve score`."""
    command = [PROGRAM, "score", *(os.fspath(word) for word in words), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def score_while_the_server_is_killed(
    words: Sequence[str | Path], output: Path, repository: Path, *, rows: int, kills: int, seed: int = 0
) -> tuple[int, str, str]:
    """Score while the server is killed and started again, so often and evenly over the rows.

    Args:
        words: Arguments of `camserve score`, without `--url` and `--output`.
        output: The table.
        repository: The model repository of the server.
        rows: Number of images.
        kills: Number of kills.
        seed: Of the random moments.

    Returns:
        Number of kills, and what the program printed.

    Raises:
        RuntimeError: If scoring failed.
    """
    moment, watch, killed = random.Random(seed), RecordWatch(output), 0
    server = DisposableServer(repository, allow_shared_memory=True)
    server.start()
    port = int(server.grpc_url.rpartition(":")[2])
    process = score(*words, "--url", server.grpc_url, "--output", output)
    try:
        for number in range(kills):
            if not watch.wait(rows * (number + 1) // (kills + 2), process):
                break
            time.sleep(moment.uniform(0, 0.01))
            os.kill(server.pid, signal.SIGKILL)
            killed += 1
            server.stop(grace=0)
            server = DisposableServer(repository, allow_shared_memory=True, grpc_port=port)
            server.start()
        printed, errors = process.communicate(timeout=_SECONDS)
    finally:
        process.kill()
        server.stop(grace=0)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode} after {killed} kills: {errors}")
    return killed, printed, errors


def score_while_killed(
    words: Sequence[str | Path], output: Path, *, rows: int, kills: int, seed: int = 0
) -> tuple[str, str]:
    """Score in a program that is killed and resumed, so often and evenly over the rows, and in the end is not.

    Every third time, the end of the record is cut off, as it may be when a host loses power.

    Args:
        words: Arguments of `camserve score`, without `--output`.
        output: The table.
        rows: Number of images.
        kills: Number of kills.
        seed: Of the random moments.

    Returns:
        What the last program printed.

    Raises:
        RuntimeError: If a program ended by itself before it was killed, a row was recorded twice, or scoring failed.
    """
    moment, watch = random.Random(seed), RecordWatch(output)
    for number in range(kills):
        process = score(*words, "--output", output, "--resume", "--workers", str(moment.choice((0, 2))))
        if not watch.wait(max(watch.rows() + 1, rows * (number + 1) // (kills + 2)), process):
            raise RuntimeError(f"ended before kill {number + 1}: {process.communicate()}")
        time.sleep(moment.uniform(0, 0.01))
        process.kill()
        process.communicate()
        keys = keys_of(watch.path)
        if len(keys) != len(set(keys)):
            raise RuntimeError(f"{len(keys) - len(set(keys))} rows are recorded twice after kill {number + 1}")
        if number % 3 == 0:
            os.truncate(watch.path, watch.path.stat().st_size - moment.randint(1, 300))
    process = score(*words, "--output", output, "--resume")
    printed, errors = process.communicate(timeout=_SECONDS)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {errors}")
    return printed, errors
