"""The embedded Triton: the real server, started over a repository, watched and always ended."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from camserve.errors import RepositoryError, ServerError
from camserve.serving.repository.listing import list_models
from camserve.serving.server import guard
from camserve.serving.server.command import DRAIN_SECONDS, SERVICES, ModelControl, server_command
from camserve.serving.server.environment import TritonInstallation, assemble, find_triton, server_environment
from camserve.serving.server.log import failures, read_log, tail
from camserve.serving.server.ports import choose_ports, reachable, resolve
from camserve.serving.server.process import ServerProcess

__all__ = ["TritonServer"]

_INTERVAL = 0.05
_PORT_GONE = "already in use"


class TritonServer:
    """A Triton server over a repository, as a context manager.

    It ends with the context, and also when the program that started it dies.

    Args:
        repository: Folder that `publish` wrote into.
        host: IPv4 address, or name of one, to listen on; the loopback unless told otherwise.
        http_port: Port of HTTP; 0 takes any free one.
        grpc_port: Port of gRPC; 0 takes any free one.
        metrics_port: Port of the Prometheus metrics; 0 takes any free one.
        model_control: `none` serves what stands there at the start; `explicit` lets clients load and unload models.
        start_timeout: Seconds until every model must be ready.
        log: File that the server's log is appended to; a temporary one unless given.
    """

    def __init__(
        self,
        repository: str | Path,
        *,
        host: str = "127.0.0.1",
        http_port: int = 0,
        grpc_port: int = 0,
        metrics_port: int = 0,
        model_control: ModelControl = "none",
        start_timeout: float = 120.0,
        log: str | Path | None = None,
    ) -> None:
        self.repository = Path(repository).expanduser().resolve()
        self.host = host
        self._wanted = dict(zip(SERVICES, (http_port, grpc_port, metrics_port), strict=True))
        self._model_control: ModelControl = model_control
        self._start_timeout = start_timeout
        self._log = None if log is None else Path(log).expanduser().absolute()
        self._told = ""
        self._run: _Run | None = None

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def grpc_url(self) -> str:
        """`host:port` of gRPC."""
        return self._url("gRPC")

    @property
    def http_url(self) -> str:
        """`host:port` of HTTP."""
        return self._url("HTTP")

    @property
    def metrics_url(self) -> str:
        """Address of the Prometheus metrics."""
        return f"http://{self._url('metrics')}/metrics"

    @property
    def pid(self) -> int:
        """The server's process number."""
        return self._running.process.pid

    def served(self) -> dict[str, tuple[int, ...]]:
        """The versions that the server answers for, lowest first, by model, as it says itself.

        Raises:
            ServerError: If it does not run or does not answer.
        """
        found: dict[str, list[int]] = {}
        for entry in _index(self._url("HTTP")):
            if entry.get("state") == "READY":
                found.setdefault(entry["name"], []).append(int(entry["version"]))
        return {name: tuple(sorted(found[name])) for name in sorted(found)}

    @property
    def log_tail(self) -> str:
        """The last lines that the server logged; of the last run where it has ended."""
        return self._told if self._run is None else self._run.log_tail

    def start(self) -> None:
        """Starts the server and waits until every model is ready.

        Raises:
            RepositoryError: If the repository cannot be read or holds no model.
            ServerError: If the server cannot run here, a port is taken, a model does not load, or time runs out.
        """
        if self._run is not None:
            raise ServerError("the server is running already")
        _refuse_empty(self.repository)
        installation = find_triton()
        # A free port that was found may be gone before the server takes it.
        for last in (False, False, True):
            self._run = self._launch(installation)
            try:
                self._await_ready(self._run)
            except ServerError:
                self.stop()
                if last or all(self._wanted.values()) or _PORT_GONE not in self._told:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def wait(self) -> int:
        """Waits until the server ends by itself and returns its exit code."""
        code = self._running.process.wait()
        self._collect()
        return code

    def stop(self, *, grace: float = DRAIN_SECONDS + 10.0) -> None:
        """Ends the server, if it runs: in order, so that requests in flight are answered, or by force after `grace`."""
        if self._run is not None:
            self._run.process.stop(grace)
            self._collect()

    @property
    def _running(self) -> _Run:
        if self._run is None:
            raise ServerError("the server is not running", hint="Start it, or use it as a context manager")
        return self._run

    def _url(self, service: str) -> str:
        return self._running.address(service)

    def _collect(self) -> None:
        if self._run is not None:
            self._told = self._run.log_tail
            guard.remove_traces(self._run.scratch)
            self._run = None

    def _launch(self, installation: TritonInstallation) -> _Run:
        host = resolve(self.host)
        ports = choose_ports(host, self._wanted)
        scratch = Path(tempfile.mkdtemp(prefix="camserve-triton-"))
        try:
            backends = assemble(installation, scratch / "backends")
            command = server_command(
                installation,
                self.repository,
                backends,
                host=host,
                ports=ports,
                model_control=self._model_control,
                shared_memory_prefix=scratch.name,
            )
            log = self._log or scratch / "log"
            log_start = log.stat().st_size if log.exists() else 0
            process = ServerProcess(command, server_environment(installation, backends), log, scratch)
        except OSError as error:
            guard.remove_traces(scratch)
            raise ServerError(f"the server could not be started: {error}") from error
        except BaseException:
            guard.remove_traces(scratch)
            raise
        return _Run(process, host, ports, scratch, log, log_start)

    def _await_ready(self, run: _Run) -> None:
        deadline = time.monotonic() + self._start_timeout
        while not _is_ready(run.address("HTTP")):
            if run.process.exited:
                raise self._failure(run, "ended before it was ready")
            if time.monotonic() >= deadline:
                raise self._failure(run, f"was not ready within {self._start_timeout:g} s")
            time.sleep(_INTERVAL)

    def _failure(self, run: _Run, what: str) -> ServerError:
        reasons = failures(read_log(run.log, start=run.log_start))
        if reasons:
            return ServerError(f"Triton cannot serve {self.repository}: {'; '.join(reasons)}", hint=_hint(reasons))
        return ServerError(f"Triton {what}; the end of its log:\n{run.log_tail}\n")


@dataclass(frozen=True)
class _Run:
    """One run of the server."""

    process: ServerProcess
    host: str
    ports: dict[str, int]
    scratch: Path
    log: Path
    log_start: int

    def address(self, service: str) -> str:
        return reachable(self.host, self.ports[service])

    @property
    def log_tail(self) -> str:
        return tail(self.log, start=self.log_start)


def _hint(reasons: tuple[str, ...]) -> str | None:
    if not any(reason.startswith("model ") for reason in reasons):
        return None
    return "Publish a sound version of that model, or move its folder out of the repository"


def _refuse_empty(repository: Path) -> None:
    if not any(model.versions for model in list_models(repository)):
        raise RepositoryError(
            f"the repository {repository} holds no model",
            hint=f"Publish one with: camserve publish BUNDLE_DIR --repository {repository}",
        )


def _is_ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2.0)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _index(address: str) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection(address, timeout=10.0)
    try:
        connection.request("POST", "/v2/repository/index", body="{}")
        entries: list[dict[str, str]] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ServerError(f"Triton at {address} does not say what it serves: {error}") from error
    else:
        return entries
    finally:
        connection.close()
