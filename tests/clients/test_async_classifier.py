from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.stream_gates import Decoding, Gate
from support.stub_server import StubServer
from support.toy import toy_contract

from camserve.clients import AsyncClassifier, Classification, Classifier
from camserve.errors import ContractError, DeadlineError, ImageError, RequestError, UsageError
from camserve.images.crops import Crops
from camserve.images.loading import OpenedImage, open_image
from camserve.images.pixel_arrays import Pixels
from camserve.serving import TritonServer

CONTRACT = toy_contract()
IMAGE = Pixels(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8), "rgb")
Array = np.ndarray[Any, Any]


def test_results_equal_those_of_the_sync_classifier(toy_server: TritonServer) -> None:
    async def main() -> list[Any]:
        async with AsyncClassifier(toy_server.grpc_url, "toy") as classifier:
            return [
                await classifier.classify(IMAGE, cam=True, top=2),
                await classifier.classify(IMAGE, crops=Crops(count=3)),
                await classifier.logits(IMAGE),
                await classifier.cam(IMAGE),
                await classifier.prepare(IMAGE),
                await classifier.infer(np.zeros((20, 8, 8, 3), np.float32), ["logits"]),
                await classifier.is_ready(),
                await classifier.versions(),
                (classifier.contract, classifier.labels, classifier.urls, classifier.model),
            ]

    found = asyncio.run(main())
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        assert found[0] == classifier.classify(IMAGE, cam=True, top=2)
        assert [cam.index for cam in found[0].cams] == [each.index for each in found[0].top]
        assert found[1] == classifier.classify(IMAGE, crops=Crops(count=3))
        assert np.array_equal(found[2], classifier.logits(IMAGE))
        assert np.array_equal(found[3].grid, classifier.cam(IMAGE).grid)
        assert np.array_equal(found[4], classifier.prepare(IMAGE))
        assert found[5]["logits"].shape == (20, 4)
        assert found[6] is True
        assert found[7] == classifier.versions()
        assert found[8] == (classifier.contract, classifier.labels, classifier.urls, classifier.model)


def test_first_call_connects(toy_server: TritonServer) -> None:
    async def main() -> None:
        classifier = AsyncClassifier(toy_server.grpc_url, "toy")
        with pytest.raises(UsageError, match="has not been read yet"):
            _ = classifier.contract
        results = await asyncio.gather(*(classifier.classify(IMAGE) for _ in range(5)))
        assert len(set(map(str, results))) == 1
        assert classifier.labels[0] == "class 0"
        await classifier.close()
        await classifier.close()
        with pytest.raises(UsageError, match="is closed"):
            await classifier.classify(IMAGE)

    asyncio.run(main())


def test_failed_connect_is_repeated_at_the_next_call(toy_server: TritonServer) -> None:
    async def main() -> None:
        with pytest.raises(RequestError, match="unknown model"):
            async with AsyncClassifier(toy_server.grpc_url, "cat"):
                pass
        classifier = AsyncClassifier(toy_server.grpc_url, "cat")
        for _ in range(2):
            with pytest.raises(RequestError, match="unknown model"):
                await classifier.classify(IMAGE)
        await classifier.close()

    asyncio.run(main())


def test_concurrent_calls_share_one_connection(toy_server: TritonServer) -> None:
    def connections() -> int:
        port = f":{int(toy_server.grpc_url.rpartition(':')[2]):04X}"
        lines = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
        return sum(line.split()[2].endswith(port) and line.split()[3] == "01" for line in lines)

    async def main() -> int:
        async with AsyncClassifier(toy_server.grpc_url, "toy") as classifier:
            before = connections()
            await asyncio.gather(*(classifier.classify(IMAGE) for _ in range(200)))
            return connections() - before

    assert asyncio.run(main()) == 0


def test_use_on_a_second_event_loop_is_an_error(toy_server: TritonServer) -> None:
    classifier = AsyncClassifier(toy_server.grpc_url, "toy")
    asyncio.run(classifier.connect())
    with pytest.raises(UsageError, match="event loop") as caught:
        asyncio.run(classifier.classify(IMAGE))
    assert caught.value.hint


def test_decoding_does_not_block_the_event_loop(toy_server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> None:
    load = OpenedImage.load

    def slow(opened: OpenedImage) -> Image.Image:
        time.sleep(0.5)
        return load(opened)

    monkeypatch.setattr(OpenedImage, "load", slow)

    async def main() -> int:
        ticks = 0
        async with AsyncClassifier(toy_server.grpc_url, "toy") as classifier:
            task = asyncio.create_task(classifier.classify(IMAGE))
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            await task
        return ticks

    assert asyncio.run(main()) >= 10


@pytest.mark.timed
def test_next_call_succeeds_after_cancellation() -> None:
    async def main(server: StubServer, gate: Gate) -> None:
        async with AsyncClassifier(server.url, "toy") as classifier:
            task = asyncio.create_task(classifier.classify(IMAGE))
            while not server.batch_sizes:
                await asyncio.sleep(0.01)
            task.cancel()
            began = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < 1.0
            gate.open()
            assert (await classifier.classify(IMAGE)).version == "1"

    gate = Gate(CONTRACT)
    with StubServer(CONTRACT, gate) as server:
        asyncio.run(main(server, gate))


@pytest.mark.timed
def test_next_call_succeeds_after_a_deadline_error() -> None:
    async def main(server: StubServer, gate: Gate) -> None:
        async with AsyncClassifier(server.url, "toy", timeout=0.3) as classifier:
            began = time.monotonic()
            with pytest.raises(DeadlineError, match=r"within 0\.3 s"):
                await classifier.classify(IMAGE)
            assert 0.3 <= time.monotonic() - began <= 0.8
            gate.open()
            assert (await classifier.classify(IMAGE)).version == "1"

    gate = Gate(CONTRACT)
    with StubServer(CONTRACT, gate) as server:
        asyncio.run(main(server, gate))


def test_stream_yields_results_and_errors_in_order(toy_server: TritonServer) -> None:
    images = [Pixels(np.full((9, 9, 3), shade, np.uint8), "rgb") for shade in range(0, 250, 5)]
    images_with_error: list[Any] = [b"no image" if place == 7 else each for place, each in enumerate(images)]

    async def slowly() -> AsyncIterator[Any]:
        for each in images_with_error:
            await asyncio.sleep(0)
            yield each

    async def main(source: Any) -> list[Any]:
        async with AsyncClassifier(toy_server.grpc_url, "toy") as classifier:
            return [answer async for answer in classifier.classify_many(source, errors="yield", concurrency=4)]

    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = list(classifier.classify_many(images_with_error, errors="yield"))
    for source in (images_with_error, slowly()):
        answers = asyncio.run(main(source))
        assert [isinstance(answer, ImageError) for answer in answers] == [place == 7 for place in range(50)]
        for found, right in zip(answers, expected, strict=True):
            if isinstance(right, Classification):
                assert np.allclose(found.probabilities, right.probabilities, atol=1e-6)


def test_closed_stream_leaves_no_task_and_takes_no_more_images(toy_server: TritonServer) -> None:
    taken = itertools.count()

    async def main() -> None:
        async with AsyncClassifier(toy_server.grpc_url, "toy") as classifier:
            endless = ((next(taken) and IMAGE) or IMAGE for _ in itertools.count())
            async with aclosing(classifier.classify_many(endless, concurrency=3)) as answers:
                async for _ in answers:
                    break
            assert next(taken) <= 8
            async for _ in classifier.classify_many(itertools.repeat(IMAGE)):
                break
            await asyncio.sleep(0.2)
            assert len(asyncio.all_tasks()) == 1
            assert await classifier.is_ready()

    asyncio.run(main())


@pytest.mark.timed
def test_closing_a_stream_does_not_wait_for_a_hanging_server() -> None:
    gate = Gate(CONTRACT)

    async def main(url: str) -> None:
        async def images() -> AsyncIterator[Pixels]:
            yield IMAGE
            await asyncio.sleep(60)

        async with AsyncClassifier(url, "toy") as classifier:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(classifier.classify_many(images())), 0.5)
            await asyncio.sleep(0.1)
            assert len(asyncio.all_tasks()) == 1

    with StubServer(CONTRACT, gate) as server:
        began = time.monotonic()
        asyncio.run(main(server.url))
        assert time.monotonic() - began < 5
        gate.open()


@pytest.mark.parametrize(("name", "window"), [("large.png", 13_000_000), ("large.bmp", 1)])
def test_stream_keeps_to_its_memory_limit(
    toy_server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, window: int
) -> None:
    path = tmp_path / name
    Image.fromarray(np.zeros((1000, 1000, 3), np.uint8)).save(path)
    one = open_image(path).decoded_bytes
    decoding = Decoding(monkeypatch)

    async def main() -> int:
        async with AsyncClassifier(toy_server.grpc_url, "toy") as classifier:
            stream = classifier.classify_many([path] * 30, window_bytes=window)
            return len([answer async for answer in stream])

    assert asyncio.run(main()) == 30
    assert decoding.most_bytes <= window + one
    if window > one:
        assert decoding.most > 1  # the window is used


def test_error_that_affects_every_image_ends_the_stream() -> None:
    all_asked = threading.Barrier(3)

    def answer_nothing(names: Sequence[str], count: int) -> dict[str, Array]:
        all_asked.wait(30)
        return {}

    async def main(server: StubServer) -> None:
        async with AsyncClassifier(server.url, "toy") as classifier:
            stream = classifier.classify_many([IMAGE] * 100, errors="yield", concurrency=3)
            with pytest.raises(ContractError, match="probabilities"):
                [answer async for answer in stream]
            assert len(server.batch_sizes) == 3
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

    with StubServer(CONTRACT, answer_nothing) as server:
        asyncio.run(main(server))
