"""The transport of threads: performs the steps of requests by blocking calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from camserve.clients.observing.monitor import Monitor
from camserve.clients.steps import Call, Step, Steps, Work, run_steps
from camserve.clients.wire.connection_options import ConnectionOptions
from camserve.clients.wire.connections import Connections
from camserve.clients.wire.exchange import Exchange
from camserve.clients.wire.failures import CallFailed

__all__ = ["Transport"]

P = ParamSpec("P")
T = TypeVar("T")


class Transport:
    """Connections to the servers of one client. May be used from several threads, but a forked process needs its own.

    Args:
        urls: Addresses of the servers, which serve the same models.
        options: How to connect to them.
        monitor: Logs, traces and counts the requests.

    Raises:
        UsageError: If a file of `options.tls` cannot be read, or a token would be sent unencrypted.
    """

    def __init__(self, urls: Sequence[str], options: ConnectionOptions, monitor: Monitor) -> None:
        self._connections = Connections(urls, options, monitor)

    def run(self, request: Callable[Concatenate[Exchange, P], Steps[T]], *args: P.args, **options: P.kwargs) -> T:
        """Run a request to its end.

        Args:
            request: Makes the steps, given the exchange of this transport: a method of `Exchange` itself, such as
                `Exchange.infer`, or a function that uses it.
            args: Further arguments of `request`.
            options: Its keyword arguments.
        """
        return run_steps(request(self._connections.exchange, *args, **options), self._perform)

    def close(self) -> None:
        """End the wait for every pending call at once, and each connection after its last call.

        Closing twice has no effect.
        """
        self._connections.close()

    def check_open(self) -> None:
        """Check that the transport is not closed.

        Raises:
            UsageError: If it is.
        """
        self._connections.check_open()

    def _perform(self, step: Step) -> object:
        if isinstance(step, Work):
            return step.compute()
        if isinstance(step, Call):
            return self._call(step)
        self._connections.check_open()
        return self._connections.closing.wait(step.seconds)

    def _call(self, call: Call) -> bytes:
        pending = self._connections.begin(call)
        try:
            return pending.wait(call.seconds)
        except CallFailed as failed:
            raise self._connections.error(failed) from None
        finally:
            pending.abandon_if_pending()  # unless it has ended: Ctrl-C interrupted the wait
