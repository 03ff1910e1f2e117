"""A model at its servers: read when first met, asked, and read anew whenever another version answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from operator import methodcaller

from camserve.clients.answers.batch_tensors import split
from camserve.clients.answers.classification import Timings
from camserve.clients.answers.known_versions import KnownVersions, check_same
from camserve.clients.answers.query import Query
from camserve.clients.answers.readout import Answer, validate_replies
from camserve.clients.answers.served_model import Model, Overrides, read_model
from camserve.clients.answers.timing import with_server_share
from camserve.clients.steps import Call, Steps, Work
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.messages import Reply, Request, Statistics
from camserve.errors import (
    ConnectionFailedError,
    ContractError,
    DeadlineError,
    NotLoadedError,
    RequestError,
    UsageError,
)
from camserve.text import printable

__all__ = ["Session"]

_log = logging.getLogger("camserve.clients")
_LOOKS = 5


class Session:
    """What a classifier knows of its model, and how it asks it. May be used from several threads.

    Args:
        name: The model.
        version: Its version; empty for the newest that is served.
        urls: The servers.
        given: What the caller says of the model.
        options: How the servers are called.
    """

    def __init__(
        self, name: str, version: str, urls: Sequence[str], given: Overrides, options: ConnectionOptions
    ) -> None:
        self._name = name
        self._version = version
        self._urls = urls
        self._given = given
        self._timeout = options.timeout
        self._connect_timeout = min(options.connect_timeout, options.timeout)
        self._read_so_far: KnownVersions | None = None
        self._lock = threading.Lock()

    @property
    def model(self) -> Model:
        """The model that the next question is made for.

        Raises:
            UsageError: If it was not read yet.
        """
        return self._known.current

    @property
    def is_connected(self) -> bool:
        """Whether the model was read."""
        return self._read_so_far is not None

    def connect(self) -> Steps[None]:
        """Reads the model for the first time, from any server.

        Raises:
            ContractError: If it does not keep its contract; see `read_model`.
            CamserveError: If it cannot be read.
        """
        deadline = Deadline.after(self._connect_timeout)
        served = yield Call(methodcaller("describe", self._name, self._version, deadline=deadline))
        known = KnownVersions(read_model(served, self._given))
        if len(self._urls) == 1:
            known = known.with_version(self._urls[0], known.current, time.monotonic())
        self._read_so_far = known

    def is_ready(self) -> Steps[bool]:
        """Whether a server says that it serves the model."""
        deadline = Deadline.after(self._connect_timeout)
        ready: bool = yield Call(methodcaller("is_ready", self._name, self._version, deadline=deadline))
        return ready

    def ask(self, make: Callable[[Model], Query], *, timed: bool = False, quick: bool = False) -> Steps[Answer]:
        """Makes a question, sends it, and holds the answer to the contract for which the question was made.

        It is asked anew, within the same deadline, when the version that answered was swapped away before its contract
        could be read, or when the parts of a batch were answered by two versions.

        Args:
            make: Makes the question for a model. It may be called again.
            timed: Whether to ask the servers for their share of the time.
            quick: Whether making it takes so little that no event loop is held up by it.

        Raises:
            ContractError: If the model changed under the question, or the answer is not what was promised.
            CamserveError: If there is no answer.
        """
        deadline: Deadline | None = None
        url: str | None = None
        while True:
            began = time.perf_counter()
            question: Query = make(self.model) if quick else (yield Work(partial(make, self.model)))
            prepared = time.perf_counter() - began
            deadline = deadline or Deadline.after(self._timeout)
            before = (yield from self._statistics(question, deadline)) if timed else {}
            replies = yield from self._send(question, url, deadline)
            if replies and (yield from self._are_of_one_model(replies, question, deadline)):
                timings = Timings(prepare=prepared, call=sum(reply.seconds for reply in replies), read=0.0)
                if timed:
                    timings = yield from self._timed(timings, question, replies, before, deadline)
                return self._answer(question, replies, timings)
            if deadline.expired:
                raise DeadlineError(
                    f"model {self._name!r} changed faster than it could be asked, for {deadline.seconds:g} s",
                    hint="Ask again once its version stands",
                )
            # Servers may follow different versions for long: all parts go to one of them, unless it fails.
            url = replies[0].url if replies and url is None else None

    def _send(self, question: Query, url: str | None, deadline: Deadline) -> Steps[Sequence[Reply]]:
        """The replies to the parts of a question, from any server or that one; none if it must be made anew."""
        replies = []
        outputs = [question.model.served_name(name) for name in question.outputs]
        for part in split(question.batch, question.model.max_batch_size):
            request = Request(self._name, self._version, question.model.input, part, outputs)
            try:
                replies.append((yield Call(methodcaller("infer", request, url=url, deadline=deadline))))
            except (ConnectionFailedError, NotLoadedError):
                if url is None:
                    raise
                return ()
            except RequestError as refusal:
                if not (yield from self._takes_less(question, len(part), refusal, deadline)):
                    raise
                return ()
        return replies

    def _takes_less(self, question: Query, images: int, refusal: RequestError, deadline: Deadline) -> Steps[bool]:
        """Whether so many images were refused because the model by now takes less of them at once.

        Raises:
            ContractError: If it was refused because the model has another contract by now.
        """
        for url in self._urls:
            with suppress(ConnectionFailedError, DeadlineError, RequestError):
                model = yield from self._read(url, self._version, deadline)
                self._check_same(question, model, url, refusal)
                if 0 < model.max_batch_size < images:
                    self._change(methodcaller("with_current", model))
                    return True
        return False

    def _are_of_one_model(self, replies: Sequence[Reply], question: Query, deadline: Deadline) -> Steps[bool]:
        """Whether one version gave all replies, and could be read.

        Raises:
            ContractError: If it is not the model that was asked.
        """
        if len({reply.version for reply in replies}) > 1:
            return False
        for url, version in dict.fromkeys((reply.url, reply.version) for reply in replies):
            model = self._known.model_at(url, version, time.monotonic())
            if model is None:
                try:
                    model = yield from self._read(url, version, deadline)
                except (ConnectionFailedError, NotLoadedError):
                    return False  # gone already
            self._check_same(question, model, url)
            self._change(methodcaller("with_newer", model))
        return True

    def _answer(self, question: Query, replies: Sequence[Reply], timings: Timings) -> Answer:
        try:
            return validate_replies(question, replies, timings)
        except ContractError:
            for reply in replies:  # it is not what was read of it
                self._change(methodcaller("without", reply.url, reply.version))
            raise

    def _read(self, url: str, version: str, deadline: Deadline) -> Steps[Model]:
        served = yield Call(methodcaller("describe", self._name, version, url=url, deadline=deadline))
        model = self._known.deduplicated(read_model(served, self._given))
        self._change(methodcaller("with_version", url, model, time.monotonic()))
        return model

    def _check_same(self, question: Query, model: Model, url: str, cause: Exception | None = None) -> None:
        try:
            check_same(question.model, model, question.outputs, url)
        except ContractError as error:
            self._change(methodcaller("with_current", model))
            _log.warning("%s", printable(error.message))
            raise error from cause

    def _timed(
        self,
        timings: Timings,
        question: Query,
        replies: Sequence[Reply],
        before: dict[str, Statistics],
        deadline: Deadline,
    ) -> Steps[Timings]:
        if replies[0].version != question.model.version:  # what was counted before is of another version
            return timings
        for _ in range(_LOOKS):  # a server may count a request a moment after it has sent the answer
            timed = with_server_share(timings, replies, before, (yield from self._statistics(question, deadline)))
            if timed is not timings:
                break
        return timed

    def _statistics(self, question: Query, deadline: Deadline) -> Steps[dict[str, Statistics]]:
        """By server, what it spent on the version asked so far; without those that do not answer."""
        found = {}
        version = question.model.version
        for url in self._urls:
            with suppress(ConnectionFailedError, NotLoadedError):
                found[url] = yield Call(methodcaller("statistics", self._name, version, url=url, deadline=deadline))
        return found

    @property
    def _known(self) -> KnownVersions:
        if self._read_so_far is None:
            raise UsageError(
                f"model {self._name!r} was not read yet",
                hint="Connect first: async with AsyncClassifier(...) as classifier, or await classifier.connect()",
            )
        return self._read_so_far

    def _change(self, change: Callable[[KnownVersions], KnownVersions]) -> None:
        with self._lock:
            self._read_so_far = change(self._known)
