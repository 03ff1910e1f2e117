"""Classify images while the clock of the host jumps, and print the outcome and its seconds as JSON.

Run it in `tests/`: `python -m support.jumping_clock HOST:PORT IMAGES`, through `classify_while_clock_jumps`. The clock
jumps for the whole process, gRPC's library included, but not for the host: a library of our own is loaded before libc.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

__all__ = ["TIMEOUT", "classify_while_clock_jumps"]

TIMEOUT = 2.0
"""The client's deadline, in seconds."""

_FILE = "CLOCK_OFFSET_FILE"
_JUMPS = (-86_400, -3_600, -60, 0, 60, 250, 3_600, 86_400)
_INTERVAL = 0.002
_LIBRARY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset;

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        if (!offset) offset = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("CLOCK_OFFSET_FILE"), O_RDONLY), 0);
        now->tv_sec += *offset;
    }
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""


def classify_while_clock_jumps(url: str, images: int, folder: Path) -> dict[str, Any]:
    """Classify images in another process whose clock jumps 500 times per second.

    Args:
        url: The server.
        images: Number of images.
        folder: For temporary files.

    Returns:
        The number of `answers`, the `error` or None, the `seconds` by the monotonic clock, and the `jumps` that the
        process saw of its clock.
    """
    source, library, offset = folder / "clock.c", folder / "clock.so", folder / "offset"
    source.write_text(_LIBRARY, encoding="ascii")
    offset.write_bytes(bytes(8))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    process = subprocess.run(
        [sys.executable, "-m", "support.jumping_clock", url, str(images)],
        capture_output=True,
        timeout=60,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "LD_PRELOAD": str(library),
            _FILE: str(offset),
        },
    )
    outcome: dict[str, Any] = json.loads(process.stdout)
    return outcome


def _jump(seen: list[float]) -> None:
    chosen, waiting = random.Random(0), threading.Event()
    with Path(os.environ[_FILE]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as offset:
        while True:
            offset[:] = struct.pack("q", chosen.choice(_JUMPS))
            seen.append(time.time())
            waiting.wait(_INTERVAL)


def _main(url: str, images: int) -> dict[str, Any]:
    from support.scarce import SMALL

    from camserve.clients import Classifier
    from camserve.errors import CamserveError

    seen: list[float] = []
    threading.Thread(target=_jump, args=(seen,), daemon=True).start()
    answers, error, began = 0, None, time.monotonic()
    try:
        with Classifier(url, "toy", timeout=TIMEOUT) as classifier:
            began = time.monotonic()
            for _ in classifier.classify_many([SMALL] * images, cam=True, concurrency=2):
                answers += 1
    except CamserveError as failure:
        error = type(failure).__name__
    seconds = time.monotonic() - began
    jumps = sum(abs(after - before) > 50 for before, after in pairwise(seen))
    return {"answers": answers, "error": error, "seconds": seconds, "jumps": jumps}


if __name__ == "__main__":
    json.dump(_main(sys.argv[1], int(sys.argv[2])), sys.stdout)
