"""A server as it can be inspected while it runs: its addresses, its process, its log and what it serves."""

from __future__ import annotations

from camserve.errors import ServerError
from camserve.serving.server.host_hints import host_hint
from camserve.serving.server.launch import Run
from camserve.serving.server.loaded_models import read_loaded_models
from camserve.serving.server.server_health import served_over_http
from camserve.serving.server.server_options import ServerOptions
from camserve.serving.server.warning_watch import WarningWatch

__all__ = ["RunningServer"]


class RunningServer:
    """The part of `TritonServer` that changes nothing.

    Args:
        options: The options of the server.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self._last_log = ""
        self._run: Run | None = None
        self._watch: WarningWatch | None = None

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

    @property
    def fixed(self) -> bool:
        """Whether it runs a copy of Triton's program with the fix for cancelled requests, instead of the original."""
        return self._running.fixed

    def served(self) -> dict[str, tuple[int, ...]]:
        """Return the versions that the server serves, lowest first, by model.

        They are requested from the server. If it serves only encrypted gRPC, they are read from its log.

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
        return self._loaded

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the models of the last start request and do not have, such as a GPU, one sentence each.

        Each is also logged as a warning, in explicit mode up to a second after a client loaded the model.
        """
        return () if self._watch is None else self._watch.found

    @property
    def log_tail(self) -> str:
        """The last lines of the log, also after the server has ended."""
        return self._last_log if self._run is None else self._run.log_tail

    @property
    def _running(self) -> Run:
        if self._run is None:
            raise ServerError("the server is not running", hint="Call start(), or use it as a context manager")
        return self._run

    @property
    def _loaded(self) -> dict[str, tuple[int, ...]]:
        return read_loaded_models(self._running.log, start=self._running.log_start)

    def _address(self, service: str) -> str:
        addresses = self._running.addresses
        if service not in addresses:
            raise ServerError(f"{service} is not served", hint="Enable it in the options of the server")
        return addresses[service]
