"""Supervision of a server that dies, with a program in place of tritonserver."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from support.fake_triton import OTHER_CRASH, install_fake_triton

from camserve.errors import ServerError
from camserve.serving import Restart, RestartLimit, TritonServer, supervise
from camserve.serving.server.startup import await_ready

pytestmark = pytest.mark.slow


def _kill(server: TritonServer, number: int = signal.SIGKILL) -> None:
    os.kill(server.pid, number)


def _supervise(server: TritonServer, limit: RestartLimit, on_ready: Callable[[], object]) -> tuple[int, list[Restart]]:
    """Supervise a server that is killed at once."""
    restarts: list[Restart] = []
    _kill(server)
    return supervise(server, limit=limit, on_restart=restarts.append, on_ready=lambda _: on_ready()), restarts


def test_the_delay_grows_until_the_limit_of_a_period() -> None:
    assert [RestartLimit().delay_of(number) for number in range(1, 6)] == [0, 1, 2, 4, 8]
    assert str(RestartLimit()) == "5 in 10 minutes"


def test_a_dead_server_has_the_same_ports_again(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")
    addresses = []
    with TritonServer(toy_repository) as server:
        before = server.addresses

        def check() -> None:
            addresses.append(server.addresses)
            _kill(server, signal.SIGSEGV)

        code, restarts = _supervise(server, RestartLimit(restarts=2, delay=0), check)
    assert code == -signal.SIGSEGV
    assert addresses == [before, before]
    assert starts.read_text() == "xxx"
    assert [each.reason for each in restarts] == ["SIGKILL", "SIGSEGV"]
    assert str(restarts[1]).startswith("Triton ended by signal SIGSEGV after ")
    assert str(restarts[1]).endswith("; starting it again (2 of 2 in 10 minutes)")
    assert (server.restarts["SIGKILL"], server.restarts["SIGSEGV"], server.restarts.total()) == (1, 1, 2)


def test_a_crash_at_a_restart_counts_as_one(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")
    with TritonServer(toy_repository) as server:
        install_fake_triton(monkeypatch, tmp_path, crashes=99, message=OTHER_CRASH)
        code, restarts = _supervise(server, RestartLimit(restarts=2, delay=0), lambda: None)
    assert code == -signal.SIGABRT
    assert starts.read_text() == "xxx"
    assert restarts[1].cause == "Triton ended by signal SIGABRT before it was ready"
    assert "std::bad_alloc" not in restarts[0].log
    assert "Signal (6) received." in restarts[1].log


def test_a_server_that_is_stopped_as_it_becomes_ready_again_ends(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")
    with TritonServer(toy_repository, cpu=True) as server:  # reads a view of the repository at each start

        def stopped_when_ready(*args: Any) -> None:
            await_ready(*args)
            server.stop()

        monkeypatch.setattr("camserve.serving.server.triton.await_ready", stopped_when_ready)
        code, restarts = _supervise(server, RestartLimit(delay=0), lambda: None)
    assert (code, len(restarts)) == (0, 1)


def test_a_restart_that_cannot_run_is_an_error_at_the_limit(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")
    with TritonServer(toy_repository) as server:
        (tmp_path / "tritonserver").unlink()
        with pytest.raises(ServerError, match="cannot start the server: No such file or directory"):
            _supervise(server, RestartLimit(restarts=1), lambda: None)


def test_a_stopped_server_is_not_started_again(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")
    with TritonServer(toy_repository) as server, ThreadPoolExecutor() as pool:
        running = pool.submit(supervise, server)
        time.sleep(0.2)
        assert server.stop() == running.result(timeout=10) == -signal.SIGTERM

        server.start()
        restarts: SimpleQueue[Restart] = SimpleQueue()
        waiting = pool.submit(
            supervise,
            server,
            limit=RestartLimit(delay=60),
            on_restart=restarts.put,
            on_ready=lambda _: _kill(server),
        )
        _kill(server)
        assert [restarts.get(timeout=10).delay for _ in range(2)] == [0, 60]
        assert server.stop() == 0
        assert waiting.result(timeout=10) == -signal.SIGKILL
    assert starts.read_text() == "xxx"


def test_restarts_of_an_earlier_period_do_not_count(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")

    def kill_twice() -> None:
        if starts.read_text() == "xxx":
            raise KeyboardInterrupt
        time.sleep(0.1)
        _kill(server)

    with TritonServer(toy_repository) as server, pytest.raises(KeyboardInterrupt):
        _supervise(server, RestartLimit(restarts=1, period=0.1), kill_twice)
    assert server.restarts.total() == 2
