"""The clients of a soak that run in an event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from support.soak.counts import Counts, Gate
from support.soak.site import Site

from camserve.clients import AsyncClassifier
from camserve.errors import ClientError, UsageError

__all__ = ["work"]

_TOGETHER = 8


@dataclass(frozen=True)
class Worker:
    """What a use of the server works with; as in `support.soak.clients`."""

    site: Site
    counts: Counts
    random: random.Random
    classifiers: dict[str, AsyncClassifier]

    def images(self, number: int) -> list[int]:
        """Choose images, by their numbers."""
        return [self.random.randrange(len(self.site.known.images)) for _ in range(number)]

    async def classify(
        self, use: str, classifier: AsyncClassifier, image: int, expected: tuple[type[BaseException], ...] = ()
    ) -> None:
        """Classify an image and count the outcome; errors of the expected kinds end it as meant."""
        self.counts.add(use, "calls")
        try:
            answer = await classifier.classify(self.site.known.images[image], cam=True)
        except expected:
            self.counts.add(use, "ended")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            self.counts.failed(use, error)
        else:
            self.counts.answered(use, self.site.known.problem(classifier.model, image, answer))


async def together(worker: Worker, model: str) -> None:
    """Classify images at once."""
    use = "asyncio, classify"
    with worker.counts.timed(use):
        await asyncio.gather(
            *(worker.classify(use, worker.classifiers[model], image) for image in worker.images(_TOGETHER))
        )


async def given_up(worker: Worker, model: str) -> None:
    """Give up calls by `asyncio.wait_for`, about when the answer is ready."""
    use = "asyncio, wait_for that passes"

    async def wait(image: int, seconds: float) -> None:
        worker.counts.add(use, "calls")
        classifier = worker.classifiers[model]
        try:
            answer = await asyncio.wait_for(classifier.classify(worker.site.known.images[image]), seconds)
        except TimeoutError:
            worker.counts.add(use, "ended")
        except Exception as error:  # noqa: BLE001
            worker.counts.failed(use, error)
        else:
            worker.counts.answered(use, worker.site.known.problem(model, image, answer))

    await asyncio.gather(*(wait(image, worker.random.uniform(0.005, 0.06)) for image in worker.images(_TOGETHER)))


async def cancelled(worker: Worker, model: str) -> None:
    """Cancel tasks that classify."""
    use = "asyncio, cancelled tasks"
    calls = [
        asyncio.create_task(worker.classify(use, worker.classifiers[model], image, (asyncio.CancelledError,)))
        for image in worker.images(_TOGETHER)
    ]
    await asyncio.sleep(0)  # so that each task has begun
    for call in calls:
        await asyncio.sleep(worker.random.uniform(0.0, 0.01))
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def stream_left(worker: Worker, model: str) -> None:
    """Leave a stream after a few answers."""
    use, images = "asyncio, stream left early", worker.images(4 * _TOGETHER)
    leave_after = worker.random.randrange(1, _TOGETHER)
    worker.counts.add(use, "calls", leave_after)
    files = [worker.site.known.images[image] for image in images]
    place = 0
    try:
        async with aclosing(worker.classifiers[model].classify_many(files)) as answers:
            async for answer in answers:
                worker.counts.answered(use, worker.site.known.problem(model, images[place], answer))
                place += 1
                if place == leave_after:
                    break
    except Exception as error:  # noqa: BLE001
        worker.counts.failed(use, error)


async def closed_under_way(worker: Worker, model: str) -> None:
    """Close a classifier while tasks classify with it."""
    use = "asyncio, closed under way"
    classifier = AsyncClassifier(worker.site.url, model)
    try:
        await classifier.connect()
    except Exception as error:  # noqa: BLE001
        worker.counts.not_connected(use, error)
    else:
        expected = (ClientError, UsageError, asyncio.CancelledError)
        calls = [
            asyncio.create_task(worker.classify(use, classifier, image, expected)) for image in worker.images(_TOGETHER)
        ]
        await asyncio.sleep(worker.random.uniform(0.0, 0.04))
        await classifier.close()
        await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await classifier.close()


USES: Sequence[Callable[[Worker, str], Awaitable[None]]] = (
    together,
    given_up,
    cancelled,
    stream_left,
    closed_under_way,
)


async def work(site: Site, counts: Counts, gate: Gate, pause: float, seed: str) -> None:
    """Use the server from tasks until the gate ends."""
    async with AsyncExitStack() as stack:
        classifiers = {
            model: await stack.enter_async_context(AsyncClassifier(site.url, model)) for model in site.known.models
        }

        async def task(place: int, use: Callable[[Worker, str], Awaitable[None]]) -> None:
            worker = Worker(site, counts, random.Random(f"{seed} async {place}"), classifiers)
            while not gate.ended.is_set():
                await asyncio.sleep(pause)
                if gate.try_enter():
                    try:
                        await use(worker, worker.random.choice(site.known.models))
                    finally:
                        gate.leave()

        await asyncio.gather(*(task(place, use) for place, use in enumerate(USES)))
