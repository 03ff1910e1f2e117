"""The embedded Triton: a real Triton server on a repository, started, monitored and always ended."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock
from types import TracebackType
from typing import Any

from camserve.errors import ServerError
from camserve.serving.server.cpu_models import cpu_changes, cpu_configs
from camserve.serving.server.environment import TritonInstallation, find_triton
from camserve.serving.server.host_checks import warn_about_shared_memory
from camserve.serving.server.launch import Run, launch
from camserve.serving.server.model_processes import ModelProcessWatch
from camserve.serving.server.model_selection import check_models, selected_versions, with_file_models
from camserve.serving.server.previous_run import PreviousRun, remember
from camserve.serving.server.running_server import RunningServer
from camserve.serving.server.server_options import ServerOptions
from camserve.serving.server.start_retries import start_with_retries
from camserve.serving.server.startup import StartupCrashError, await_ready
from camserve.serving.server.warning_watch import WarningWatch

__all__ = ["TritonServer"]

_log = logging.getLogger("camserve.serving")

_GRACE_SECONDS = 10.0
"""Time after the drain period until the server is killed."""

_CRASHES = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGKILL", "SIGSEGV")
"""The usual reasons of a restart. Their numbers start at 0, since Prometheus sees only the increase of what exists."""


class TritonServer(RunningServer):
    """A Triton server on a repository, usable as a context manager.

    It ends with the context, and also if the program that started it dies, or if the process of a model dies, which
    Triton would not start again.

    Args:
        repository: Folder that `publish` wrote to.
        options: Options of the server (default: `ServerOptions()`).
        changes: Options by name, which take precedence over `options`: `TritonServer(repository, grpc_port=8001)`.

    Attributes:
        repository: The repository.
        options: The options.
        restarts: Number of restarts by reason, such as `SIGSEGV`, since `start`; the server has it as the metric
            `camserve_restarts`.
        stopped: Set by `stop`, cleared by `start`; from then on, `supervise` does not start the server again.
        cpu_changes: With the option `cpu`, how each model that was published for GPUs is served on the CPU, by name.

    Raises:
        UsageError: If an option is out of range, or two options conflict.
    """

    def __init__(self, repository: str | Path, *, options: ServerOptions | None = None, **changes: Any) -> None:
        super().__init__(replace(options or ServerOptions(), **changes))
        self.repository = Path(repository).expanduser().resolve()
        self.restarts = _no_restarts()
        self.stopped = Event()
        self.cpu_changes: Mapping[str, str] = {}
        self._ending = Lock()
        self._ready = False
        self._previous = PreviousRun()
        self._model_watch: ModelProcessWatch | None = None

    def __enter__(self) -> TritonServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until every model is ready.

        A start is retried if another program took a free port that was chosen, and once if Triton crashed with a lock
        exception, a known bug of its startup (https://github.com/triton-inference-server/server/issues/8882).

        Raises:
            RepositoryError: If the repository cannot be read, contains no model, or lacks a selected one.
            ServerError: If the server cannot run on this machine, a port is in use, a model does not load, or the
                server is not ready in time.
        """
        self._check_ended()
        self.stopped.clear()
        self.restarts = _no_restarts()
        check_models(self.repository, self.options)
        options = with_file_models(self.repository, self.options)
        selected = selected_versions(self.repository, options)
        warn_about_shared_memory(self.repository, selected)
        self.cpu_changes = cpu_changes(self.repository, selected) if self.options.cpu else {}
        try:
            self._start(options, {})
        except StartupCrashError as error:
            raise error.failure from None

    def restart(self, reason: str) -> tuple[str, ...]:
        """Start a server that has ended again, and wait until it is ready.

        It has the same ports and, in explicit mode, the models that it had loaded when it ended, each with the same
        versions and configuration. Where these are not known or do not exist any more, it has those of the repository,
        and a warning is logged if the versions are others. Models that cannot be loaded any more do not prevent that.

        Args:
            reason: Why it ended, such as `SIGSEGV`.

        Returns:
            Why models are not served, one sentence each.

        Raises:
            StartupCrashError: If it ends before it is ready.
            ServerError: As for `start`.
        """
        self._check_ended()
        self.restarts[reason] += 1
        previous = self._previous
        resumption = previous.resume(self.options, self.repository)
        self._start(resumption.options, resumption.configs)
        if self.options.cpu:
            self.cpu_changes = cpu_changes(self.repository, self._loaded)
        if self.options.model_control == "explicit":
            for sentence in previous.replaced(self._loaded, self.repository, self.grpc_url):
                _log.warning("%s", sentence)
        return (*resumption.missing, *self._running.failures)

    def wait(self) -> int:
        """Wait until the server ends and return its exit code; if a signal ended it, the negative signal number."""
        code = self._running.process.wait()
        self._clean_up()
        return code

    def stop(self, *, grace: float | None = None) -> int:
        """Shut the server down gracefully, if it runs: requests in flight are answered.

        It can be called from another thread than the one that waits for the server or supervises it.

        Args:
            grace: Seconds until it is killed (default: `drain_seconds` and 10 more).

        Returns:
            Its exit code: 0 if it was not running, 1 if requests in flight were not answered in time.
        """
        self.stopped.set()
        return self._stop(self.options.drain_seconds + _GRACE_SECONDS if grace is None else grace)

    def _check_ended(self) -> None:
        if self._run is not None:
            raise ServerError("the server is already running")

    def _stop(self, grace: float) -> int:
        run = self._run
        if run is None:
            return 0
        if self._model_watch is not None:
            self._model_watch.end()
        code = run.process.stop(grace)
        self._clean_up()
        return code

    def _clean_up(self) -> None:
        with self._ending:
            if self._run is not None:
                self._last_log = self._run.log_tail
                if self._watch is not None:
                    self._watch.end()
                if self._ready:
                    self._previous = remember(self._run)
                self._run.remove_scratch()
                self._run = None

    def _start(self, options: ServerOptions, configs: Mapping[str, Any]) -> None:
        installation = find_triton()
        start_with_retries(
            lambda: self._start_once(installation, options, configs), fixed_ports=all(options.ports.values())
        )

    def _start_once(self, installation: TritonInstallation, options: ServerOptions, configs: Mapping[str, Any]) -> None:
        self._last_log, self._ready = "", False
        for_cpu = cpu_configs(self.repository) if options.cpu else {}
        chosen = {**for_cpu, **configs}
        self._run = run = launch(installation, self.repository, options, configs=chosen, restarts=self.restarts)
        self._watch = watch = WarningWatch(run.log, run.log_start)
        try:
            await_ready(run, self.repository, options.start_timeout)
            as_published = [name for name in for_cpu if for_cpu[name].version_policy == chosen[name].version_policy]
            self._end_view(run, as_published)
        except BaseException:
            self._stop(0)  # no client has sent a request yet
            raise
        self._ready = True
        loads_later = options.model_control == "explicit"
        self._model_watch = ModelProcessWatch(run.process, changing=loads_later)
        self._model_watch.follow()
        watch.read()
        if loads_later:
            watch.follow()

    def _end_view(self, run: Run, as_published: Collection[str]) -> None:
        with self._ending:
            if run.view is not None and self._run is run:  # another thread may have stopped it
                run.view.end()
                run.view.make_reloadable(but=as_published)


def _no_restarts() -> Counter[str]:
    return Counter(dict.fromkeys(_CRASHES, 0))
