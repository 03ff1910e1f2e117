"""`camserve serve` as a running program, for tests that look at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from support.command_line import PROGRAM

__all__ = ["SECONDS", "Served", "listening"]

SECONDS = 60
"""How long a server may take to start or to end."""

_MAPPED = "0000000000000000FFFF0000"  # before an IPv4 address that is written as an IPv6 one


class Served:
    """A running `camserve serve` on free ports, and what it said when it was ready.

    Args:
        repository: What it serves.
        options: Further words of its command line.
        environment: Further environment variables.
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
        self.ready: dict[str, Any] = json.loads(self._said())

    def __enter__(self) -> Served:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.end()

    @property
    def triton(self) -> int:
        """The process number of the server itself."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (number,) = (int(child) for child in children if "tritonserver" in Path(f"/proc/{child}/cmdline").read_text())
        return number

    @property
    def command(self) -> list[str]:
        """The words of the server's own command line."""
        return Path(f"/proc/{self.triton}/cmdline").read_text().rstrip("\0").split("\0")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program, not to the server."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Waits for its end and returns exit code and stderr."""
        _, said = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, said

    def _said(self) -> str:
        if self.process.stdout is None:
            raise ValueError("stdout was asked for")
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                return text
        raise AssertionError(f"it did not become ready: {self.end()}")


def listening(pid: int) -> set[tuple[str, int]]:
    """IPv4 addresses and ports that a process listens on; another family's would be told as `?`."""
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


def _ipv4(written: str) -> str:
    if len(written) > 8 and not written.startswith(_MAPPED):
        return "?"
    octets = bytes.fromhex(written[-8:])
    return ".".join(str(octet) for octet in reversed(octets))
