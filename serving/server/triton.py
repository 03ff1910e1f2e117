"""The embedded Triton: the real server, started over a repository, watched and always ended."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from camserve.errors import ServerError
from camserve.serving.server.environment import TritonInstallation, find_triton
from camserve.serving.server.launch import Run, launch
from camserve.serving.server.model_selection import check_models, chosen_models
from camserve.serving.server.server_health import is_ready, served_by_grpc, served_by_http
from camserve.serving.server.server_options import ServerOptions

__all__ = ["TritonServer"]

_INTERVAL = 0.05
_PORT_GONE = "already in use"
_GRACE = 10.0
"""Seconds beyond the draining after which the server is ended by force."""


class TritonServer:
    """A Triton server over a repository, as a context manager.

    It ends with the context, and also when the program that started it dies.

    Args:
        repository: Folder that `publish` wrote into.
        options: How to run it.
        changes: Options by name, in place of those in `options`: `TritonServer(repository, grpc_port=8001)`.

    Raises:
        UsageError: If an option is out of range, or two contradict each other.
    """

    def __init__(self, repository: str | Path, *, options: ServerOptions | None = None, **changes: Any) -> None:
        self.repository = Path(repository).expanduser().resolve()
        self.options = replace(options or ServerOptions(), **changes)
        self._told = ""
        self._run: Run | None = None

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, str]:
        """`host:port` by service: HTTP, gRPC and metrics, as far as they are served."""
        return dict(self._running.addresses)

    @property
    def grpc_url(self) -> str:
        """`host:port` of gRPC."""
        return self._address("gRPC")

    @property
    def http_url(self) -> str:
        """`host:port` of HTTP.

        Raises:
            ServerError: If it is not served.
        """
        return self._address("HTTP")

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus metrics.

        Raises:
            ServerError: If they are not served.
        """
        return f"http://{self._address('metrics')}/metrics"

    @property
    def pid(self) -> int:
        """The server's process number."""
        return self._running.process.pid

    def served(self) -> dict[str, tuple[int, ...]]:
        """The versions that the server answers for, lowest first, by model.

        It says so itself; only where nothing but an encrypted gRPC is served, the repository says so for it.

        Raises:
            ServerError: If it does not run or does not answer.
        """
        addresses = self._running.addresses
        if "HTTP" in addresses:
            return served_by_http(addresses["HTTP"], self.options.admin_key)
        if self.options.tls is None:
            return served_by_grpc(addresses["gRPC"], self.options.admin_key)
        return chosen_models(self.repository, self.options)

    @property
    def log_tail(self) -> str:
        """The last lines that the server logged; of the last run where it has ended."""
        return self._told if self._run is None else self._run.log_tail

    def start(self) -> None:
        """Starts the server and waits until every model is ready.

        Raises:
            RepositoryError: If the repository cannot be read, holds no model, or none of a name that is to be loaded.
            ServerError: If the server cannot run here, a port is taken, a model does not load, or time runs out.
        """
        if self._run is not None:
            raise ServerError("the server is running already")
        check_models(self.repository, self.options)
        installation = find_triton()
        # A free port that was found may be gone before the server takes it.
        for last in (False, False, True):
            try:
                self._start(installation)
            except ServerError:
                if last or all(self.options.ports.values()) or _PORT_GONE not in self._told:
                    raise
            else:
                return

    def wait(self) -> int:
        """Waits until the server ends by itself and returns its exit code; of a signal, its negative number."""
        code = self._running.process.wait()
        self._collect()
        return code

    def stop(self, *, grace: float | None = None) -> int:
        """Ends the server, if it runs: in order, so that requests in flight are answered.

        Args:
            grace: Seconds after which it is ended by force; somewhat more than its own `drain_seconds` unless given.

        Returns:
            Its exit code: 0 also where it did not run, 1 where requests in flight were not answered in time.
        """
        if self._run is None:
            return 0
        code = self._run.process.stop(self.options.drain_seconds + _GRACE if grace is None else grace)
        self._collect()
        return code

    @property
    def _running(self) -> Run:
        if self._run is None:
            raise ServerError("the server is not running", hint="Start it, or use it as a context manager")
        return self._run

    def _address(self, service: str) -> str:
        addresses = self._running.addresses
        if service not in addresses:
            raise ServerError(f"{service} is not served", hint="The server's options say so")
        return addresses[service]

    def _collect(self) -> None:
        if self._run is not None:
            self._told = self._run.log_tail
            self._run.remove_traces()
            self._run = None

    def _start(self, installation: TritonInstallation) -> None:
        self._told = ""
        self._run = launch(installation, self.repository, self.options)
        try:
            self._await_ready(self._run)
        except BaseException:
            self.stop()
            raise

    def _await_ready(self, run: Run) -> None:
        deadline = time.monotonic() + self.options.start_timeout
        while not is_ready(run.addresses):
            if run.process.exited:
                raise self._failure(run, "ended before it was ready")
            if time.monotonic() >= deadline:
                raise self._failure(run, f"was not ready within {self.options.start_timeout:g} s")
            time.sleep(_INTERVAL)

    def _failure(self, run: Run, what: str) -> ServerError:
        if run.failures:
            reasons = "; ".join(run.failures)
            return ServerError(f"Triton cannot serve {self.repository}: {reasons}", hint=_hint(run.failures))
        return ServerError(f"Triton {what}; the end of its log:\n{run.log_tail}\n")


def _hint(reasons: tuple[str, ...]) -> str | None:
    if not any(reason.startswith("model ") for reason in reasons):
        return None
    return "Publish a sound version of that model, or move its folder out of the repository"
