"""Streams of images: order, limits, and cleanup when they are closed early."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.chaos import times
from support.disposable_server import DisposableServer
from support.stream_gates import Decoding, Gate
from support.stub_server import StubServer, Tensors
from support.toy import toy_contract

from camserve.clients import Classification, Classifier
from camserve.errors import CamserveError, ConnectionFailedError, DeadlineError, ImageError, RequestError, UsageError
from camserve.images.loading import open_image
from camserve.images.pixel_arrays import Pixels
from camserve.serving import TritonServer

CONTRACT = toy_contract()
LEAVING = 2.0
"""Seconds within which a closed stream has ended, on a busy machine."""


@pytest.fixture
def classifier(toy_server: TritonServer) -> Iterator[Classifier]:
    with Classifier(toy_server.grpc_url, "toy") as opened:
        yield opened


def image(seed: int) -> Pixels:
    return Pixels(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8), "rgb")


def streams() -> list[str]:
    """Return the names of the threads of streams. Threads for single calls rest until the client is closed."""
    others = {"camserve-call", "camserve-models"}  # the latter is of the server
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("camserve") and name not in others]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  (no Path for each of them)


def test_results_are_in_order_and_equal_classify(classifier: Classifier) -> None:
    images = [image(seed) for seed in range(60)]
    answers = list(classifier.classify_many(images, top=2, cam=True, concurrency=5))
    for found, each in zip(answers, images, strict=True):
        expected = classifier.classify(each, top=2, cam=True)
        assert np.allclose(found.probabilities, expected.probabilities, atol=1e-6)
        assert [cam.index for cam in found.cams] == [cam.index for cam in expected.cams]
    assert len({answer.probabilities.tobytes() for answer in answers}) == 60
    assert streams() == []


def test_error_of_one_image_is_yielded_in_its_place(classifier: Classifier, tmp_path: Path) -> None:
    images: list[Pixels | Path | bytes] = [image(seed) for seed in range(30)]
    for place in (0, 7, 8, 29):
        images[place] = tmp_path / f"{place}.png"
    answers = list(classifier.classify_many(images, errors="yield", concurrency=4))
    assert [place for place, answer in enumerate(answers) if isinstance(answer, ImageError)] == [0, 7, 8, 29]
    assert all(isinstance(answer, Classification) for place, answer in enumerate(answers) if place not in (0, 7, 8, 29))
    assert f"{tmp_path}/7.png does not exist" in str(answers[7])


def test_error_is_raised_after_the_results_before_it(classifier: Classifier) -> None:
    answers = classifier.classify_many([image(0), image(1), b"no image", image(2)], concurrency=4)
    assert [next(answers).version for _ in range(2)] == ["1", "1"]
    with pytest.raises(ImageError):
        next(answers)
    assert list(answers) == []
    assert streams() == []


def test_endless_stream_is_read_only_within_the_window(classifier: Classifier) -> None:
    taken = itertools.count()
    answers = classifier.classify_many((image(next(taken)) for _ in itertools.count()), concurrency=3)
    for expected in range(20):
        next(answers)
        assert next(taken) - 2 * expected <= 8  # each check increments it
    answers.close()
    assert streams() == []


def test_stream_starts_at_the_first_next(classifier: Classifier) -> None:
    before = descriptors()
    images = iter([image(0)])
    answers = classifier.classify_many(images)
    assert (streams(), descriptors()) == ([], before)
    del answers
    assert len(list(images)) == 1


def test_stopping_early_leaves_no_thread_request_or_descriptor(classifier: Classifier) -> None:
    classifier.classify(image(0))
    before = descriptors()
    for _ in range(5):
        for _ in classifier.classify_many(image(seed) for seed in itertools.count()):
            break
    gc.collect()
    assert streams() == []
    deadline = time.monotonic() + 60
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)  # gRPC closes its sockets a moment later
    assert descriptors() <= before


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate(CONTRACT)
    yield made
    made.open()


@pytest.mark.timed
def test_closing_does_not_wait_for_a_hanging_server(gate: Gate) -> None:
    with StubServer(CONTRACT, gate) as server, Classifier(server.url, "toy") as classifier:
        leaver = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
        leaver.start()
        with pytest.raises(KeyboardInterrupt):
            list(classifier.classify_many(image(seed) for seed in itertools.count()))
        began = time.monotonic()
        assert streams() == []
        gate.open()
        assert classifier.classify(image(0)).version == "1"  # its own connection is still open
    assert time.monotonic() - began < LEAVING


@pytest.mark.timed
def test_closing_the_classifier_ends_its_streams(gate: Gate) -> None:
    with StubServer(CONTRACT, gate) as server:
        classifier = Classifier(server.url, "toy")
        closer = threading.Timer(0.5, classifier.close)
        closer.start()
        began = time.monotonic()
        with pytest.raises(UsageError, match="is closed"):
            list(classifier.classify_many(image(seed) for seed in itertools.count()))
        assert time.monotonic() - began < 0.5 + LEAVING
        assert streams() == []
        with pytest.raises(UsageError, match="is closed"):
            next(classifier.classify_many([image(0)]))


@pytest.mark.timed
def test_concurrency_limits_the_pending_requests(gate: Gate) -> None:
    with StubServer(CONTRACT, gate) as server, Classifier(server.url, "toy") as classifier:
        opener = threading.Timer(0.5, gate.open)
        opener.start()
        assert len(list(classifier.classify_many((image(seed) for seed in range(40)), concurrency=3))) == 40
        assert gate.most == 3


@pytest.mark.timed
def test_no_further_image_is_sent_to_a_hanging_server(gate: Gate) -> None:
    with StubServer(CONTRACT, gate) as server, Classifier(server.url, "toy", timeout=0.5) as classifier:
        with pytest.raises(DeadlineError):
            list(classifier.classify_many((image(seed) for seed in range(100)), concurrency=3, errors="yield"))
        assert len(server.batch_sizes) == 3


def test_refusal_ends_the_stream_only_if_the_model_is_gone(gate: Gate) -> None:
    gate.open()

    with StubServer(CONTRACT, gate) as server, Classifier(server.url, "toy") as classifier:
        server.answer = refuse
        answers = list(classifier.classify_many([image(0), image(1)], errors="yield"))
        assert [type(answer) for answer in answers] == [RequestError, RequestError]
        server.ready = False
        with pytest.raises(RequestError, match="out of order"):
            list(classifier.classify_many([image(0), image(1)], errors="yield"))


def test_stopped_server_ends_the_stream(toy_repository: Path) -> None:
    with DisposableServer(toy_repository) as server, Classifier(server.grpc_url, "toy", retries=0) as classifier:
        answers = classifier.classify_many((image(seed) for seed in itertools.count()), errors="yield")
        assert isinstance(next(answers), Classification)
        server.stop()
        with pytest.raises(ConnectionFailedError):
            list(answers)
        assert streams() == []


@pytest.fixture(params=["large.png", "large.bmp"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image whose file is almost none, or almost half, of its decoded size."""
    path = tmp_path / str(request.param)
    Image.fromarray(np.zeros((1000, 1000, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("window", "most"), [(3, 4), (100, 8), (0.001, 1)])
def test_images_in_progress_stay_within_the_memory_limit(
    classifier: Classifier, large: Path, monkeypatch: pytest.MonkeyPatch, window: float, most: int
) -> None:
    one = open_image(large).decoded_bytes
    decoding = Decoding(monkeypatch)
    answers = classifier.classify_many([large] * 40, window_bytes=int(window * one), concurrency=8)
    assert len(list(answers)) == 40
    assert decoding.most <= most
    assert decoding.most_bytes <= int(window * one) + one
    if window > 3 or (window == 3 and large.suffix == ".png"):
        assert decoding.most > 1  # the window is used


@pytest.mark.parametrize(
    "senseless", [{"concurrency": 0}, {"window_bytes": 0}, {"errors": "ignore"}, {"top": 0}], ids=str
)
def test_invalid_values_are_refused_at_the_call(classifier: Classifier, senseless: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        classifier.classify_many([], **senseless)  # type: ignore[call-overload]
    assert caught.value.hint


def test_result_is_yielded_before_the_window_is_full(classifier: Classifier) -> None:
    taken = itertools.count()

    def as_a_camera_would() -> Iterator[Pixels]:
        while True:
            time.sleep(0.1)
            yield image(next(taken))

    answers = classifier.classify_many(as_a_camera_would(), concurrency=20)
    next(answers)
    assert next(taken) < 20
    answers.close()


def refuse(names: Sequence[str], count: int) -> Tensors:
    raise ValueError("out of order")


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("at_once", [False, True], ids=["later", "at once"])
def test_stored_error_does_not_hold_its_image(at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[object] = []
    if at_once:  # calls have failed before a callback is added to their futures
        method: Any = import_module("grpc._channel")._UnaryUnaryMultiCallable
        begin = method.future

        def wait(*args: Any, **options: Any) -> Any:
            future = begin(*args, **options)
            failed.append(future.code())
            return future

        monkeypatch.setattr(method, "future", wait)
    kept: list[Classification | CamserveError] = []
    images: list[weakref.ref[Pixels]] = []

    def watched() -> Iterator[Pixels]:
        for seed in range(20):
            one = Pixels(np.zeros((0, 0, 3), np.uint8), "rgb") if seed % 2 else image(seed)
            images.append(weakref.ref(one))
            yield one
            del one

    with StubServer(CONTRACT, refuse) as server, Classifier(server.url, "toy") as classifier:
        kept.extend(classifier.classify_many(watched(), errors="yield"))
    assert bool(failed) == at_once
    assert {type(error) for error in kept} == {RequestError, ImageError}
    assert [each for each in images if each() is not None] == []


@pytest.mark.usefixtures("no_collector")
def test_handled_error_does_not_hold_its_image() -> None:
    with StubServer(CONTRACT, refuse) as server, Classifier(server.url, "toy") as classifier:
        for shape in ((9, 11, 3), (0, 0, 3)):
            one = Pixels(np.zeros(shape, np.uint8), "rgb")
            of_image = weakref.ref(one)
            with suppress(RequestError, ImageError):
                classifier.classify(one)
            del one
            assert of_image() is None


def test_closing_ends_the_threads_for_single_calls(toy_server: TritonServer) -> None:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        classifier.classify(image(0))
        assert "camserve-call" in [thread.name for thread in threading.enumerate()]
    assert not [thread.name for thread in threading.enumerate() if thread.name == "camserve-call"]


def test_no_images_give_no_results(classifier: Classifier) -> None:
    assert list(classifier.classify_many([])) == []


@pytest.mark.chaos
def test_memory_is_flat_over_ten_thousand_images(classifier: Classifier) -> None:
    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    one, count, warm = image(0), times(11_000), times(3_000)
    wrong: list[CamserveError] = []
    for place, answer in enumerate(classifier.classify_many(itertools.repeat(one, count), errors="yield")):
        if isinstance(answer, CamserveError):
            wrong.append(answer)
        if place == warm:
            before = resident()
    grown = resident() - before
    assert wrong == []
    assert grown < 1.0, f"{grown:.2f} MiB over {count - warm:,} images"
