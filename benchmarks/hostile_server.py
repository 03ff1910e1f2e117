"""What a hostile server sends, and what the client reports: the table of docs/reliability.md.

Usage: python benchmarks/hostile_server.py

A client in a process of its own connects and classifies one image per row. The seconds are from the connection to the
outcome, and include the server's; the memory is what the client used at most beyond what it had before, in MB.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.hostile_cases import HEADER, cases, classified, row
from support.hostile_server import HostileServer

_PEAK, _NOW = re.compile(r"VmHWM:\s+(\d+) kB"), re.compile(r"VmRSS:\s+(\d+) kB")
_RESET_PEAK = "5"


def main() -> None:
    """Print the table."""
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    here, there = context.Pipe()
    client = context.Process(target=_client, args=(there,), daemon=True)
    client.start()
    print(HEADER)
    with HostileServer() as server:
        for what, changes in [("nothing unusual", {}), *cases()]:
            server.reset(**changes)
            here.send((what, server.url))
            print(here.recv(), flush=True)
    client.kill()


def _client(connection: Connection) -> None:
    while True:
        what, url = connection.recv()
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        before, began = _kilobytes(_NOW), time.monotonic()
        outcome = classified(url)
        seconds = time.monotonic() - began
        megabytes = max(0, _kilobytes(_PEAK) - before) // 1000
        connection.send(f"{row(what, outcome, url)} {seconds:.2f} | {megabytes} MB |")


def _kilobytes(pattern: re.Pattern[str]) -> int:
    found = pattern.search(Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
