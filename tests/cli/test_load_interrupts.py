"""`camserve load` that ends early: the server dies, or a signal comes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.command_line import started
from support.disposable_server import DisposableServer
from support.process_usage import children

from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

# No load settles, so that each lasts until its end is reached.
ENDLESS = ("--window", "0.2", "--max-windows", "500", "--warm-up", "0", "--stability", "0.001%", "--timeout", "1")


def wait_for(text: str, process: subprocess.Popen[str]) -> str:
    """Read stderr until a line contains a text, and return what was read."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize(("loads", "windows", "code"), [("1", "500", 1), ("1,2", "3", 3)])
def test_a_server_that_dies_is_named_and_what_was_measured_is_kept(
    toy_repository: Path, tmp_path: Path, loads: str, windows: str, code: int
) -> None:
    table = tmp_path / "load.csv"
    last = loads[-1]
    with DisposableServer(toy_repository) as server:
        options = ("--model", "toy", "--url", server.grpc_url, "--concurrency", loads, "--output", table)
        with started("load", *options, *ENDLESS, "--max-windows", windows) as process:
            wait_for(f"concurrency {last}: window 1", process)
            server.stop(grace=0)
            printed, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert f"warning: concurrency {last}: " in errors
    assert "UNAVAILABLE" in errors
    assert "Traceback" not in errors
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["concurrency"] for row in rows] == loads.split(",")
    assert [bool(row["stopped"]) for row in rows] == [False] * (len(rows) - 1) + [True]
    assert all(float(row["images_per_second"]) > 0 for row in rows[:-1])
    assert len(printed.splitlines()) >= len(rows)


@pytest.mark.parametrize(("number", "description"), [(signal.SIGINT, "Interrupted"), (signal.SIGTERM, "Terminated")])
def test_a_signal_ends_it_with_its_processes_and_without_a_table(
    toy_server: TritonServer, tmp_path: Path, number: signal.Signals, description: str
) -> None:
    options = ("--model", "toy", "--url", toy_server.grpc_url, "--output", tmp_path / "load.csv")
    with started("load", *options, "--concurrency", "2", "--processes", "2", *ENDLESS) as process:
        wait_for("window 1", process)
        senders = children(process.pid)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert printed == ""
    assert errors.endswith(f"{description}\n")
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert len(senders) == 2
    deadline = time.monotonic() + 5
    while any(_exists(pid) for pid in senders):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_signal_keeps_the_loads_that_were_measured(toy_server: TritonServer, tmp_path: Path) -> None:
    options = ("--model", "toy", "--url", toy_server.grpc_url, "--output", tmp_path / "load.csv")
    with started("load", *options, "--concurrency", "1,2", *ENDLESS, "--max-windows", "3") as process:
        wait_for("concurrency 2: window 1", process)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "warning: only 1 load of 2 measured\n" in errors
    assert errors.endswith("Interrupted\n")
    with (tmp_path / "load.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["concurrency"] == "1"
    assert float(row["images_per_second"]) > 0
    assert printed


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
