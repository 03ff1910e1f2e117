"""The embedded Triton: a real Triton server on a repository, started, monitored and always ended."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from camserve.errors import ServerError
from camserve.serving.server.environment import TritonInstallation, find_triton
from camserve.serving.server.host_hints import host_hint, limits_hint
from camserve.serving.server.launch import Run, launch
from camserve.serving.server.model_selection import check_models, selected_versions
from camserve.serving.server.server_health import is_ready, served_over_http
from camserve.serving.server.server_options import ServerOptions

__all__ = ["TritonServer"]

_log = logging.getLogger("camserve.serving")

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 10.0
"""Time after the drain period until the server is killed."""

_PORT_IN_USE = "already in use"
_PORT_RETRIES = 2
_LOCK_EXCEPTION = "boost::interprocess::lock_exception"
_LOCK_RETRIES = 1


class TritonServer:
    """A Triton server on a repository, usable as a context manager.

    It ends with the context, and also if the program that started it dies.

    Args:
        repository: Folder that `publish` wrote to.
        options: Options of the server (default: `ServerOptions()`).
        changes: Options by name, which take precedence over `options`: `TritonServer(repository, grpc_port=8001)`.

    Raises:
        UsageError: If an option is out of range, or two options conflict.
    """

    def __init__(self, repository: str | Path, *, options: ServerOptions | None = None, **changes: Any) -> None:
        self.repository = Path(repository).expanduser().resolve()
        self.options = replace(options or ServerOptions(), **changes)
        self._last_log = ""
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
        """`host:port` of each enabled service: HTTP, gRPC and metrics."""
        return dict(self._running.addresses)

    @property
    def grpc_url(self) -> str:
        """`host:port` of gRPC."""
        return self._address("gRPC")

    @property
    def http_url(self) -> str:
        """`host:port` of HTTP.

        Raises:
            ServerError: If HTTP is disabled.
        """
        return self._address("HTTP")

    @property
    def metrics_url(self) -> str:
        """URL of the Prometheus metrics.

        Raises:
            ServerError: If the metrics are disabled.
        """
        return f"http://{self._address('metrics')}/metrics"

    @property
    def pid(self) -> int:
        """Process ID of the server."""
        return self._running.process.pid

    def served(self) -> dict[str, tuple[int, ...]]:
        """Return the versions that the server serves, lowest first, by model.

        They are requested from the server. If it serves only encrypted gRPC, they are read from the repository.

        Raises:
            ServerError: If the server is not running or does not answer.
        """
        addresses = self._running.addresses
        if "HTTP" in addresses:
            try:
                return served_over_http(addresses["HTTP"], self.options.admin_key)
            except ServerError as error:
                raise ServerError(error.message, hint=host_hint(self._running.log_text, None)) from None
        if self.options.tls is None:
            from camserve.serving.live.server import LiveServer  # noqa: PLC0415 - heavy, and rarely needed here

            with LiveServer(addresses["gRPC"], admin_key=self.options.admin_key) as live:
                return live.served()
        return selected_versions(self.repository, self.options)

    @property
    def log_tail(self) -> str:
        """The last lines of the log, also after the server has ended."""
        return self._last_log if self._run is None else self._run.log_tail

    def start(self) -> None:
        """Start the server and wait until every model is ready.

        A start is retried if another program took a free port that was chosen, and once if Triton crashed with a lock
        exception, a known bug of its startup (https://github.com/triton-inference-server/server/issues/8882).

        Raises:
            RepositoryError: If the repository cannot be read, contains no model, or lacks a selected one.
            ServerError: If the server cannot run on this machine, a port is in use, a model does not load, or the
                server is not ready in time.
        """
        if self._run is not None:
            raise ServerError("the server is already running")
        check_models(self.repository, self.options)
        installation = find_triton()
        port_retries = 0 if all(self.options.ports.values()) else _PORT_RETRIES
        lock_retries = _LOCK_RETRIES
        while True:
            try:
                self._start(installation)
            except _StartupCrashError as error:
                if lock_retries and _LOCK_EXCEPTION in error.log:
                    lock_retries -= 1
                    _log.warning(
                        "Triton crashed at startup with %s, a known bug (server issue 8882); starting it again",
                        _LOCK_EXCEPTION,
                    )
                elif port_retries and _PORT_IN_USE in error.log:
                    port_retries -= 1
                else:
                    raise ServerError(error.message, hint=error.hint) from None
            else:
                return

    def wait(self) -> int:
        """Wait until the server ends and return its exit code; if a signal ended it, the negative signal number."""
        code = self._running.process.wait()
        self._clean_up()
        return code

    def stop(self, *, grace: float | None = None) -> int:
        """Shut the server down gracefully, if it runs: requests in flight are answered.

        Args:
            grace: Seconds until it is killed (default: `drain_seconds` and 10 more).

        Returns:
            Its exit code: 0 if it was not running, 1 if requests in flight were not answered in time.
        """
        if self._run is None:
            return 0
        code = self._run.process.stop(self.options.drain_seconds + _GRACE_SECONDS if grace is None else grace)
        self._clean_up()
        return code

    @property
    def _running(self) -> Run:
        if self._run is None:
            raise ServerError("the server is not running", hint="Call start(), or use it as a context manager")
        return self._run

    def _address(self, service: str) -> str:
        addresses = self._running.addresses
        if service not in addresses:
            raise ServerError(f"{service} is not served", hint="Enable it in the options of the server")
        return addresses[service]

    def _clean_up(self) -> None:
        if self._run is not None:
            self._last_log = self._run.log_tail
            self._run.remove_scratch()
            self._run = None

    def _start(self, installation: TritonInstallation) -> None:
        self._last_log = ""
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
                message, hint = self._failure(run, "ended before it was ready")
                raise _StartupCrashError(message, hint=hint, log=run.log_text)
            if time.monotonic() >= deadline:
                message, hint = self._failure(run, f"was not ready within {self.options.start_timeout:g} s")
                raise ServerError(message, hint=hint)
            time.sleep(_POLL_SECONDS)

    def _failure(self, run: Run, what: str) -> tuple[str, str | None]:
        """Return the message and the hint for a failed start."""
        hint = host_hint(run.log_text, run.process.wait() if run.process.exited else None)
        if run.failures:
            message = f"Triton cannot serve {self.repository}: {'; '.join(run.failures)}"
            return message, hint or _hint(run.failures)
        return f"Triton {what}; the end of its log:\n{run.log_tail}\n", hint or limits_hint()


class _StartupCrashError(ServerError):
    """The server process ended before it was ready.

    Args:
        message: As for `ServerError`.
        hint: As for `ServerError`.
        log: The log of the run.
    """

    def __init__(self, message: str, *, hint: str | None, log: str) -> None:
        super().__init__(message, hint=hint)
        self.log = log


def _hint(reasons: tuple[str, ...]) -> str | None:
    limits = limits_hint()
    if not any(reason.startswith("model ") for reason in reasons):
        return limits
    publish = "Publish a working version of that model, or move its folder out of the repository"
    return f"{publish}. {limits}" if limits else publish
