"""The clients of a soak: a program whose threads and tasks use a server in every way, with known answers.

`python -m support.soak.clients SITE SEED PAUSE [shared]` reads commands from standard input, one a line, and answers
each with a line of JSON: `close` and `open` the gate of its rounds, `report` the counters, `end`. It also ends with its
standard input, so that it does not outlive the program that started it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.soak import async_clients
from support.soak.counts import Counts, Gate
from support.soak.site import Site, load_site

from camserve.clients import Classifier
from camserve.errors import CamserveError, ClientError, ConnectionFailedError, DeadlineError, ImageError, UsageError

__all__ = ["main"]

_CONNECT_SECONDS = 60.0
_STREAM = 40
"""Images in a stream."""


class _OwnError(Exception):
    """An error of the program that uses the client."""


@dataclass(frozen=True)
class Worker:
    """What a use of the server works with.

    Attributes:
        site: The server and the known answers.
        counts: Counts the outcomes.
        random: Its own random numbers.
        classifiers: A classifier for each model, as long-lived as the program.
        shared: Whether to pass tensors in shared memory.
    """

    site: Site
    counts: Counts
    random: random.Random
    classifiers: dict[str, Classifier]
    shared: bool

    def images(self, number: int) -> list[int]:
        """Choose images, by their numbers."""
        return [self.random.randrange(len(self.site.known.images)) for _ in range(number)]

    def path(self, image: int) -> Path:
        """Return the file of an image."""
        return self.site.known.images[image]


def one_by_one(worker: Worker, model: str) -> None:
    """Classify images one after the other, with maps."""
    use, classifier = "classify", worker.classifiers[model]
    for image in worker.images(8):
        worker.counts.add(use, "calls")
        try:
            with worker.counts.timed(use):
                answer = classifier.classify(worker.path(image), cam=worker.random.random() < 0.5)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            worker.counts.failed(use, error)
        else:
            worker.counts.answered(use, worker.site.known.problem(model, image, answer))


def stream_to_the_end(worker: Worker, model: str) -> None:
    """Classify a stream of images, one of which is no image, and take every answer."""
    use, images = "classify_many, to the end", worker.images(_STREAM)
    worker.counts.add(use, "calls", len(images) + 1)
    files = [*map(worker.path, images), worker.site.damaged]
    try:
        with worker.counts.timed(use):
            answers = list(worker.classifiers[model].classify_many(files, errors="yield"))
    except Exception as error:  # noqa: BLE001
        worker.counts.failed(use, error)
        return
    for image, answer in zip(images, answers, strict=False):
        if isinstance(answer, CamserveError):
            worker.counts.failed(use, answer)
        else:
            worker.counts.answered(use, worker.site.known.problem(model, image, answer))
    worker.counts.add(use, "ended", int(len(answers) > len(images) and isinstance(answers[-1], ImageError)))


def stream_left(worker: Worker, model: str) -> None:
    """Leave a stream after a few answers."""
    use, images = "classify_many, left early", worker.images(_STREAM)
    leave_after = worker.random.randrange(1, 8)
    worker.counts.add(use, "calls", leave_after)
    try:
        answers = worker.classifiers[model].classify_many(map(worker.path, images))
        for place, (image, answer) in enumerate(zip(images, answers, strict=False), start=1):
            worker.counts.answered(use, worker.site.known.problem(model, image, answer))
            if place == leave_after:
                break
        answers.close()
    except Exception as error:  # noqa: BLE001
        worker.counts.failed(use, error)


def stream_interrupted(worker: Worker, model: str) -> None:
    """End a stream by an error: of its images, or of the program that takes the answers."""
    use, images = "classify_many, ended by an error", worker.images(_STREAM)
    worker.counts.add(use, "calls")
    after, in_images = worker.random.randrange(1, _STREAM // 2), worker.random.random() < 0.5

    def files() -> Iterator[Path]:
        for place, image in enumerate(images):
            if in_images and place == after:
                raise _OwnError
            yield worker.path(image)

    try:
        answers = worker.classifiers[model].classify_many(files())
        for place, (image, answer) in enumerate(zip(images, answers, strict=False)):
            worker.counts.add(use, "calls")
            worker.counts.answered(use, worker.site.known.problem(model, image, answer))
            if not in_images and place == after:
                raise _OwnError
    except _OwnError:
        worker.counts.add(use, "ended")
    except Exception as error:  # noqa: BLE001
        worker.counts.failed(use, error)


def short_deadlines(worker: Worker, model: str) -> None:
    """Classify with a deadline that often passes, about when the answer is ready."""
    use, timeout = "classify, short deadline", worker.random.uniform(0.01, 0.06)
    calls = [_Call(use, image, (DeadlineError, ClientError)) for image in worker.images(8)]
    try:
        with Classifier(worker.site.url, model, timeout=timeout, shared_memory=worker.shared) as classifier:
            for call in calls:
                call.run(worker, model, classifier)
    except DeadlineError:  # while it connected
        worker.counts.add(use, "calls")
        worker.counts.add(use, "ended")
    except Exception as error:  # noqa: BLE001
        worker.counts.not_connected(use, error)


def closed_under_way(worker: Worker, model: str) -> None:
    """Close a classifier while other threads classify with it."""
    use = "classify, closed under way"
    calls = [_Call(use, image, (ClientError, UsageError)) for image in worker.images(6)]
    try:
        classifier = Classifier(worker.site.url, model, shared_memory=worker.shared)
    except Exception as error:  # noqa: BLE001
        worker.counts.not_connected(use, error)
        return
    with ThreadPoolExecutor(len(calls)) as pool:
        running = [pool.submit(call.run, worker, model, classifier) for call in calls]
        threading.Event().wait(worker.random.uniform(0.0, 0.04))
        classifier.close()
    for each in running:
        each.result()


@dataclass(frozen=True)
class _Call:
    """A call that may end without an answer, by an error of one of some kinds."""

    use: str
    image: int
    expected: tuple[type[CamserveError], ...]

    def run(self, worker: Worker, model: str, classifier: Classifier) -> None:
        """Classify the image and count the outcome."""
        worker.counts.add(self.use, "calls")
        try:
            answer = classifier.classify(worker.path(self.image), cam=True)
        except self.expected:
            worker.counts.add(self.use, "ended")
        except Exception as error:  # noqa: BLE001
            worker.counts.failed(self.use, error)
        else:
            worker.counts.answered(self.use, worker.site.known.problem(model, self.image, answer))


USES: tuple[Callable[[Worker, str], None], ...] = (
    one_by_one,
    stream_to_the_end,
    stream_left,
    stream_interrupted,
    short_deadlines,
    closed_under_way,
)


def main(site_file: str, seed: str, pause: str, *shared: str) -> None:
    """Use the server until a command or the end of standard input ends it."""
    site, counts, gate = load_site(Path(site_file)), Counts(), Gate()
    classifiers = {model: _connect(site.url, model, shared=bool(shared)) for model in site.known.models}
    threads = []
    for place, use in enumerate(USES):
        own = random.Random(f"{seed} {place}")
        worker = Worker(site, counts, own, classifiers, bool(shared))
        threads.append(threading.Thread(target=_work, args=(worker, use, gate, float(pause)), daemon=True))
    tasks = partial(async_clients.work, site, counts, gate, float(pause), seed)
    threads.append(threading.Thread(target=lambda: asyncio.run(tasks()), daemon=True))
    for thread in threads:
        thread.start()
    inside = 0
    for line in sys.stdin:
        command = line.strip()
        if command == "open":
            gate.open()
        elif command != "report":
            inside = gate.close() if command == "close" else gate.end()
        sys.stdout.write(json.dumps({**counts.document(), "inside": inside}) + "\n")
        sys.stdout.flush()
        if command == "end":
            break
    gate.ended.set()
    for thread in threads:
        thread.join(30.0)
    for classifier in classifiers.values():
        classifier.close()


def _connect(url: str, model: str, *, shared: bool) -> Classifier:
    """Connect, and wait for a server that is being restarted."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return Classifier(url, model, shared_memory=shared)
        except ConnectionFailedError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


def _work(worker: Worker, use: Callable[[Worker, str], None], gate: Gate, pause: float) -> None:
    for _ in gate.rounds(pause):
        use(worker, worker.random.choice(worker.site.known.models))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):
        main(*sys.argv[1:])
