"""A server that is killed and started again during requests costs no answer."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.disposable_server import DisposableServer

from camserve.clients import AsyncClassifier, Classifier, score
from camserve.errors import ConnectionFailedError
from camserve.images.pixel_arrays import Pixels

pytestmark = pytest.mark.slow

GAP = float(os.environ.get("CAMSERVE_RESTART_SECONDS", "3"))
IMAGES = tuple(
    Pixels(pixels, "rgb") for pixels in np.random.default_rng(2).integers(0, 256, (7, 20, 30, 3), dtype=np.uint8)
)


class Traffic:
    """Images without end, until the test ends it."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Pixels]:
        while not self._over.is_set():
            yield from IMAGES

    async def __aiter__(self) -> AsyncIterator[Pixels]:
        for image in self:
            yield image

    def end(self) -> None:
        self._over.set()


Program = Callable[[str, Traffic, Path], list[int]]


def classify(url: str, traffic: Traffic, _: Path) -> list[int]:
    with Classifier(url, "toy") as classifier:
        return [classifier.classify(image).top[0].index for image in traffic]


def classify_many(url: str, traffic: Traffic, _: Path) -> list[int]:
    with Classifier(url, "toy") as classifier:
        return [answer.top[0].index for answer in classifier.classify_many(traffic)]


def score_files(url: str, traffic: Traffic, folder: Path) -> list[int]:
    paths = [folder / f"{place}.png" for place in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image.array).save(path)
    with Classifier(url, "toy") as classifier:
        rows = list(score(classifier, (paths[place % len(paths)] for place, _ in enumerate(traffic))))
    assert {row.error for row in rows} == {None}
    return [row.top[0].index for row in rows]


def classify_in_tasks(url: str, traffic: Traffic, _: Path) -> list[int]:
    async def use() -> list[int]:
        async with AsyncClassifier(url, "toy") as classifier:
            answers = [answer.top[0].index async for answer in classifier.classify_many(traffic)]
            return answers[: len(answers) // len(IMAGES) * len(IMAGES)]

    return asyncio.run(use())


def classify_with_shared_memory(url: str, traffic: Traffic, _: Path) -> list[int]:
    with Classifier(url, "toy", shared_memory=True) as classifier:
        return [classifier.classify(image).top[0].index for image in traffic]


PROGRAMS: tuple[Program, ...] = (classify, classify_many, score_files, classify_in_tasks, classify_with_shared_memory)


def test_killed_server_that_returns_costs_no_answer(toy_repository: Path, tmp_path: Path) -> None:
    traffic = Traffic()
    first = DisposableServer(toy_repository, allow_shared_memory=True)
    first.start()
    port = int(first.grpc_url.rpartition(":")[2])
    with Classifier(first.grpc_url, "toy") as classifier:
        expected = [classifier.classify(image).top[0].index for image in IMAGES]
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        calls = [pool.submit(program, first.grpc_url, traffic, tmp_path) for program in PROGRAMS]
        time.sleep(1.0)
        os.kill(first.pid, signal.SIGKILL)
        time.sleep(GAP)
        first.stop(grace=0)
        with DisposableServer(toy_repository, allow_shared_memory=True, grpc_port=port):
            time.sleep(3.0)
            traffic.end()
            answers = [call.result(60) for call in calls]
    for found in answers:
        assert len(found) > 2 * len(IMAGES)
        assert found == [expected[place % len(IMAGES)] for place in range(len(found))]


def test_without_retries_a_killed_server_is_an_error_at_once(toy_repository: Path) -> None:
    with DisposableServer(toy_repository) as server, Classifier(server.grpc_url, "toy", retries=0) as classifier:
        os.kill(server.pid, signal.SIGKILL)
        time.sleep(0.3)
        began = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            classifier.classify(IMAGES[0])
        assert time.monotonic() - began < 1.0
