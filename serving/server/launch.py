"""One run of the server: its process, its addresses, its log and its scratch folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camserve.serving.live.no_gpu import explain_missing_gpu
from camserve.serving.server.cancellation_fix import with_cancellation_fix
from camserve.serving.server.command import server_command
from camserve.serving.server.environment import TritonInstallation, assemble_backends, server_environment
from camserve.serving.server.host_checks import check_temporary_folder
from camserve.serving.server.host_hints import start_error
from camserve.serving.server.log import failures, hints, read_log, tail
from camserve.serving.server.ports import choose_ports, client_address, resolve_host
from camserve.serving.server.process import ServerProcess
from camserve.serving.server.repository_view import RepositoryView, create_view
from camserve.serving.server.scratch import Scratch, create_scratch, remove_leftovers
from camserve.serving.server.server_options import ServerOptions

__all__ = ["Run", "launch"]

_log = logging.getLogger("camserve.serving")

_RESTARTS_VARIABLE = "CAMSERVE_RESTARTS"
"""Tells the models how often the server was started again, for the metrics."""

_CONFIGS_VARIABLE = "CAMSERVE_LOADED_CONFIGS"
"""Tells the models where to record the configuration that they were loaded with."""

_CONFIGS = "loaded-configs"


@dataclass(frozen=True)
class Run:
    """One run of the server.

    Attributes:
        process: The server process and its guard.
        addresses: `host:port` of each enabled service, for clients on this machine.
        scratch: The folder for all files of this run, except a log at a given path, and its shared memory.
        log: The log file.
        log_start: Offset of this run in the log file, in bytes.
        fixed: Whether it is a copy of Triton's program with the fix for cancelled requests.
        view: The view of the repository that it reads until it is ready; None if it reads the repository itself.
    """

    process: ServerProcess
    addresses: Mapping[str, str]
    scratch: Scratch
    log: Path
    log_start: int
    fixed: bool
    view: RepositoryView | None

    @property
    def log_text(self) -> str:
        """The log of this run."""
        return read_log(self.log, start=self.log_start)

    @property
    def log_tail(self) -> str:
        """The last lines of the log."""
        return tail(self.log, start=self.log_start)

    @property
    def log_is_complete(self) -> bool:
        """Whether the log file still contains this run from its start on; a log rotation removes that."""
        return self.log_text.startswith(self.scratch.name)

    @property
    def failures(self) -> tuple[str, ...]:
        """The failures in the log, one sentence each."""
        text = self.log_text
        found = failures(text if self.view is None else self.view.with_real_paths(text))
        return tuple(map(explain_missing_gpu, found))

    @property
    def loaded_configs(self) -> Path:
        """The folder in which the models recorded the configuration that they were loaded with."""
        return _configs_folder(self.scratch)

    @property
    def hints(self) -> tuple[str, ...]:
        """The hints of camserve's backends for the failures."""
        return hints(self.log_text)

    def remove_scratch(self) -> None:
        """Remove the files and the shared memory of this run."""
        self.scratch.remove()


def launch(
    installation: TritonInstallation,
    repository: Path,
    options: ServerOptions,
    *,
    configs: Mapping[str, Any],
    restarts: Mapping[str, int],
) -> Run:
    """Start the server without waiting until it is ready.

    Args:
        installation: The Triton installation.
        repository: The model repository.
        options: The server's options.
        configs: The `ModelConfig` messages that take precedence over those of the repository, by model. After the
            start, end the view of the repository in which they are.
        restarts: How often it was started again, by reason. At a restart, a model that does not load does not end it.

    Raises:
        ServerError: If it cannot be started, a port is in use, or this Triton does not support an option.
    """
    hosts = {service: resolve_host(host) for service, host in options.hosts.items()}
    ports = choose_ports({service: (host, options.ports[service]) for service, host in hosts.items()})
    check_temporary_folder()
    try:
        remove_leftovers()
        scratch = create_scratch()
        try:
            run = _start(installation, repository, options, ports, scratch, configs=configs, restarts=restarts)
        except BaseException:
            scratch.remove()
            raise
    except OSError as error:
        raise start_error(error) from None
    if not run.process.private:
        _log.warning(
            "this system refuses the seccomp filter that keeps Triton's shared memory private: every user of this host "
            "can read the tensors of requests in /dev/shm"
        )
    return run


def _start(
    installation: TritonInstallation,
    repository: Path,
    options: ServerOptions,
    ports: Mapping[str, tuple[str, int]],
    scratch: Scratch,
    *,
    configs: Mapping[str, Any],
    restarts: Mapping[str, int],
) -> Run:
    backends = assemble_backends(installation, scratch.folder / "backends")
    chosen = installation if options.original_program else with_cancellation_fix(installation, scratch.folder)
    view = create_view(scratch.folder, repository, configs) if configs else None
    command = server_command(
        chosen,
        repository if view is None else view.link,
        backends,
        options=options,
        ports=ports,
        shared_memory_prefix=scratch.name,
        exit_on_error=not any(restarts.values()),
    )
    # Temporary files of models are removed together with the scratch folder, even if the models are killed.
    environment = server_environment(installation, backends, temporary=scratch.folder, cpu=options.cpu)
    if options.metrics:
        environment[_RESTARTS_VARIABLE] = json.dumps(restarts)
    _configs_folder(scratch).mkdir()
    environment[_CONFIGS_VARIABLE] = str(_configs_folder(scratch))
    log = scratch.folder / "log" if options.log is None else Path(options.log).expanduser().absolute()
    log_start = log.stat().st_size if log.exists() else 0
    addresses = {service: client_address(host, port) for service, (host, port) in ports.items()}
    process = ServerProcess(command, environment, log, scratch)
    return Run(process, addresses, scratch, log, log_start, fixed=chosen is not installation, view=view)


def _configs_folder(scratch: Scratch) -> Path:
    return scratch.folder / _CONFIGS
