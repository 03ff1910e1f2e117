"""What is asked of which server, step by step: outcomes that real servers give too seldom."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.client_models import LABELS, served
from support.toy import toy_contract

from camserve.clients.answers import known_versions
from camserve.clients.answers.query import Query
from camserve.clients.answers.readout import Answer
from camserve.clients.answers.served_model import Model, Overrides
from camserve.clients.session import Session
from camserve.clients.steps import Call, Steps, Walk
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.messages import Reply, Request, ServedModel, Statistics
from camserve.errors import ClientError, ConnectionFailedError


class Servers:
    """A transport to servers of which each serves a version of its own.

    Attributes:
        versions: The version of each.
        asked: To which server each request was addressed, None for any.
        turns: Which server answers those addressed to any, in turn.
        before: Called before a request is answered, with its number.
    """

    def __init__(self, **versions: str) -> None:
        self.versions = versions
        self.asked: list[str | None] = []
        self.turns: Iterator[str] = itertools.cycle(versions)
        self.before: Callable[[int], None] = lambda number: None

    def describe(self, model: str, version: str, *, url: str | None = None, deadline: Deadline) -> ServedModel:
        return served(version=version or self.versions[url or next(iter(self.versions))])

    def infer(self, request: Request, *, url: str | None = None, deadline: Deadline) -> Reply:
        self.asked.append(url)
        self.before(len(self.asked))
        by = url or next(self.turns)
        logits = np.full((len(request.batch), len(LABELS)), float(self.versions[by]), np.float32)
        return Reply(self.versions[by], by, {"logits": logits}, 0.5, 1, 0)

    def statistics(self, model: str, version: str, *, url: str, deadline: Deadline) -> Statistics:
        return Statistics(requests=len(self.asked), queue=0.125 * len(self.asked), compute=0.25 * len(self.asked))


def taken(steps: Steps[Any], servers: Servers) -> Any:
    walk = Walk(steps)
    while (step := walk.next) is not None:
        try:
            outcome = step.of(servers) if isinstance(step, Call) else step.run()
        except ClientError as error:
            walk.failed(error)
        else:
            walk.took(outcome)
    return walk.result


def connected(servers: Servers) -> Session:
    session = Session("toy", "", tuple(servers.versions), Overrides(), ConnectionOptions())
    taken(session.connect(), servers)
    return session


def asked(servers: Servers, images: int, *, session: Session | None = None, timed: bool = False) -> Answer:
    def question(model: Model) -> Query:
        return Query(model, np.zeros((images, *toy_contract().input.shape), np.float32), ("logits",))

    answer: Answer = taken((session or connected(servers)).ask(question, timed=timed), servers)
    return answer


def test_parts_that_two_versions_answered_are_asked_of_one_server() -> None:
    servers = Servers(one="1", two="2")
    answer = asked(servers, 20)
    assert servers.asked == [None] * 3 + ["one"] * 3
    assert (answer.version, answer.url) == ("1", "one")
    assert np.unique(answer.tensors["logits"]).tolist() == [1.0]


def test_when_that_server_goes_the_others_answer() -> None:
    def goes(number: int) -> None:
        if number == 5:
            servers.turns = itertools.repeat("two")
            raise ConnectionFailedError("gone")

    servers = Servers(one="1", two="2")
    servers.before = goes
    answer = asked(servers, 20)
    assert servers.asked == [None] * 3 + ["one"] * 2 + [None] * 3
    assert (answer.version, answer.url) == ("2", "two")


def test_the_servers_share_of_the_time_is_told_of_the_version_that_was_asked_alone() -> None:
    servers = Servers(one="1")
    timings = asked(servers, 1, timed=True).timings
    assert (timings.queue, timings.compute, timings.network) == (0.125, 0.25, 0.125)
    servers.before = lambda number: servers.versions.update(one="2")  # before it is answered
    timings = asked(servers, 1, timed=True).timings
    assert (timings.queue, timings.compute, timings.network) == (None, None, None)


def test_a_model_that_is_read_again_and_again_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(each, Model) for each in gc.get_objects())

    monkeypatch.setattr(known_versions, "TRUSTED_SECONDS", 0.0)
    servers = Servers(one="1")
    session = connected(servers)
    before = kept()
    for _ in range(50):
        asked(servers, 1, session=session)
    assert kept() == before


def test_after_a_swap_that_keeps_the_contract_questions_are_made_for_the_new_version() -> None:
    servers = Servers(one="1")
    session = connected(servers)
    servers.versions["one"] = "2"
    assert asked(servers, 1, session=session).query.model.version == "1"
    assert asked(servers, 1, session=session).query.model.version == "2"
