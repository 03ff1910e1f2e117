"""`camserve serve` as a separate process, for tests that inspect it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from support.command_line import PROGRAM
from support.process_usage import children

__all__ = ["SECONDS", "ServeProcess", "listening"]

SECONDS = 60
"""How long a server may take to start or to end."""

_IPV4_PREFIX = "0000000000000000FFFF0000"
"""Prefix of an IPv4 address that is written as an IPv6 address."""


class ServeProcess:
    """A running `camserve serve` on free ports.

    Args:
        repository: The repository to serve.
        options: More command-line arguments.
        environment: More environment variables.

    Attributes:
        process: The process.
        ready: What it printed when it was ready.
    """

    def __init__(self, repository: Path, *options: str | Path, environment: Mapping[str, str] | None = None) -> None:
        ports = ["--grpc-port", "0"]
        for service in ("http", "metrics"):
            if f"--no-{service}" not in options and not (service == "http" and "--tls-key" in options):
                ports += [f"--{service}-port", "0"]
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--repository", str(repository), *ports, "--json", *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        self.ready: dict[str, Any] = json.loads(self._read_document())

    def __enter__(self) -> ServeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with suppress(ValueError, ProcessLookupError):  # there is no server before a restart
                os.kill(self.triton, signal.SIGKILL)  # a graceful shutdown takes 3 seconds
            self.end()

    @property
    def triton(self) -> int:
        """Process ID of tritonserver."""
        (guard,) = children(self.process.pid)
        (pid,) = children(guard)
        return pid

    @property
    def command(self) -> list[str]:
        """The command line of tritonserver."""
        return Path(f"/proc/{self.triton}/cmdline").read_text().rstrip("\0").split("\0")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program, not to tritonserver."""
        self.process.send_signal(number)

    def next_document(self) -> dict[str, Any]:
        """Wait for the next JSON document that it prints, and return it."""
        document: dict[str, Any] = json.loads(self._read_document())
        return document

    def end(self) -> tuple[int, str]:
        """Wait until the program ends and return its exit code and stderr."""
        _, stderr = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, stderr

    def _read_document(self) -> str:
        if self.process.stdout is None:
            raise ValueError("stdout is not a pipe")
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                return text
        raise AssertionError(f"the server did not become ready: {self.end()}")


def listening(pid: int) -> set[tuple[str, int]]:
    """Return the IPv4 addresses and ports that a process listens on; other addresses are returned as `?`."""
    links = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                found.add((_ipv4(address), int(port, 16)))
    return found


def _ipv4(hexadecimal: str) -> str:
    if len(hexadecimal) > 8 and not hexadecimal.startswith(_IPV4_PREFIX):
        return "?"
    octets = bytes.fromhex(hexadecimal[-8:])
    return ".".join(str(octet) for octet in reversed(octets))
