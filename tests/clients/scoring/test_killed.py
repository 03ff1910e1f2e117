"""Tables of runs during which the server or the scorer is killed equal that of a calm run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.chaos import times
from support.command_line import run
from support.disposable_server import DisposableServer
from support.scoring_faults import draw_images, score_while_killed, score_while_the_server_is_killed

from camserve.bundle import Bundle
from camserve.serving import TritonServer, publish

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

KILLS, ROWS = times(50), times(10_000)


@pytest.fixture(scope="module")
def repository(toy_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    publish(toy_bundle, folder, options={"max_batch_size": 8})
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_images(tmp_path_factory.mktemp("photos"), ROWS)


@pytest.fixture(scope="module")
def calm(repository: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    table = tmp_path_factory.mktemp("calm") / "answers.csv"
    with DisposableServer(repository) as server:
        done = run("score", photos, "--model", "toy", "--url", server.grpc_url, "--output", table, "--workers", "0")
    assert done.returncode == 0, done.stderr
    return table.read_bytes()


def test_a_server_that_is_killed_costs_no_row(repository: Path, photos: Path, calm: bytes, tmp_path: Path) -> None:
    table = tmp_path / "answers.csv"
    words = (photos, "--model", "toy", "--concurrency", "2", "--workers", "0")
    killed, printed, errors = score_while_the_server_is_killed(words, table, repository, rows=ROWS, kills=KILLS)
    assert killed == KILLS
    assert errors.count("waiting for the server") <= KILLS, errors  # each outage is reported once, if it lasts
    assert json.loads(printed)["errors"] == 0
    assert table.read_bytes() == calm


def test_a_scorer_that_is_killed_and_resumed_writes_each_row_once(
    toy_server: TritonServer, photos: Path, calm: bytes, tmp_path: Path
) -> None:
    table = tmp_path / "answers.csv"
    words = (photos, "--model", "toy", "--url", toy_server.grpc_url, "--concurrency", "2")
    printed, _ = score_while_killed(words, table, rows=ROWS, kills=KILLS)
    summary = json.loads(printed)
    assert (summary["rows"], summary["errors"]) == (ROWS, 0)
    assert summary["kept"] > ROWS // 2
    assert table.read_bytes() == calm
    assert list(tmp_path.iterdir()) == [table]
