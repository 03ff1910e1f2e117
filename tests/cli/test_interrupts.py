"""Runs that end early: by a signal, or because the server hangs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from support.command_line import call, started
from support.disposable_server import DisposableServer
from support.suspending import suspended

from camserve.serving import TritonServer

pytestmark = pytest.mark.slow

MANY = 3000


@pytest.fixture(scope="module")
def own_server(toy_repository: Path) -> Iterator[TritonServer]:
    with DisposableServer(toy_repository) as server:
        yield server


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.new("RGB", (8, 8)).save(path)
    return path


@pytest.fixture
def hangup_not_ignored() -> Iterator[None]:
    """Let child processes receive SIGHUP under nohup too: they inherit an ignored signal, but not a handler."""
    before = signal.signal(signal.SIGHUP, lambda number, frame: None)
    yield
    signal.signal(signal.SIGHUP, before)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def scoring(image: Path, table: Path, url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start `camserve score` on many images, and wait until it has recorded rows."""
    record = table.with_name(f"{table.name}.unfinished")
    with started("score", *inputs(image), "--url", url, "--output", table, *options) as process:
        wait_until(lambda: record.exists() and record.stat().st_size > 1000)
        yield process


def inputs(image: Path) -> list[str]:
    """Return the arguments for many images, in a list beside the image."""
    names = image.with_name("list.txt")
    names.write_text(f"{image}\n" * MANY)
    return ["--files-from", str(names), "--model", "toy"]


def rows_recorded(errors: str, table: Path) -> int:
    """Return the number of rows that the first line of stderr reports as recorded."""
    found = re.match(
        rf"warning: ([\d,]+) of {MANY:,} rows are recorded in {table}.unfinished; to go on, run the same command with "
        r"--resume \(in Python: resume=True\)\n",
        errors,
    )
    assert found, errors
    return int(found[1].replace(",", ""))


@pytest.mark.timed
@pytest.mark.usefixtures("hangup_not_ignored")
@pytest.mark.parametrize(
    "ending",
    [(signal.SIGINT, "Interrupted", "0"), (signal.SIGTERM, "Terminated", "2"), (signal.SIGHUP, "Hung up", "2")],
    ids=lambda ending: ending[1],
)
def test_a_signal_ends_scoring_and_keeps_the_old_table_and_the_finished_rows(
    image: Path, own_server: TritonServer, tmp_path: Path, ending: tuple[int, str, str]
) -> None:
    number, description, workers = ending
    table = tmp_path / "table.csv"
    table.write_text("old")
    with scoring(image, table, own_server.grpc_url, "--workers", workers) as process, suspended(own_server):
        time.sleep(0.3)
        process.send_signal(number)
        began = time.monotonic()
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - began < 5
    recorded = rows_recorded(errors, table)
    assert (process.returncode, errors.splitlines()[1:]) == (128 + number, [description])
    assert table.read_text() == "old"
    others = [image, tmp_path / "list.txt"]
    assert sorted(tmp_path.iterdir()) == [*others, table, tmp_path / "table.csv.unfinished"]
    command = [*inputs(image), "--url", own_server.grpc_url, "--output", str(table), "--workers", "0"]
    refused = call("score", *command)
    assert refused.returncode == 2
    assert f"table.csv.unfinished contains {recorded:,} rows of an interrupted run" in refused.stderr
    resumed = call("score", *command, "--resume", "--json")
    summary = json.loads(resumed.stdout)
    assert (summary["rows"], summary["kept"] + summary["scored"]) == (MANY, MANY)
    assert summary["kept"] >= recorded  # all images are one, so that the rows of the first are those of the others
    assert sorted(tmp_path.iterdir()) == [*others, table]


def test_an_ignored_hangup_stays_ignored(image: Path, own_server: TritonServer, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does; a child inherits it
    try:
        with scoring(image, table, own_server.grpc_url) as process:
            process.send_signal(signal.SIGHUP)
            _, errors = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.returncode == 0, errors
    assert table.exists()


@pytest.mark.timed
def test_scoring_stops_at_one_timeout_when_the_server_hangs(
    image: Path, own_server: TritonServer, tmp_path: Path
) -> None:
    table, options = tmp_path / "table.csv", ("--timeout", "3", "--patience", "0")
    with scoring(image, table, own_server.grpc_url, *options) as process, suspended(own_server):
        began = time.monotonic()
        _, errors = process.communicate(timeout=30)
        assert time.monotonic() - began < 5.5
    assert process.returncode == 1
    assert "within 3 s" in errors
    assert "--timeout" in errors
    assert rows_recorded(errors, table) > 0
    assert (tmp_path / "table.csv.unfinished").exists()


def test_answers_before_a_hang_are_printed(image: Path, own_server: TritonServer, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    arguments = ("--model", "toy", "--url", own_server.grpc_url, "--cam-dir", maps, "--timeout", "1", "--json")
    with started("classify", *[image] * MANY, *arguments) as process:
        wait_until(lambda: any(maps.glob("*.png")))
        with suspended(own_server):
            out, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.count("error: ") == 1
    answers = json.loads(out)
    assert 1 <= len(answers) < MANY
    assert all("top" in answer for answer in answers)


def test_ctrl_c_while_the_program_is_imported_prints_no_traceback() -> None:
    """Python handles SIGINT from its start on, with a traceback, until the program takes over."""
    outcomes = set()
    for milliseconds in range(0, 300, 15):
        with started("classify", "missing.png", "--model", "toy") as process:
            for caught in (True, False):
                while _catches_interrupts(process.pid) != caught:
                    time.sleep(0.002)
            time.sleep(milliseconds / 1000)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
            assert "Traceback" not in errors
            assert "KeyboardInterrupt" not in errors
            assert out == ""
            outcomes.add(process.returncode)
    assert -signal.SIGINT in outcomes
    assert outcomes <= {-signal.SIGINT, 128 + signal.SIGINT, 1, 2}  # interrupted, or done before


def _catches_interrupts(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)
