"""What went wrong with a call: an error of ours, and whether and where the call may be tried again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from camserve.clients.wire.connection_options import Deadline
from camserve.clients.wire.reasons import without_connection
from camserve.errors import ClientError, ConnectionFailedError, DeadlineError, NotLoadedError, RequestError, UsageError
from camserve.text import printable

__all__ = [
    "CallFailed",
    "Failure",
    "RetryScope",
    "Subject",
    "closed",
    "diagnose",
    "given_up",
    "is_not_loaded",
    "is_refusal",
    "is_restricted",
]

_NOT_LOADED = re.compile(r"unknown model|no available versions|is not ready|not at ready state", re.IGNORECASE)
_RESTRICTED = re.compile(r"protocol is restricted", re.IGNORECASE)


class CallFailed(Exception):  # noqa: N818 - between a transport and its steps, never seen outside
    """A call that ended without an answer.

    Args:
        status: Name of gRPC's status code.
        why: What gRPC or the server says of it.
    """

    def __init__(self, status: str, why: str) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = printable(" ".join(why.split())) or "no reason given"


class RetryScope(Enum):
    """Where a call that failed may be tried again."""

    ANYWHERE = "anywhere"
    ELSEWHERE = "at another server"
    NOWHERE = "nowhere"


class Subject(NamedTuple):
    """What was asked for, for messages.

    Attributes:
        method: What is asked, `infer` for answers to images.
        model: The model.
        version: Its version, or an empty string.
        deadline: Within which the answer had to come.
        encrypted: Whether the connection uses TLS.
    """

    method: str
    model: str
    version: str
    deadline: Deadline
    encrypted: bool

    @property
    def is_request(self) -> bool:
        """Whether it is about images, not about the model."""
        return self.method == "infer"

    def at(self, url: str) -> str:
        """The model at one server."""
        return f"model {self.model!r}" + (f" version {self.version}" if self.version else "") + f" at {url}"


@dataclass(frozen=True)
class Failure:
    """What became of a try.

    Attributes:
        error: What to tell the caller.
        again: Where it may be tried again.
    """

    error: ClientError
    again: RetryScope

    @property
    def is_lost(self) -> bool:
        """Whether the server had better be left alone for a while."""
        return self.again is not RetryScope.NOWHERE

    def told_after(self, tries: int) -> ClientError:
        """The error, which says how often it was tried."""
        if tries == 1:
            return self.error
        return type(self.error)(f"{self.error.message} (tried {tries} times)", hint=self.error.hint)


def given_up() -> CallFailed:
    """What a call ends with whose server hangs, so that its channel was closed."""
    return CallFailed("UNAVAILABLE", "it no longer answers")


def closed(urls: Sequence[str]) -> UsageError:
    """The error for whoever uses a transport that is closed."""
    return UsageError(f"the connection to {', '.join(urls)} is closed", hint="Make a new Classifier")


def is_not_loaded(failed: CallFailed) -> bool:
    """Whether a server says that it does not serve the model."""
    return failed.status == "NOT_FOUND" or bool(_NOT_LOADED.search(failed.why))


def is_restricted(failed: CallFailed) -> bool:
    """Whether a server says that it does that only for those who show a header."""
    return bool(_RESTRICTED.search(failed.why))


def is_refusal(failed: CallFailed) -> bool:
    """Whether a server got a call and refused it, so that the connection is sound and there is time left."""
    return is_restricted(failed) or failed.status not in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def diagnose(failed: CallFailed, subject: Subject, url: str) -> Failure:
    """What a failed try means."""
    if is_not_loaded(failed):
        # A server that shuts down in order unloads its models first: another one may still have this.
        hint = "Check the name, and that the model was published and is ready"
        return Failure(
            NotLoadedError(f"{subject.at(url)} is not loaded: {failed.why}", hint=hint), RetryScope.ELSEWHERE
        )
    if failed.status == "DEADLINE_EXCEEDED":
        return Failure(_late(subject, url), RetryScope.NOWHERE if subject.is_request else RetryScope.ELSEWHERE)
    if is_restricted(failed):
        error = RequestError(f"{url} does not do that for everyone: {failed.why}", hint="Give that header (headers)")
        return Failure(error, RetryScope.NOWHERE)
    if failed.status == "UNAVAILABLE":
        return _unavailable(failed.why, subject, url)
    if failed.status == "UNIMPLEMENTED":
        failure = _unavailable(failed.why, subject, url)
        return Failure(failure.error, RetryScope.ELSEWHERE)
    message = f"{subject.at(url)} refused the request: {failed.why} ({failed.status})"
    return Failure(RequestError(message, hint="The server's log may say more"), RetryScope.NOWHERE)


def _unavailable(why: str, subject: Subject, url: str) -> Failure:
    reason = without_connection(url, why, encrypted=subject.encrypted)
    again = RetryScope.ELSEWHERE if reason.lasting else RetryScope.ANYWHERE
    return Failure(ConnectionFailedError(reason.what, hint=reason.hint), again)


def _late(subject: Subject, url: str) -> DeadlineError:
    more = "timeout" if subject.is_request else "connect_timeout, timeout"
    return DeadlineError(
        f"{subject.at(url)} gave no answer within {subject.deadline.seconds:g} s",
        hint="Check that the server runs and is not overloaded, or allow more time "
        f"({more}; --timeout at the command line)",
    )
