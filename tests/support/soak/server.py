"""The server of a soak: `camserve serve` as a user starts it, what its processes use, and how it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from support.command_line import PROGRAM
from support.process_usage import Usage, command, descendants, is_running, usage

__all__ = ["Restart", "SoakServer"]

_SHARED_MEMORY = Path("/dev/shm")
_START_SECONDS = 120.0
_END_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass
class Restart:
    """A start of tritonserver after the first one.

    Attributes:
        cause: What ended the previous one: the name of a signal that was sent, or `itself`.
        began: When it was sent, or the restart was noticed, by the monotonic clock.
        seconds: Time from then until every model was ready again.
    """

    cause: str
    began: float
    seconds: float | None = None


@dataclass
class SoakServer:
    """A running `camserve serve` in explicit mode on free ports of 127.0.0.1, as a context manager.

    Args:
        repository: The model repository.
        errors: File for its standard error.

    Attributes:
        url: Its gRPC address.
        restarts: The restarts of tritonserver.
        exit_code: Its exit code, once it has ended.
        scratch: The scratch folders of every tritonserver that it started.
    """

    repository: Path
    errors: Path
    url: str = ""
    restarts: list[Restart] = field(default_factory=list)
    exit_code: int | None = None
    scratch: set[Path] = field(default_factory=set)
    _sent: tuple[str, float] | None = None

    def __enter__(self) -> SoakServer:
        ports = [word for service in ("http", "grpc", "metrics") for word in (f"--{service}-port", "0")]
        options = ["--model-control", "explicit", "--allow-shared-memory", "--json", *ports]
        with self.errors.open("wb") as stream:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", "--repository", str(self.repository), *options],
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                start_new_session=True,
            )
        try:
            ready = self._read_ready()
        except BaseException:
            self._process.kill()
            raise
        self.url, self._http = ready["grpc"], ready["http"]
        self._triton = self._find_triton()
        self.started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> list[str]:
        """Drain the server as Ctrl-C does, and return what it left behind."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self.exit_code = self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self.exit_code = self._process.wait()
        return [str(path) for path in self._traces() if path.exists()]

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to tritonserver."""
        self._sent = (number.name, time.monotonic())
        with suppress(ProcessLookupError):
            os.kill(self._triton, number)

    def observe(self) -> bool:
        """Record whether tritonserver was started again, and whether it is ready; return whether `serve` still runs."""
        self.exit_code = self._process.poll()
        if self.exit_code is not None:
            return False
        if not is_running(self._triton):
            with suppress(ProcessLookupError):
                self._triton = self._find_triton()
                self.started = time.monotonic()
                self.restarts.append(Restart(*(self._sent or ("itself", self.started))))
                self._sent = None
        if self.restarts and self.restarts[-1].seconds is None and self._is_ready():
            self.restarts[-1].seconds = time.monotonic() - self.restarts[-1].began
        return True

    def usage(self) -> dict[str, Usage]:
        """Return what each process uses: `serve`, `guard`, `tritonserver`, and the backend of each model."""
        found: dict[str, Usage] = {}
        with suppress(OSError):
            found["serve"] = usage(self._process.pid)
        for pid in descendants(self._process.pid):
            with suppress(OSError):
                role = _role(command(pid))
                found[role] = found.get(role, Usage()) + usage(pid)
        return found

    def files(self) -> dict[str, int]:
        """Return the bytes that it uses in `/dev/shm` and in its scratch folder."""
        shared = [path for path in self._traces() if path.parent == _SHARED_MEMORY]
        return {"shared": sum(map(_allocated, shared)), "scratch": sum(map(_below, self.scratch))}

    def _traces(self) -> list[Path]:
        names = {path.name for path in self.scratch}
        shared = [path for path in _SHARED_MEMORY.iterdir() if any(path.name.startswith(name) for name in names)]
        return [*self.scratch, *shared]

    def _read_ready(self) -> dict[str, Any]:
        lines: list[str] = []
        for line in self._process.stdout or ():
            lines.append(line)
            if line == "}\n":
                document: dict[str, Any] = json.loads("".join(lines))
                return document
        raise RuntimeError(f"camserve serve did not become ready: {self.errors.read_text()}")

    def _find_triton(self) -> int:
        """Return the process ID of tritonserver, and remember its scratch folder.

        Raises:
            ProcessLookupError: If there is none at present.
        """
        for pid in descendants(self._process.pid):
            with suppress(OSError):
                if _role(command(pid)) == "tritonserver":
                    environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
                    folder = next(each for each in environment if each.startswith("TMPDIR="))
                    self.scratch.add(Path(folder.removeprefix("TMPDIR=")))
                    return pid
        raise ProcessLookupError("tritonserver does not run")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._http}/v2/health/ready", timeout=2.0) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False


def _role(words: list[str]) -> str:
    if words[0].endswith("triton_python_backend_stub"):
        return f"backend of {Path(words[1]).parent.parent.name}"
    if words[0].endswith("tritonserver"):
        return "tritonserver"
    return "guard" if any(word.endswith("guard.py") for word in words) else Path(words[0]).name


def _allocated(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _below(folder: Path) -> int:
    return sum(_allocated(path) for path in folder.rglob("*"))
