"""Measurements of the toy model on a real Triton, and of servers that stall, fail and go away."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import toy_contract

from camserve.clients import ConnectionOptions, LoadOptions, LoadProgress, measure_load
from camserve.errors import ConnectionFailedError, ImageError, NotLoadedError, UsageError
from camserve.serving import TritonServer

CONTRACT = toy_contract()


def answers(names: Sequence[str], images: int) -> Tensors:
    found = correct_answer(CONTRACT, images)
    return {name: found[name] for name in names}


class Stalling:
    """Answers that all wait while the server stalls, once."""

    def __init__(self, after: int, seconds: float) -> None:
        self._after, self._seconds = after, seconds
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, names: Sequence[str], images: int) -> Tensors:
        with self._lock:
            self._count += 1
            if self._count == self._after:
                time.sleep(self._seconds)
        return answers(names, images)


@pytest.mark.timed
def test_a_closed_loop_counts_what_triton_counts(toy_server: TritonServer) -> None:
    progress: list[LoadProgress] = []
    options = LoadOptions(concurrency=(1, 4), batch=2, window=0.3, warm_up=0.2, max_windows=3, processes=2)
    result = measure_load(toy_server.grpc_url, "toy", options, on_window=progress.append)
    assert [point.level.concurrency for point in result.points] == [1, 4]
    assert result.processes == 1  # one request cannot be sent by two processes
    for point in result.points:
        assert not point.errors
        assert point.images_per_second == pytest.approx(2 * point.requests_per_second)
        assert point.answers == pytest.approx(point.requests_per_second * 0.9)
        low, high = point.interval
        assert low <= point.images_per_second <= high
        # Little's law: requests in flight are the rate times the latency
        in_flight = point.requests_per_second * point.latency.mean
        assert 0.6 * point.level.concurrency < in_flight <= 1.1 * point.level.concurrency  # type: ignore[operator]
        times = point.latency
        assert times.p50 <= times.p90 <= times.p95 <= times.p99 <= times.maximum
        assert point.server is not None
        assert 0 < point.server.queue + point.server.compute < times.mean
        assert point.client_cpu > 0
        assert point.unanswered <= point.level.concurrency  # type: ignore[operator]
    assert [each.number for each in progress] == [0, 1, 2, 3] * 2


@pytest.mark.timed
@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_open_loop_sends_at_its_rate(toy_server: TritonServer, arrivals: str) -> None:
    options = LoadOptions(rate=(100,), arrivals=arrivals, window=0.5, warm_up=0.2, max_windows=3, processes=2)  # type: ignore[arg-type]
    result = measure_load(toy_server.grpc_url, "toy", options)
    (point,) = result.points
    assert result.processes == 2
    tolerance = 0.1 if arrivals == "constant" else 4 / np.sqrt(150)
    assert point.requests_per_second == pytest.approx(100, rel=tolerance)


@pytest.mark.slow
@pytest.mark.timed
def test_only_the_latencies_of_an_open_loop_show_a_stall_of_the_server() -> None:
    """Coordinated omission: a closed loop has few requests in the second in which the server stalls."""
    p99 = {}
    for kind, load in {"open": {"rate": (200,)}, "closed": {"concurrency": (1,)}}.items():
        options = LoadOptions(**load, arrivals="constant", window=0.75, warm_up=0.0, max_windows=4, stability=0.001)  # type: ignore[arg-type]
        with StubServer(CONTRACT, Stalling(after=60, seconds=0.6)) as server:
            (point,) = measure_load(server.url, "toy", options).points
        assert point.latency.maximum > 0.55
        assert not point.errors
        p99[kind] = point.latency.p99
    assert p99["open"] > 0.4
    assert p99["closed"] < 0.2


@pytest.mark.timed
def test_failures_are_counted_by_reason_and_never_as_answers() -> None:
    count = 0

    def sometimes(names: Sequence[str], images: int) -> Tensors:
        nonlocal count
        count += 1
        if count > 3 and count % 3 == 0:  # the first are checked before the measurement
            raise ValueError("queue is full")
        return answers(names, images)

    with StubServer(CONTRACT, sometimes) as server:
        options = LoadOptions(concurrency=(2,), window=0.3, warm_up=0.1, max_windows=3)
        (point,) = measure_load(server.url, "toy", options).points
    assert sum(number for reason, number in point.errors.items() if "queue is full" in reason) == point.error_count
    assert point.error_count / (point.answers + point.error_count) == pytest.approx(1 / 3, abs=0.05)
    assert point.latency.maximum < 0.3


def test_an_answer_of_another_size_is_an_error() -> None:
    count = 0

    def shrinking(names: Sequence[str], images: int) -> Tensors:
        nonlocal count
        count += 1
        found = answers(names, images)
        return found if count <= 3 else {"probabilities": np.zeros((40, 4), np.float32)}

    with StubServer(CONTRACT, shrinking) as server:
        options = LoadOptions(window=0.2, warm_up=0.0, max_windows=3)
        (point,) = measure_load(server.url, "toy", options).points
    assert point.answers == 0
    assert point.stopped is not None
    assert "bytes instead of" in point.stopped


@pytest.mark.slow
@pytest.mark.timed
def test_a_server_that_goes_away_ends_the_measurement() -> None:
    with StubServer(CONTRACT, answers) as server:

        def stop(progress: LoadProgress) -> None:
            if progress.number == 1:
                server.stop()

        options = LoadOptions(window=0.3, warm_up=0.0, max_windows=50, stability=0.0001)
        began = time.monotonic()
        (point,) = measure_load(server.url, "toy", options, on_window=stop).points
    assert time.monotonic() - began < 20
    assert point.stopped is not None
    assert "UNAVAILABLE" in point.stopped
    assert not point.stable
    assert point.windows[0].answers > 0
    assert point.errors


@pytest.mark.timed
def test_a_server_that_hangs_ends_the_measurement_after_the_timeout() -> None:
    released = threading.Event()
    count = 0

    def hang(names: Sequence[str], images: int) -> Tensors:
        nonlocal count
        count += 1
        if count > 3:
            released.wait(20)
        return answers(names, images)

    with StubServer(CONTRACT, hang) as server:
        options = LoadOptions(
            window=0.3, warm_up=0.0, max_windows=50, connection=ConnectionOptions(timeout=1.0, connect_timeout=1.0)
        )
        began = time.monotonic()
        (point,) = measure_load(server.url, "toy", options).points
        released.set()
    assert time.monotonic() - began < 15
    assert point.stopped == "the server answered nothing for 1 s"
    assert point.unanswered == 1


def test_images_of_files_are_sent(toy_server: TritonServer, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "red").save(tmp_path / "red.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    options = {"window": 0.2, "warm_up": 0.0, "max_windows": 3}
    good = LoadOptions(images=[str(tmp_path / "red.png")], **options)  # type: ignore[arg-type]
    assert measure_load(toy_server.grpc_url, "toy", good).points[0].answers > 0
    with pytest.raises(ImageError):
        measure_load(toy_server.grpc_url, "toy", LoadOptions(images=[str(tmp_path / "bad.png")], **options))  # type: ignore[arg-type]


def test_what_cannot_be_measured_is_refused_before(toy_server: TritonServer) -> None:
    with pytest.raises(NotLoadedError):
        measure_load(toy_server.grpc_url, "other")
    with pytest.raises(UsageError, match="maximum batch size"):
        measure_load(toy_server.grpc_url, "toy", LoadOptions(batch=500))
    with pytest.raises(UsageError, match="no output"):
        measure_load(toy_server.grpc_url, "toy", LoadOptions(outputs=["other"]))
    with pytest.raises(UsageError, match="one server"):
        measure_load("a:1,b:2", "toy")
    with pytest.raises(ConnectionFailedError):
        measure_load("127.0.0.1:9", "toy")


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": (0,)},
        {"rate": (-1.0,)},
        {"concurrency": (1,), "rate": (1.0,)},
        {"window": 0.0},
        {"max_windows": 2},
        {"stability": 1.5},
        {"arrivals": "even"},
        {"outputs": ()},
        {"processes": 0},
    ],
)
def test_invalid_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LoadOptions(**wrong)  # type: ignore[arg-type]
