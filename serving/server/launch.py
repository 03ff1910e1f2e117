"""One run of the server: its process, its addresses and its traces on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from camserve.errors import ServerError
from camserve.serving.server import guard
from camserve.serving.server.command import server_command
from camserve.serving.server.environment import TritonInstallation, assemble, server_environment
from camserve.serving.server.log import failures, read_log, tail
from camserve.serving.server.ports import choose_ports, reachable, resolve
from camserve.serving.server.process import ServerProcess
from camserve.serving.server.server_options import ServerOptions

__all__ = ["Run", "launch"]


@dataclass(frozen=True)
class Run:
    """One run of the server.

    Attributes:
        process: The server and its guard.
        addresses: `host:port` by which this machine reaches each service that is served.
        scratch: Folder of everything that it writes here, its log aside where that was given a place.
        log: File of its log.
        log_start: Where in the file this run begins.
    """

    process: ServerProcess
    addresses: Mapping[str, str]
    scratch: Path
    log: Path
    log_start: int

    @property
    def log_tail(self) -> str:
        """The last lines that it logged."""
        return tail(self.log, start=self.log_start)

    @property
    def failures(self) -> tuple[str, ...]:
        """What it says it could not do."""
        return failures(read_log(self.log, start=self.log_start))

    def remove_traces(self) -> None:
        """Removes what it left behind."""
        guard.remove_traces(self.scratch)


def launch(installation: TritonInstallation, repository: Path, options: ServerOptions) -> Run:
    """Starts the server and does not wait for it.

    Raises:
        ServerError: If it cannot be started, a port is taken, or this Triton lacks what an option asks for.
    """
    hosts = {service: resolve(host) for service, host in options.hosts.items()}
    ports = choose_ports({service: (host, options.ports[service]) for service, host in hosts.items()})
    scratch = Path(tempfile.mkdtemp(prefix="camserve-triton-"))
    try:
        backends = assemble(installation, scratch / "backends")
        command = server_command(
            installation, repository, backends, options=options, ports=ports, shared_memory_prefix=scratch.name
        )
        # What models have in temporary files when they are killed goes with the folder.
        environment = server_environment(installation, backends, temporary=scratch)
        log = scratch / "log" if options.log is None else Path(options.log).expanduser().absolute()
        log_start = log.stat().st_size if log.exists() else 0
        process = ServerProcess(command, environment, log, scratch)
    except OSError as error:
        guard.remove_traces(scratch)
        raise ServerError(f"the server could not be started: {error}") from error
    except BaseException:
        guard.remove_traces(scratch)
        raise
    addresses = {service: reachable(host, port) for service, (host, port) in ports.items()}
    return Run(process, addresses, scratch, log, log_start)
