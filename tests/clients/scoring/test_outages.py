"""A server that is killed and started again costs no row within the patience, and ends the run beyond it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.disposable_server import DisposableServer

from camserve.clients import ScoredRow
from camserve.clients.scoring.engine_choice import open_engine
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.errors import ConnectionFailedError

pytestmark = pytest.mark.slow

# Without retries of the client itself, every outage is left to the patience of scoring.
IMPATIENT = {"retries": 0, "timeout": 5.0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((9, 11, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_restart_within_the_patience_costs_no_row(toy_repository: Path, path: Path, workers: int) -> None:
    said: list[str] = []
    over = False

    def items() -> Iterator[Item]:
        while not over:
            yield item_of_file(path)

    with DisposableServer(toy_repository) as server:
        port = int(server.grpc_url.rpartition(":")[2])
        options = ServedOptions(server.grpc_url, "toy", IMPATIENT)
        with open_engine(options, RowOptions(), workers=workers, concurrency=2, report=said.append) as engine:
            rows = engine.rows(items())
            done = [next(rows)]
            server.stop(grace=0)
            with DisposableServer(toy_repository, grpc_port=port):
                done += [next(rows) for _ in range(50)]
                while len(said) < 2:
                    done.append(next(rows))
                over = True
                done += rows
    assert {row.error for row in done} == {None}
    assert "waiting for the server for up to 5 min" in said[0]
    assert said[1].startswith("the server replies again, after")
    assert len(said) == 2


def test_an_outage_beyond_the_patience_ends_the_run_with_the_time_waited(toy_repository: Path, path: Path) -> None:
    done: list[ScoredRow] = []
    with DisposableServer(toy_repository) as server:
        options = ServedOptions(server.grpc_url, "toy", IMPATIENT)
        with open_engine(options, RowOptions(), workers=0, patience=1.0, report=lambda _: None) as engine:
            rows = engine.rows(item_of_file(path) for _ in range(10**9))
            done.append(next(rows))
            server.stop(grace=0)
            with pytest.raises(ConnectionFailedError, match=r"\(waited for .* s\)\. .*--patience SECONDS"):
                done.extend(rows)
    assert {row.error for row in done} == {None}


def test_an_outage_is_reported_long_before_the_timeout(toy_repository: Path, path: Path) -> None:
    class ReportedError(Exception):
        pass

    def report(message: str) -> None:
        raise ReportedError(message)

    with DisposableServer(toy_repository) as server:
        options = ServedOptions(server.grpc_url, "toy", {"timeout": 300.0})
        with open_engine(options, RowOptions(), workers=0, concurrency=1, report=report) as engine:
            rows = engine.rows(item_of_file(path) for _ in range(10**9))
            next(rows)
            server.stop(grace=0)
            began = time.monotonic()
            with pytest.raises(ReportedError, match=r"no Triton server at .*; waiting for the server for up to 5 min"):
                list(rows)
            assert time.monotonic() - began < 30
