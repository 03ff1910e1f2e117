"""Queries of a session: which server receives which request. Cases that are rare with real servers."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from support.client_models import LABELS, served
from support.toy import toy_contract

from camserve.clients.answers import known_versions
from camserve.clients.answers.query import Query
from camserve.clients.answers.readout import Answer
from camserve.clients.answers.served_model import Model, Overrides
from camserve.clients.session import Session
from camserve.clients.steps import Step, Steps, Wait, Work, run_steps
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.values import Reply, Request, ServedModel, Statistics
from camserve.errors import ConnectionFailedError


class Servers(Exchange):
    """An exchange with servers that each serve another version.

    Attributes:
        versions: The version of each server.
        urls: The server to which each inference was addressed, None for any.
        turns: The servers that reply to the inferences addressed to any, in turn.
        before: Called before each reply, with the number of the inference.
    """

    def __init__(self, **versions: str) -> None:
        self.versions = versions
        self.urls: list[str | None] = []
        self.turns: Iterator[str] = itertools.cycle(versions)
        self.before: Callable[[int], None] = lambda number: None

    def describe(
        self, model: str, version: str = "", *, url: str | None = None, deadline: Deadline
    ) -> Steps[ServedModel]:
        yield from Wait(0)
        return served(version=version or self.versions[url or next(iter(self.versions))])

    def infer(self, request: Request, *, url: str | None = None, deadline: Deadline) -> Steps[Reply]:
        yield from Wait(0)
        self.urls.append(url)
        self.before(len(self.urls))
        by = url or next(self.turns)
        logits = np.full((len(request.batch), len(LABELS)), float(self.versions[by]), np.float32)
        return Reply(self.versions[by], by, {"logits": logits}, 0.5, 1, 0)

    def statistics(self, model: str, version: str, *, url: str, deadline: Deadline) -> Steps[Statistics]:
        yield from Wait(0)
        return Statistics(requests=len(self.urls), queue=0.125 * len(self.urls), compute=0.25 * len(self.urls))


def perform(step: Step) -> object:
    return step.compute() if isinstance(step, Work) else None


def connected(servers: Servers) -> Session:
    session = Session("toy", "", tuple(servers.versions), Overrides(), ConnectionOptions())
    run_steps(session.connect(servers), perform)
    return session


def answer_of(servers: Servers, images: int, *, session: Session | None = None, timed: bool = False) -> Answer:
    def query(model: Model) -> Query:
        return Query(model, np.zeros((images, *toy_contract().input.shape), np.float32), ("logits",))

    return run_steps((session or connected(servers)).query(servers, query, timed=timed), perform)


def test_parts_are_sent_to_one_server_after_mixed_versions() -> None:
    servers = Servers(one="1", two="2")
    answer = answer_of(servers, 20)
    assert servers.urls == [None] * 3 + ["one"] * 3
    assert (answer.version, answer.url) == ("1", "one")
    assert np.unique(answer.tensors["logits"]).tolist() == [1.0]


def test_other_servers_reply_if_that_server_fails() -> None:
    def fail(number: int) -> None:
        if number == 5:
            servers.turns = itertools.repeat("two")
            raise ConnectionFailedError("gone")

    servers = Servers(one="1", two="2")
    servers.before = fail
    answer = answer_of(servers, 20)
    assert servers.urls == [None] * 3 + ["one"] * 2 + [None] * 3
    assert (answer.version, answer.url) == ("2", "two")


def test_server_share_is_only_of_the_queried_version() -> None:
    servers = Servers(one="1")
    timings = answer_of(servers, 1, timed=True).timings
    assert (timings.queue, timings.compute, timings.network) == (0.125, 0.25, 0.125)
    servers.before = lambda number: servers.versions.update(one="2")  # before the reply
    timings = answer_of(servers, 1, timed=True).timings
    assert (timings.queue, timings.compute, timings.network) == (None, None, None)


def test_model_read_repeatedly_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def models() -> int:
        gc.collect()
        return sum(isinstance(each, Model) for each in gc.get_objects())

    monkeypatch.setattr(known_versions, "TRUSTED_SECONDS", 0.0)
    servers = Servers(one="1")
    session = connected(servers)
    before = models()
    for _ in range(50):
        answer_of(servers, 1, session=session)
    assert models() == before


def test_compatible_swap_is_followed_by_the_next_query() -> None:
    servers = Servers(one="1")
    session = connected(servers)
    servers.versions["one"] = "2"
    assert answer_of(servers, 1, session=session).query.model.version == "1"
    assert answer_of(servers, 1, session=session).query.model.version == "2"
