"""A client that lacks memory or threads: a typed error, no hang, and the next call succeeds."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from support.hostile_server import HostileServer
from support.scarce import SMALL, outcomes_of

from camserve.clients import Classifier
from camserve.errors import CamserveError, ClientError, ImageError
from camserve.images import load_image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")

NO_THREAD = "ClientError: no thread can be started: can't start new thread. Lower concurrency, or raise"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without other processes")


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as started:
        yield started


def test_image_without_enough_memory_is_an_error_of_its_own(server: HostileServer) -> None:
    before, large, after = outcomes_of("memory", server.url)
    assert (before, after) == ("b", "b")
    assert large.startswith("ImageError: there is not enough memory for the image of ")


def test_lack_of_memory_is_not_a_corrupt_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.Image.Image.load", exhausted)
    with pytest.raises(ImageError, match=r"^there is not enough memory for the array\. Free memory"):
        load_image(np.zeros((8, 8), np.uint8))


@needs_root
@pytest.mark.parametrize(("what", "answers"), [("connect", 1), ("threads", 4), ("async", 3)])
def test_without_threads_is_a_typed_error_and_the_next_call_succeeds(
    server: HostileServer, what: str, answers: int
) -> None:
    refused, *outcomes = outcomes_of(what, server.url)
    assert refused.startswith(NO_THREAD)
    assert outcomes == ["b"] * answers


def test_stream_that_starts_some_threads_ends_with_an_error_and_without_threads(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, left = threading.Thread.start, 2

    def start_two(thread: threading.Thread) -> None:
        nonlocal left
        if left == 0:
            raise RuntimeError("can't start new thread")
        left -= 1
        start(thread)

    with Classifier(server.url, "toy") as classifier:
        monkeypatch.setattr(threading.Thread, "start", start_two)
        with pytest.raises(ClientError, match="no thread can be started"):
            list(classifier.classify_many([SMALL] * 20, cam=True))
        monkeypatch.undo()
        assert not any(thread.name.startswith("camserve-stream") for thread in threading.enumerate())
        outcomes = list(classifier.classify_many([SMALL] * 20, cam=True, errors="yield"))
    assert not any(isinstance(each, CamserveError) for each in outcomes)
