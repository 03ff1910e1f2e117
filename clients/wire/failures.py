"""Failed calls: the error to raise, and whether and where the request may be sent again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.reasons import connection_problem
from camserve.errors import ClientError, ConnectionFailedError, DeadlineError, NotLoadedError, RequestError, UsageError
from camserve.text import printable, shortened

__all__ = [
    "DEADLINE_REASON",
    "CallFailed",
    "Failure",
    "InvalidReply",
    "Operation",
    "RetryScope",
    "clock_set",
    "closed",
    "diagnose",
    "is_not_loaded",
    "is_refusal",
    "is_restricted",
    "redact",
    "unresponsive",
]

_NOT_LOADED = re.compile(r"unknown model|no available versions|is not ready|not at ready state", re.IGNORECASE)
_CLOCK = "the clock of this host was set forward during the call"
_UNREACHABLE = re.compile(rf"failed to connect to all addresses|DNS resolution failed|errors resolving|{_CLOCK}")
_RESTRICTED = re.compile(r"protocol is restricted", re.IGNORECASE)
_TOO_LARGE = re.compile(r"CLIENT: Received message larger than max \((\d+) vs\. (\d+)\)")  # of gRPC, for our limit
_DEAD_PROCESS = re.compile(r"Stub process '.*' is not healthy")
_FULL_SHARED_MEMORY = re.compile(r"Failed to increase the shared memory pool")

DEADLINE_REASON = "Deadline Exceeded"
"""The reason that gRPC gives for a deadline that has passed."""

_NO_REASON = "no reason given"
_SHORTEST_SECRET = 4
"""A header value of fewer characters is not a secret, and replacing it would garble the message."""

_REASON_CHARACTERS = 500
"""The most characters of the reason of a server that a message contains."""


class CallFailed(Exception):  # noqa: N818 - raised inside the client only
    """A call that ended without a reply.

    Args:
        status: Name of the gRPC status code.
        why: The reason that gRPC or the server gave.
        metadata: Headers of the call. Their values are removed from the reason: a proxy may quote the token that it
            rejects.
    """

    def __init__(self, status: str, why: str, metadata: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(status)
        self.status = status
        line = redact(printable(" ".join(why.split())), metadata)
        self.why = shortened(line, _REASON_CHARACTERS) or _NO_REASON


class InvalidReply(CallFailed):
    """A reply that is a message of Triton's protocol, but cannot be what the server was called for.

    Args:
        why: What is wrong with it.
    """

    def __init__(self, why: str) -> None:
        super().__init__("DATA_LOSS", why)


class RetryScope(Enum):
    """Where a request that failed may be sent again."""

    ANYWHERE = "anywhere"
    ELSEWHERE = "another server"
    NOWHERE = "nowhere"


class Operation(NamedTuple):
    """What a request is for; used in messages.

    Attributes:
        method: `infer`, `describe`, `versions`, `ready`, `index` or `statistics`.
        model: Name of the model.
        version: Version of the model, or an empty string.
        deadline: Deadline of the request.
        encrypted: Whether the connection uses TLS.
    """

    method: str
    model: str
    version: str
    deadline: Deadline
    encrypted: bool

    @property
    def is_inference(self) -> bool:
        """Whether it sends images, rather than querying the model."""
        return self.method == "infer"

    def at(self, url: str) -> str:
        """Return the model and the server for a message."""
        return f"model {self.model!r}" + (f" version {self.version}" if self.version else "") + f" at {url}"


@dataclass(frozen=True)
class Failure:
    """The diagnosis of a failed attempt.

    Attributes:
        error: The error to raise if there is no further attempt.
        retry: Where the request may be sent again.
        unreachable: Whether there was no connection, so that the request was not sent.
    """

    error: ClientError
    retry: RetryScope
    unreachable: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether to send nothing to the server for a while."""
        return self.retry is not RetryScope.NOWHERE

    def after(self, attempts: int) -> ClientError:
        """Return the error with the number of attempts, if there was more than one."""
        if attempts == 1:
            return self.error
        return type(self.error)(f"{self.error.message} ({attempts} attempts)", hint=self.error.hint)


def redact(text: str, metadata: Iterable[tuple[str, str]]) -> str:
    """Replace the values of headers in a text from a server, given in one line, by `[hidden]`."""
    values = {" ".join(value.removeprefix("Bearer ").split()) for _, value in metadata}
    for value in sorted((each for each in values if len(each) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(value, "[hidden]")
    return text


def unresponsive() -> CallFailed:
    """Return the failure of a call that is not waited for any more because the server hangs."""
    return CallFailed("UNAVAILABLE", "the server stopped responding")


def clock_set() -> CallFailed:
    """Return the failure of a call that gRPC, which measures by the clock of the host, ended before its deadline."""
    return CallFailed("UNAVAILABLE", _CLOCK)


def closed(urls: Sequence[str]) -> UsageError:
    """Return the error for using a transport after it was closed."""
    return UsageError(f"the connection to {', '.join(urls)} is closed", hint="Create a new classifier")


def is_not_loaded(failed: CallFailed) -> bool:
    """Return whether the server reports that it does not serve the model."""
    if isinstance(failed, InvalidReply):  # its reason quotes the server
        return False
    return failed.status == "NOT_FOUND" or bool(_NOT_LOADED.search(failed.why))


def is_restricted(failed: CallFailed) -> bool:
    """Return whether the server requires a header that the call did not have."""
    return bool(_RESTRICTED.search(failed.why))


def is_refusal(failed: CallFailed) -> bool:
    """Return whether the server received the call and refused it, so that the connection works."""
    return is_restricted(failed) or failed.status not in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def diagnose(failed: CallFailed, operation: Operation, url: str) -> Failure:
    """Return the error for a failed attempt, and where to retry."""
    if is_not_loaded(failed):
        # A server that shuts down in order unloads its models first; another one may still have this model.
        error: ClientError = NotLoadedError(
            f"{operation.at(url)} is not loaded: {failed.why}",
            hint="Check the name, and that the model is published and ready",
        )
        return Failure(error, RetryScope.ELSEWHERE)
    if failed.status == "DEADLINE_EXCEEDED":
        scope = RetryScope.NOWHERE if operation.is_inference else RetryScope.ELSEWHERE
        return Failure(_deadline_error(failed, operation, url), scope)
    if is_restricted(failed):
        error = RequestError(
            f"access to {url} denied, the server requires a header: {failed.why}",
            hint="Pass the header with headers={NAME: VALUE}",
        )
        return Failure(error, RetryScope.NOWHERE)
    too_large = _TOO_LARGE.search(failed.why)
    if isinstance(failed, InvalidReply) or too_large:
        why = f"it has {int(too_large[1]):,} bytes, more than {int(too_large[2]):,}" if too_large else failed.why
        error = RequestError(
            f"{operation.at(url)} sent an invalid reply: {why}",
            hint="Check that a Triton server is at this address, and read its log",
        )
        return Failure(error, RetryScope.ELSEWHERE)
    if failed.status in ("UNAVAILABLE", "UNIMPLEMENTED"):
        return _unavailable(failed, operation, url)
    return _refused(failed, operation, url)


def _refused(failed: CallFailed, operation: Operation, url: str) -> Failure:
    if _FULL_SHARED_MEMORY.search(failed.why):
        error = RequestError(
            f"{operation.at(url)} has too little shared memory for the request: {failed.why}",
            hint="Enlarge /dev/shm of the server's host (in Docker: --shm-size=1g), or send fewer images at once",
        )
        return Failure(error, RetryScope.ANYWHERE)
    if _DEAD_PROCESS.search(failed.why):
        error = RequestError(
            f"{operation.at(url)} has lost a process that runs it, perhaps for lack of memory: {failed.why}",
            hint="Restart the server, unless it is supervised, as by camserve serve, and read its log",
        )
        return Failure(error, RetryScope.ANYWHERE)
    message = f"{operation.at(url)} refused the request: {failed.why} ({failed.status})"
    return Failure(RequestError(message, hint="See the log of the server"), RetryScope.NOWHERE)


def _unavailable(failed: CallFailed, operation: Operation, url: str) -> Failure:
    problem = connection_problem(url, failed.why, encrypted=operation.encrypted)
    permanent = problem.permanent or failed.status == "UNIMPLEMENTED"
    error = ConnectionFailedError(problem.message, hint=problem.hint)
    scope = RetryScope.ELSEWHERE if permanent else RetryScope.ANYWHERE
    return Failure(error, scope, unreachable=bool(_UNREACHABLE.search(failed.why)))


def _deadline_error(failed: CallFailed, operation: Operation, url: str) -> DeadlineError:
    because = "" if failed.why in (DEADLINE_REASON, _NO_REASON) else f": {failed.why}"
    options = "timeout" if operation.is_inference else "connect_timeout or timeout"
    return DeadlineError(
        f"{operation.at(url)} did not respond within {operation.deadline.seconds:g} s{because}",
        hint=f"Check that the server is running and not overloaded, or increase {options} (CLI: --timeout)",
    )
