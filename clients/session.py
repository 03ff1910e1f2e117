"""The model of a classifier at its servers: read at first use, queried, and read again when its version changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Concatenate, ParamSpec

from camserve.clients.answers.batch_tensors import split
from camserve.clients.answers.classification import Timings
from camserve.clients.answers.known_versions import KnownVersions, check_same
from camserve.clients.answers.not_loaded import explain_not_loaded
from camserve.clients.answers.query import Query
from camserve.clients.answers.readout import Answer, validate_replies
from camserve.clients.answers.served_model import Model, Overrides, read_model
from camserve.clients.answers.timing import with_server_share
from camserve.clients.steps import Steps, Wait, Work
from camserve.clients.wire.connection_options import ConnectionOptions, Deadline
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.values import Reply, Request, Statistics
from camserve.errors import (
    ClientError,
    ConnectionFailedError,
    ContractError,
    DeadlineError,
    NotLoadedError,
    RequestError,
    UsageError,
)
from camserve.text import printable

__all__ = ["Session"]

P = ParamSpec("P")

_log = logging.getLogger("camserve.clients")
_STATISTICS_ATTEMPTS = 5
_REPEATED_AT_ONCE = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Session:
    """What is known of a model, and the requests to it. May be used from several threads, and with several exchanges.

    Args:
        name: Name of the model.
        version: Its version; empty for the newest that is served.
        pin_version: Whether the version that is read first is required from then on.
        urls: The servers.
        overrides: What the caller specified about the model.
        options: Timeouts.
    """

    def __init__(
        self,
        name: str,
        version: str,
        urls: Sequence[str],
        overrides: Overrides,
        options: ConnectionOptions,
        *,
        pin_version: bool = False,
    ) -> None:
        self._name = name
        self._version = version
        self._pin_version = pin_version
        self._urls = urls
        self._overrides = overrides
        self._timeout = options.timeout
        self._connect_timeout = min(options.connect_timeout, options.timeout)
        self._versions: KnownVersions | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._name

    @property
    def timeout(self) -> float:
        """Deadline of a query, in seconds."""
        return self._timeout

    @property
    def model(self) -> Model:
        """The model that the next query is made for.

        Raises:
            UsageError: If it has not been read yet.
        """
        return self._known.current

    @property
    def is_connected(self) -> bool:
        """Whether the model has been read."""
        return self._versions is not None

    def connect(self, exchange: Exchange) -> Steps[None]:
        """Read the model for the first time, from any server.

        Raises:
            ContractError: If it does not match its contract, see `read_model`, or its version is to be pinned and the
                server does not report it.
            CamserveError: If it cannot be read.
        """
        deadline = Deadline(self._connect_timeout)
        try:
            served = yield from exchange.describe(self._name, self._version, deadline=deadline)
        except NotLoadedError as error:
            url: str = ""
            models: Mapping[str, Sequence[str]] = {}
            with suppress(ClientError):  # a server may restrict its index
                url, models = yield from exchange.ready_models(self._name, deadline=deadline)
            raise explain_not_loaded(error, self._name, self._version, url, models) from None
        known = KnownVersions(read_model(served, self._overrides))
        if len(self._urls) == 1:
            known = known.with_version(self._urls[0], known.current, time.monotonic())
        if self._pin_version:
            self._version = _pinned(known.current)
        self._versions = known

    def is_ready(self, exchange: Exchange) -> Steps[bool]:
        """Query whether a server serves the model."""
        return exchange.is_ready(self._name, self._version, deadline=Deadline(self._connect_timeout))

    def versions(self, exchange: Exchange) -> Steps[tuple[str, ...]]:
        """Query the versions of the model that a server serves, the newest first."""
        found = yield from exchange.versions_of(self._name, deadline=Deadline(self._connect_timeout))
        return tuple(sorted(found, key=int, reverse=True))

    def statistics(self, exchange: Exchange, version: str, deadline: Deadline) -> Steps[dict[str, Statistics]]:
        """Query the statistics of a version by server, without servers that do not reply."""
        found = {}
        for url in self._urls:
            with suppress(ConnectionFailedError, NotLoadedError):
                found[url] = yield from exchange.statistics(self._name, version, url=url, deadline=deadline)
        return found

    def query(
        self, exchange: Exchange, make: Callable[[Model], Query], *, timed: bool = False, quick: bool = False
    ) -> Steps[Answer]:
        """Make a query, send it, and check the answer against the contract for which the query was made.

        The query is repeated within the same deadline if the version that replied was replaced before its contract
        could be read, or if two versions replied to the parts of a batch.

        Args:
            exchange: Sends the requests.
            make: Makes the query for a model. It may be called again.
            timed: Whether to query the servers for their share of the time.
            quick: Whether `make` is so fast that it does not block an event loop.

        Raises:
            ContractError: If the model was replaced by a different one, or the answer does not match the contract.
            CamserveError: If there is no answer.
        """
        deadline: Deadline | None = None
        url: str | None = None
        repeated = 0
        while True:
            began = time.perf_counter()
            query = make(self.model) if quick else (yield from Work(partial(make, self.model)))
            prepared = time.perf_counter() - began
            deadline = deadline or Deadline(self._timeout)
            before = (yield from self.statistics(exchange, query.model.version, deadline)) if timed else {}
            replies = yield from self._send(exchange, query, url, deadline)
            if replies and (yield from self._have_one_version(exchange, replies, query, deadline)):
                timings = Timings(prepare=prepared, call=sum(reply.seconds for reply in replies), read=0.0)
                if timed:
                    timings = yield from self._with_server_share(
                        exchange, timings, query, replies, before, deadline=deadline
                    )
                return self._answer(query, replies, timings)
            repeated += 1
            if deadline.expired:
                raise DeadlineError(
                    f"model {self._name!r} was replaced repeatedly during the request, within {deadline.seconds:g} s",
                    hint="Send the request again after the deployment has finished",
                )
            # Servers may serve different versions for long: send all parts to one of them, unless it fails.
            url = replies[0].url if replies and url is None else None
            yield from Wait(min(_pause(repeated), deadline.remaining()))

    def _send(self, exchange: Exchange, query: Query, url: str | None, deadline: Deadline) -> Steps[Sequence[Reply]]:
        """Return the replies to the parts of a query, from any server or the given one; none if it must be repeated."""
        replies = []
        outputs = [query.model.served_name(name) for name in query.outputs]
        for part in split(query.batch, query.model.max_batch_size):
            request = Request(self._name, self._version, query.model.input, part, outputs)
            try:
                replies.append((yield from exchange.infer(request, url=url, deadline=deadline)))
            except (ConnectionFailedError, NotLoadedError) as error:
                if url is None:
                    self._explain_pinned(error)
                    raise
                return ()
            except RequestError as refusal:
                if not (yield from self._was_batch_too_large(exchange, query, len(part), refusal, deadline)):
                    raise
                return ()
        return replies

    def _explain_pinned(self, error: ClientError) -> None:
        """Change the hint of an error if the pinned version is not served any more."""
        if self._pin_version and isinstance(error, NotLoadedError):
            error.hint = f"Load version {self._version} again, or leave out --pin-version (in Python, pin_version)"

    def _was_batch_too_large(
        self, exchange: Exchange, query: Query, images: int, refusal: RequestError, deadline: Deadline
    ) -> Steps[bool]:
        """Return whether a request was refused because the model now has a smaller maximum batch size.

        Raises:
            ContractError: If it was refused because the model now has another contract.
        """
        for url in self._urls:
            with suppress(ConnectionFailedError, DeadlineError, RequestError):
                model = yield from self._read(exchange, url, self._version, deadline)
                self._check_same(query, model, url, refusal)
                if 0 < model.max_batch_size < images:
                    self._update(KnownVersions.with_current, model)
                    return True
        return False

    def _have_one_version(
        self, exchange: Exchange, replies: Sequence[Reply], query: Query, deadline: Deadline
    ) -> Steps[bool]:
        """Return whether all replies are from one version, which could be read.

        Raises:
            ContractError: If it is not compatible with the queried model.
        """
        if len({reply.version for reply in replies}) > 1:
            return False
        for url, version in dict.fromkeys((reply.url, reply.version) for reply in replies):
            model = yield from self.model_at(exchange, url, version, deadline)
            if model is None:
                return False
            if model is not query.model:
                self._check_same(query, model, url)
                self._update(KnownVersions.with_newer, model)
        return True

    def model_at(self, exchange: Exchange, url: str, version: str, deadline: Deadline) -> Steps[Model | None]:
        """Return the model of a version that a server replied with; None if it was replaced already."""
        model = self._known.model_at(url, version, time.monotonic())
        if model is None:
            with suppress(ConnectionFailedError, NotLoadedError):
                model = yield from self._read(exchange, url, version, deadline)
        return model

    def _answer(self, query: Query, replies: Sequence[Reply], timings: Timings) -> Answer:
        try:
            return validate_replies(query, replies, timings)
        except ContractError:
            for reply in replies:  # the version is not what was read of it
                self._update(KnownVersions.without, reply.url, reply.version)
            raise

    def _read(self, exchange: Exchange, url: str, version: str, deadline: Deadline) -> Steps[Model]:
        served = yield from exchange.describe(self._name, version, url=url, deadline=deadline)
        model = self._known.deduplicated(read_model(served, self._overrides))
        self._update(KnownVersions.with_version, url, model, time.monotonic())
        return model

    def _check_same(self, query: Query, model: Model, url: str, cause: Exception | None = None) -> None:
        try:
            check_same(query.model, model, query.outputs, url)
        except ContractError as error:
            self._update(KnownVersions.with_current, model)
            _log.warning("%s", printable(error.message))
            raise error from cause

    def _with_server_share(
        self,
        exchange: Exchange,
        timings: Timings,
        query: Query,
        replies: Sequence[Reply],
        before: Mapping[str, Statistics],
        *,
        deadline: Deadline,
    ) -> Steps[Timings]:
        if replies[0].version != query.model.version:  # the statistics before are of another version
            return timings
        for _ in range(_STATISTICS_ATTEMPTS):  # a server may count a request shortly after its reply
            after = yield from self.statistics(exchange, query.model.version, deadline)
            timed = with_server_share(timings, replies, before, after)
            if timed is not timings:
                break
        return timed

    @property
    def _known(self) -> KnownVersions:
        if self._versions is None:
            raise UsageError(
                f"model {self._name!r} has not been read yet",
                hint="Connect first: async with AsyncClassifier(...) as classifier, or await classifier.connect()",
            )
        return self._versions

    def _update(
        self, change: Callable[Concatenate[KnownVersions, P], KnownVersions], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        with self._lock:
            self._versions = change(self._known, *args, **kwargs)


def _pinned(model: Model) -> str:
    if not model.version:
        raise ContractError(
            f"the version of model {model.name!r} cannot be pinned: the server does not report it",
            hint="Leave out pin_version or --pin-version",
        )
    return model.version


def _pause(repeated: int) -> float:
    """Return the seconds before a query is repeated: a server may name a version that it does not have, every time."""
    further = repeated - _REPEATED_AT_ONCE
    return 0.0 if further < 0 else min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(further, 10))
