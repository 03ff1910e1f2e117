"""Classify images in a process that lacks memory or threads, and print the outcomes as JSON.

Run it in `tests/`: `python -m support.scarce memory|threads|connect|async HOST:PORT`.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camserve.clients import AsyncClassifier, Classifier
from camserve.errors import CamserveError
from camserve.images.loading import ImageInput
from camserve.images.pixel_arrays import Pixels

__all__ = ["outcomes_of"]

_SECONDS = 60
_NOBODY = 65534
_MIB = 1024 * 1024
SMALL = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")


def outcomes_of(what: str, url: str) -> list[str]:
    """Run this module as a program and return what it printed; an error names the signal if it was killed."""
    process = subprocess.run(
        [sys.executable, "-m", "support.scarce", what, url],
        capture_output=True,
        timeout=_SECONDS,
        check=True,
        # One heap for all threads, so that the limit does not depend on their number.
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "MALLOC_ARENA_MAX": "1"},
    )
    outcomes: list[str] = json.loads(process.stdout)
    return outcomes


def _memory(url: str) -> list[str]:
    """Classify a small, a large and a small image; the large one is decoded, and does not fit when it is converted."""
    stream = io.BytesIO()
    Image.new("L", (8_000, 7_500)).save(stream, "PNG", compress_level=1)
    with Classifier(url, "toy") as classifier:
        list(classifier.classify_many([SMALL], cam=True, concurrency=1))
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 140 * _MIB, resource.RLIM_INFINITY))
        images: list[ImageInput] = [SMALL, stream.getvalue(), SMALL]
        return [_text(each) for each in classifier.classify_many(images, cam=True, concurrency=1, errors="yield")]


def _threads(url: str) -> list[str]:
    with Classifier(url, "toy", timeout=5) as classifier:
        classifier.classify(SMALL, cam=True)

        def run() -> list[str]:
            return [_text(each) for each in classifier.classify_many([SMALL] * 3, cam=True)]

        return [*_limited(run), *run(), _text(classifier.classify(SMALL, cam=True))]


def _connect(url: str) -> list[str]:
    def run() -> list[str]:
        with Classifier(url, "toy", timeout=5) as classifier:
            return [_text(classifier.classify(SMALL, cam=True))]

    return [*_limited(run), *run()]


def _async(url: str) -> list[str]:
    async def main() -> list[str]:
        async with AsyncClassifier(url, "toy", timeout=5) as classifier:

            async def run() -> list[str]:
                return [_text(each) async for each in classifier.classify_many([SMALL] * 3, cam=True)]

            _limit_threads()
            try:
                outcomes = await run()
            except CamserveError as error:
                outcomes = [_text(error)]
            _lift_limit()
            return outcomes + await run()

    return asyncio.run(main())


def _limited(run: Callable[[], list[str]]) -> list[str]:
    _limit_threads()
    try:
        return run()
    except CamserveError as error:
        return [_text(error)]
    finally:
        _lift_limit()


def _limit_threads() -> None:
    """Allow this user no more threads than this process has."""
    resource.setrlimit(resource.RLIMIT_NPROC, (len(list(Path("/proc/self/task").iterdir())), 4096))


def _lift_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NPROC, (4096, 4096))


def _text(outcome: Any) -> str:
    return f"{type(outcome).__name__}: {outcome}" if isinstance(outcome, CamserveError) else outcome.top[0].label


if __name__ == "__main__":
    if sys.argv[1] != "memory":  # the limit does not apply to root, and counts all processes of a user
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        _lift_limit()
    json.dump(
        {"memory": _memory, "threads": _threads, "connect": _connect, "async": _async}[sys.argv[1]](sys.argv[2]),
        sys.stdout,
    )
