"""Ray Data gives the rows of the local engine. Requires Ray: `pip install 'camserve[ray]'`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.disposable_server import DisposableServer
from support.scoring.batches import mixed_files
from support.scoring.local_sources import LocalSource

from camserve.clients import ScoredRow
from camserve.clients.scoring.cluster import ray_session as session
from camserve.clients.scoring.cluster.ray_engine import RayEngine, open_ray_engine
from camserve.clients.scoring.engine_choice import open_engine
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedOptions
from camserve.errors import ClientError, ConnectionFailedError
from camserve.serving import TritonServer

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

OPTIONS = RowOptions(top=2, all_probabilities=True)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray with two processes, which the engines of all tests use."""
    module = session.import_ray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # of the sources of images in these tests
        module.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield module
    module.shutdown()


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    return list(map(item_of_file, mixed_files(tmp_path_factory.mktemp("ray"), 60)))


@pytest.fixture
def engine(toy_server: TritonServer, ray: Any) -> Iterator[RayEngine]:
    with open_ray_engine(ServedOptions(toy_server.grpc_url, "toy"), OPTIONS) as opened:
        yield opened


def same(rows: list[ScoredRow], others: list[ScoredRow]) -> bool:
    return rows == others and all(
        np.array_equal(row.probabilities, other.probabilities)  # type: ignore[arg-type]
        for row, other in zip(rows, others, strict=True)
    )


def test_rows_equal_those_of_the_local_engine(toy_server: TritonServer, engine: RayEngine, items: list[Item]) -> None:
    with open_engine(ServedOptions(toy_server.grpc_url, "toy"), OPTIONS) as local:
        expected = list(local.rows(items))
    assert [row.error is None for row in expected].count(False) == 2
    assert same(list(engine.rows(items)), expected)
    assert engine.stages.answer > 0


def test_recorded_rows_are_taken_over_if_their_image_is_the_same(engine: RayEngine, items: list[Item]) -> None:
    rows = list(engine.rows(items))
    other = ScoredRow(rows[0].path, model="toy", version="9", sha256=rows[0].sha256, id=rows[0].id)
    changed = ScoredRow(rows[1].path, model="toy", version="9", sha256="0" * 64, id=rows[1].id)
    resumed = [each.with_record(row) for each, row in zip(items, [other, changed, *rows[2:]], strict=True)]
    again = list(engine.rows(resumed))
    assert again[0] is other
    assert same(again[1:], rows[1:])
    assert all(one is two for one, two in zip(again[2:], rows[2:], strict=True) if two.error is None)


def test_only_a_part_of_the_items_is_in_the_cluster(engine: RayEngine, items: list[Item]) -> None:
    taken = itertools.count()

    def endless() -> Iterator[Item]:
        for _ in taken:
            yield items[0]

    rows = engine.rows(endless())
    for _ in range(50):
        assert next(rows).error is None
    rows.close()
    assert next(taken) < 5000


def test_a_killed_server_ends_the_run_after_the_finished_rows(
    toy_repository: Path, ray: Any, items: list[Item]
) -> None:
    with DisposableServer(toy_repository) as server:
        options = ServedOptions(server.grpc_url, "toy", {"retries": 0})
        with open_ray_engine(options, OPTIONS, patience=0) as engine:
            rows = engine.rows(itertools.cycle(items))
            assert next(rows).version == "1"
            server.stop(grace=0)  # one that ends gracefully unloads its models first
            with pytest.raises(ConnectionFailedError):
                list(rows)


def test_files_that_another_host_does_not_have_end_the_run(
    engine: RayEngine, items: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen = [Item(each.path, each.id, LocalSource(each.path)) for each in items]
    assert all("does not exist" in str(row.error) for row in engine.rows(unseen))
    monkeypatch.setattr(engine, "_node", "another host")
    missing = item_of_file("/nowhere.png")
    rows = engine.rows([missing, *unseen])
    assert "does not exist" in str(next(rows).error)
    with pytest.raises(ClientError, match=r"0000.png can be read on this host but not on another one of the Ray clu"):
        list(rows)


def test_an_address_that_is_not_used_is_reported(ray: Any) -> None:
    connected = ray.get_runtime_context().gcs_address
    notes: list[str] = []
    for address in (None, "auto", connected, "elsewhere:6379"):
        with session.ray_session(address, notes.append) as used:
            assert used is ray
    assert ray.is_initialized()
    assert notes == [f"Ray is connected to {connected} already; elsewhere:6379 is not used"]


def test_a_missing_cluster_is_an_error_of_one_line(toy_server: TritonServer, ray: Any) -> None:
    ray.shutdown()  # otherwise the open connection is used
    options = ServedOptions(toy_server.grpc_url, "toy")
    with (
        pytest.raises(ConnectionFailedError, match=r"there is no Ray cluster at 127\.0\.0\.1:9: Connection refused"),
        open_ray_engine(options, OPTIONS, address="127.0.0.1:9"),
    ):
        pass
