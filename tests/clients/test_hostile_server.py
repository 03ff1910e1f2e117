"""A broken or hostile server: whatever it replies, the client returns the correct answer or one short error."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import numpy as np
import pytest
from support.hostile_server import HostileServer, correct_replies, mutations

from camserve.clients import AsyncClassifier, Classification, Classifier
from camserve.errors import CamserveError
from camserve.images.pixel_arrays import Pixels

IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")
METHODS = ("ModelMetadata", "ModelConfig", "ModelInfer")
Mutation = tuple[str, str, bytes]


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as started:
        yield started


@pytest.fixture(scope="module")
def correct(server: HostileServer) -> Classification:
    server.reset()
    with Classifier(server.url, "toy") as classifier:
        return classifier.classify(IMAGE, cam=True)


def all_mutations() -> list[Mutation]:
    replies = correct_replies()
    return [
        (method, what, message.SerializeToString())
        for method in METHODS
        for what, message in mutations(replies[method])
    ]


def pairs(count: int) -> list[Mutation]:
    """Return random messages with two changes."""
    chosen, replies = random.Random(7), correct_replies()
    once = {method: list(mutations(replies[method])) for method in METHODS}
    found = []
    for _ in range(count):
        method = chosen.choice(METHODS)
        first, message = chosen.choice(once[method])
        second, changed = chosen.choice(list(mutations(message)))
        found.append((method, f"{first}; {second}", changed.SerializeToString()))
    return found


def check(outcome: Classification | CamserveError, correct: Classification, what: str) -> None:
    """Check that an outcome is the correct answer, or an error of a few printable lines."""
    if isinstance(outcome, CamserveError):
        assert str(outcome).isprintable(), what
        assert 0 < len(outcome.message) < 2_000, what
        assert outcome.hint, what
        return
    assert outcome.top == correct.top, what
    for cam, expected in zip(outcome.cams, correct.cams, strict=True):
        assert cam.index == expected.index, what
        np.testing.assert_array_equal(cam.grid, expected.grid)


def outcome_of(url: str) -> Classification | CamserveError:
    try:
        with Classifier(url, "toy", timeout=5) as classifier:
            return classifier.classify(IMAGE, cam=True)
    except CamserveError as error:
        return error


async def async_outcome_of(url: str) -> Classification | CamserveError:
    try:
        async with AsyncClassifier(url, "toy", timeout=5) as classifier:
            return await classifier.classify(IMAGE, cam=True)
    except CamserveError as error:
        return error


def check_all(server: HostileServer, correct: Classification, chosen: list[Mutation]) -> None:
    for method, what, message in chosen:
        server.reset(**{method: message})
        began = time.monotonic()
        check(outcome_of(server.url), correct, f"{method}: {what}")
        assert time.monotonic() - began < 5, f"{method}: {what}"


def test_every_odd_value_is_an_error_or_harmless(server: HostileServer, correct: Classification) -> None:
    check_all(server, correct, all_mutations()[::3])


@pytest.mark.exhaustive
def test_every_odd_value_and_pairs_of_them_are_errors_or_harmless(
    server: HostileServer, correct: Classification
) -> None:
    check_all(server, correct, all_mutations() + pairs(1_000))


def test_every_odd_value_with_asyncio(server: HostileServer, correct: Classification) -> None:
    async def run() -> None:
        for method, what, message in all_mutations()[1::6]:
            server.reset(**{method: message})
            check(await async_outcome_of(server.url), correct, f"{method}: {what}")

    asyncio.run(run())
