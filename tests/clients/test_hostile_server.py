"""A broken or hostile server: whatever it replies, the client returns the correct answer or one short error."""

from __future__ import annotations

import asyncio
import csv
import itertools
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import hostile_cases
from support.command_line import call
from support.hostile_server import HostileServer, correct_answer_to, correct_replies, mutations

from camserve.clients import AsyncClassifier, Classification, Classifier
from camserve.errors import CamserveError
from camserve.images.pixel_arrays import Pixels

IMAGE = Pixels(np.zeros((8, 8, 3), np.uint8), "rgb")
DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"
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


def documented_rows() -> list[str]:
    """Return the first two cells of each row of the table in docs/reliability.md."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(hostile_cases.HEADER)[2].partition("\n\n")[0]
    return [re.sub(r"[^|]*\|[^|]*\|$", "", line).rstrip() for line in section.strip().splitlines()]


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


@pytest.mark.timed
def test_table_of_the_documents_is_true(server: HostileServer, correct: Classification) -> None:
    rows = [hostile_cases.row("nothing unusual", correct, server.url)]
    for what, changes in hostile_cases.cases():
        outcome = hostile_cases.outcome_of(server, changes)
        check(outcome, correct, what)
        rows.append(hostile_cases.row(what, outcome, server.url))
    assert rows == documented_rows()


def _second_is_hostile(server: HostileServer) -> None:
    """Answer every second request with an output of an impossible shape."""
    reply = correct_replies()["ModelInfer"]
    reply.outputs[0].shape[:] = [2**62, 4, 0]
    hostile = reply.SerializeToString()
    counter = itertools.count(1)
    lock = threading.Lock()

    def answer(message: bytes, _: object) -> Any:
        with lock:
            number = next(counter)
        return hostile if number == 2 else correct_answer_to(message)

    server.reset(ModelInfer=answer)


def test_stream_goes_on_after_an_invalid_reply(server: HostileServer) -> None:
    _second_is_hostile(server)
    with Classifier(server.url, "toy") as classifier:
        outcomes = list(classifier.classify_many([IMAGE] * 3, concurrency=1, errors="yield"))
    assert [type(each).__name__ for each in outcomes] == ["Classification", "RequestError", "Classification"]


def test_async_stream_goes_on_after_an_invalid_reply(server: HostileServer) -> None:
    async def run() -> list[str]:
        async with AsyncClassifier(server.url, "toy") as classifier:
            stream = classifier.classify_many([IMAGE] * 3, concurrency=1, errors="yield")
            return [type(each).__name__ async for each in stream]

    _second_is_hostile(server)
    assert asyncio.run(run()) == ["Classification", "RequestError", "Classification"]


def test_score_and_classify_report_an_invalid_reply(server: HostileServer, tmp_path: Path) -> None:
    images = [tmp_path / f"{name}.png" for name in "abc"]
    for image in images:
        Image.new("RGB", (8, 8)).save(image)
    common = ["--model", "toy", "--url", server.url]
    _second_is_hostile(server)
    table = tmp_path / "scores.csv"
    result = call("score", *images, *common, "--output", table, "--concurrency", "1")
    assert result.returncode == 3, result.stderr
    with table.open(newline="", encoding="utf-8") as stream:
        errors = [row["error"] for row in csv.DictReader(stream)]
    assert errors[0] == errors[2] == ""
    assert errors[1].startswith(f"model 'toy' at {server.url} sent an invalid reply: output 'logits' has the impossib")
    server.reset(ModelInfer=b"\xff")
    result = call("classify", images[0], *common)
    assert result.returncode == 1
    assert "the reply is not a message of Triton's protocol" in result.stderr
