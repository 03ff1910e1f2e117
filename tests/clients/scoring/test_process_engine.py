"""Worker processes: rows in order, and an end with their coordinator, however it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import toy_contract

from camserve.clients import Prediction, ScoredRow
from camserve.clients.scoring.engine_choice import open_engine
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.process_engine import ProcessEngine
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.errors import ClientError, ConnectionFailedError, ContractError, ImageError, RequestError, UsageError
from camserve.serving import TritonServer

CONTRACT = toy_contract()
pytestmark = pytest.mark.timed


def answer(names: Sequence[str], count: int) -> Tensors:
    return {name: array for name, array in correct_answer(CONTRACT, count).items() if name in names}


@pytest.fixture(scope="module")
def server() -> Iterator[StubServer]:
    with StubServer(CONTRACT, answer) as started:
        yield started


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{number}.png" for number in range(300)]
    for path in paths:
        Image.fromarray(np.zeros((9, 11, 3), np.uint8)).save(path)
    return paths


@dataclass(frozen=True)
class Poison:
    """A source that ends the process that reads it."""

    signal: int

    def read(self, max_bytes: int) -> bytes:
        os.kill(os.getpid(), self.signal)
        time.sleep(60)  # another thread may receive the signal, a little later
        raise ImageError("still alive")


@dataclass(frozen=True)
class Fault:
    """A source with a mistake in its code."""

    def read(self, max_bytes: int) -> bytes:
        raise ZeroDivisionError("a mistake")


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_rows_are_in_order_and_recorded_rows_are_kept(server: StubServer, images: list[Path]) -> None:
    items = [item_of_file(path) for path in images]
    items[7] = Item("bad", "7", items[7].source)
    items[8] = Item("none", "8", replace(items[8].source, path="none"))  # type: ignore[type-var]
    with open_engine(ServedOptions(server.url, "toy"), RowOptions(all_probabilities=True), workers=1) as engine:
        first = next(engine.rows(items[:1]))
    known = ScoredRow("old", (Prediction(3, "d", 0.5),), model="toy", version="1", sha256=first.sha256)
    items[9] = items[9].with_record(known)
    items[10] = items[10].with_record(replace(known, sha256="0"))
    with open_engine(
        ServedOptions(server.url, "toy"), RowOptions(all_probabilities=True), workers=2, total=len(items)
    ) as engine:
        assert isinstance(engine, ProcessEngine)
        rows = list(engine.rows(iter(items)))
        assert engine.stages.decode > 0
        assert engine.stages.answer > 0
    assert [row.path for row in rows[:9]] == [item.path for item in items[:9]]
    assert [row.path for row in rows[10:]] == [item.path for item in items[10:]]
    assert rows[9] is known
    assert [place for place, row in enumerate(rows) if row.error] == [8]
    assert "none does not exist" in str(rows[8].error)
    assert rows[0].probabilities == pytest.approx(correct_answer(CONTRACT)["probabilities"][0])
    assert {row.top[0].index for row in rows if row.error is None and row is not known} == {1}


def test_rows_do_not_depend_on_the_number_of_workers(toy_server: TritonServer, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(60)]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    several = []
    for workers in (0, 1, 2):
        with open_engine(ServedOptions(toy_server.grpc_url, "toy"), RowOptions(top=4), workers=workers) as engine:
            several.append(list(engine.rows(map(item_of_file, paths))))
    for rows in several[1:]:
        assert [(row.path, row.id, row.sha256, row.version) for row in rows] == [
            (row.path, row.id, row.sha256, row.version) for row in several[0]
        ]
        for row, expected in zip(rows, several[0], strict=True):
            assert [each.index for each in row.top] == [each.index for each in expected.top]
            assert row.top[0].probability == pytest.approx(expected.top[0].probability, abs=1e-6)


def test_a_killed_worker_is_replaced_and_loses_no_row(server: StubServer, images: list[Path]) -> None:
    said: list[str] = []
    items = [item_of_file(images[number % 300]) for number in range(2000)]
    with open_engine(ServedOptions(server.url, "toy"), RowOptions(), workers=2, report=said.append) as engine:
        assert isinstance(engine, ProcessEngine)
        rows = engine.rows(items)
        done = [next(rows) for _ in range(100)]
        os.kill(engine.pids[0], signal.SIGKILL)
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(engine.pids[1], ignored)
        done += rows
    assert [row.path for row in done] == [item.path for item in items]
    assert {row.error for row in done} == {None}
    assert len(said) == 1
    assert said[0].startswith("a worker process was killed by SIGKILL; another one repeats")


def test_an_image_that_kills_two_workers_ends_the_run(server: StubServer, images: list[Path]) -> None:
    items = [item_of_file(path) for path in images[:20]]
    items[10] = Item("poison.png", "10", Poison(signal.SIGSEGV))
    said: list[str] = []
    with open_engine(ServedOptions(server.url, "toy"), RowOptions(), workers=1, report=said.append) as engine:
        rows = engine.rows(items)
        with pytest.raises(ClientError, match=r"was killed by SIGSEGV, the second one at poison.png") as raised:
            list(rows)
    assert "--workers" in str(raised.value.hint)
    assert len(said) == 1


def test_an_error_of_every_image_comes_after_the_rows_before_it(images: list[Path]) -> None:
    answered = 0

    def refuse_later(names: Sequence[str], count: int) -> Tensors:
        nonlocal answered
        answered += count
        if answered > 50:
            broken.ready = False
            raise ValueError("broken")
        return answer(names, count)

    done: list[ScoredRow] = []
    with (
        StubServer(CONTRACT, refuse_later) as broken,
        open_engine(ServedOptions(broken.url, "toy"), RowOptions(), workers=1, patience=0) as engine,
        pytest.raises(RequestError, match="broken"),
    ):
        done.extend(engine.rows(item_of_file(path) for path in images))
    assert 0 < len(done) <= 50
    assert {row.error for row in done} == {None}


def test_a_mistake_in_a_source_is_raised_with_its_traceback(server: StubServer) -> None:
    with (
        open_engine(ServedOptions(server.url, "toy"), RowOptions(), workers=1) as engine,
        pytest.raises(RuntimeError, match=r"(?s)ZeroDivisionError.*test_process_engine.py.*a mistake"),
    ):
        list(engine.rows([Item("a", "a", Fault())]))


def test_a_model_that_is_replaced_while_workers_start_ends_the_run(images: list[Path]) -> None:
    with (
        StubServer(CONTRACT, answer) as swapped,
        open_engine(ServedOptions(swapped.url, "toy"), RowOptions(), workers=1) as engine,
    ):
        swapped.labels, swapped.version = ("e", "f", "g", "h"), "2"
        with pytest.raises(ContractError, match="version 2 has another contract than version 1"):
            list(engine.rows([item_of_file(images[0])]))


def test_all_workers_pin_the_version_of_their_coordinator(server: StubServer) -> None:
    options = ServedOptions(server.url, "toy", {"pin_version": True})
    with open_engine(options, RowOptions(), workers=0) as engine:
        assert options.for_workers(engine.model).settings == {"pin_version": True, "version": "1"}


def test_leaving_the_rows_ends_the_workers(server: StubServer, images: list[Path]) -> None:
    with open_engine(ServedOptions(server.url, "toy"), RowOptions(), workers=2) as engine:
        assert isinstance(engine, ProcessEngine)
        rows = engine.rows(item_of_file(images[number % 300]) for number in range(10**9))
        next(rows)
        pids = engine.pids
        assert all(is_running(pid) for pid in pids)
        began = time.monotonic()
        rows.close()
        assert time.monotonic() - began < 2.0
        assert not any(is_running(pid) for pid in pids)


def test_an_outage_is_reported_once_by_all_workers(images: list[Path]) -> None:
    said: list[str] = []
    refused: list[float] = []

    def fail_first(names: Sequence[str], count: int) -> Tensors:
        refused.append(time.monotonic())
        if refused[-1] < refused[0] + 1.0:
            raise ValueError("Request for unknown model: 'toy' is not ready")
        return answer(names, count)

    with StubServer(CONTRACT, fail_first) as server:
        server.ready = False
        options = ServedOptions(server.url, "toy", {"timeout": 1.0, "retries": 0})
        with open_engine(options, RowOptions(), workers=2, report=said.append) as engine:
            rows = list(engine.rows(item_of_file(path) for path in images[:40]))
    assert {row.error for row in rows} == {None}
    assert len(said) == 2, said
    assert "waiting for the server for up to 5 min" in said[0]
    assert said[1].startswith("the server replies again")


def test_a_server_that_is_unreachable_at_the_start_fails_at_once() -> None:
    began = time.monotonic()
    with (
        pytest.raises(ConnectionFailedError),
        open_engine(ServedOptions("127.0.0.1:1", "toy"), RowOptions(), workers=2),
    ):
        pass
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("options", [{"workers": -1}, {"concurrency": 0}, {"patience": -1}])
def test_invalid_options_are_refused(options: dict[str, int]) -> None:
    served = ServedOptions("127.0.0.1:1", "toy")
    with pytest.raises(UsageError, match=next(iter(options))), open_engine(served, RowOptions(), **options):  # type: ignore[arg-type]
        pass


PROGRAM = """
import sys, time
from camserve.clients.scoring.engine_choice import open_engine
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedOptions

class Mine:
    def read(self, max_bytes):
        return open(sys.argv[2], "rb").read()

def items():
    while True:
        yield item_of_file(sys.argv[2]) if sys.argv[3] == "file" else Item("mine", "mine", Mine())

with open_engine(ServedOptions(sys.argv[1], "toy"), RowOptions(), workers=2) as engine:
    for number, row in enumerate(engine.rows(items())):
        if number == 0:
            print(*engine.pids, flush=True)
"""


def started(server: StubServer, path: Path, folder: Path, kind: str = "file") -> subprocess.Popen[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(program), server.url, str(path), kind],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("how", ["kill", "terminal"])
def test_workers_end_with_a_program_without_a_main_guard(
    server: StubServer, images: list[Path], tmp_path: Path, how: str
) -> None:
    program = started(server, images[0], tmp_path)
    assert program.stdout is not None
    pids = [int(pid) for pid in program.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_running(pid) for pid in pids)
    began = time.monotonic()
    if how == "kill":
        program.kill()
    else:
        os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=20)
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert time.monotonic() - began < 2.0
    assert errors.count("Traceback") == (how == "terminal"), errors
    assert program.returncode == -(signal.SIGKILL if how == "kill" else signal.SIGINT)


def test_a_source_that_only_the_program_has_is_an_error_with_a_remedy(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    program = started(server, images[0], tmp_path, "mine")
    _, errors = program.communicate(timeout=20)
    assert program.returncode == 1
    assert "a source of images cannot be sent to a worker process" in errors
    assert "Define its class in a module of its own" in errors


def test_logs_of_workers_are_logged_here(
    server: StubServer, images: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "camserve"),
        open_engine(ServedOptions(server.url, "toy"), RowOptions(), workers=1) as engine,
    ):
        caplog.clear()
        list(engine.rows([item_of_file(images[0])]))
    assert any(record.name.startswith("camserve.clients") for record in caplog.records)
