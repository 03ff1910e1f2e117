"""The function for Spark and Ray: batches in, the rows of the local engine out."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from prometheus_client import CollectorRegistry
from support.scoring.batches import cells_of, closed_scorers, mixed_files

from camserve.clients import BatchScorer, Classifier, Metrics, ScoredRow, score
from camserve.errors import ConnectionFailedError, UsageError
from camserve.serving import TritonServer


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return mixed_files(tmp_path_factory.mktemp("batches"), 20)


@pytest.fixture(scope="module")
def expected(toy_server: TritonServer, paths: list[str]) -> list[ScoredRow]:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        return list(score(classifier, paths, top=2))


@pytest.fixture(autouse=True)
def own_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with closed_scorers(monkeypatch):
        yield


@pytest.fixture
def scorer(toy_server: TritonServer) -> BatchScorer:
    """A scorer as another process gets it."""
    made = BatchScorer(url=toy_server.grpc_url, model="toy", path_column="where", id_column="n", top=2)
    received: BatchScorer = pickle.loads(pickle.dumps(made))
    return received


def table(paths: list[str]) -> Any:
    return pyarrow.table({"n": list(range(len(paths))), "where": paths})


def arrays(paths: list[str]) -> dict[str, Any]:
    return {"n": np.arange(len(paths)), "where": np.array(paths)}


def record_batch(paths: list[str]) -> Any:
    return table(paths).to_batches()[0]


def data_frame(paths: list[str]) -> Any:
    return pytest.importorskip("pandas").DataFrame({"n": range(len(paths)), "where": paths})


@pytest.mark.parametrize("batch_of", [table, arrays, record_batch, data_frame])
def test_a_batch_becomes_the_rows_of_the_local_engine(
    batch_of: Callable[[list[str]], Any], scorer: BatchScorer, paths: list[str], expected: list[ScoredRow]
) -> None:
    batch = batch_of(paths)
    result = scorer(batch)
    assert isinstance(result, pyarrow.Table if batch_of is arrays else type(batch))
    rows = result.astype(object).where(result.notna(), None).to_dict("records") if batch_of is data_frame else None
    assert (rows or result.to_pylist()) == [cells_of(row, str(place)) for place, row in enumerate(expected)]


def test_an_iterator_of_batches_is_consumed_as_its_rows_are_taken(
    scorer: BatchScorer, paths: list[str], expected: list[ScoredRow]
) -> None:
    taken: list[int] = []

    def batches() -> Iterator[Any]:
        for start in range(0, len(paths), 8):
            taken.append(start)
            yield table(paths[start : start + 8])
        yield table([])

    results = scorer(batches())
    first = next(results)
    assert taken == [0]
    rows = first.to_pylist() + [row for each in results for row in each.to_pylist()]
    assert [row["path"] for row in rows] == paths
    assert [row["class_1"] for row in rows] == [row.top[0].index if row.top else None for row in expected]


def test_images_can_be_bytes(toy_server: TritonServer, paths: list[str], expected: list[ScoredRow]) -> None:
    existing = [(path, row) for path, row in zip(paths, expected, strict=True) if Path(path).exists()]
    scorer = BatchScorer(url=toy_server.grpc_url, model="toy", bytes_column="data", id_column="where", top=2)
    data = [Path(path).read_bytes() for path, _ in existing]
    rows = scorer({"where": [*(path for path, _ in existing), "none"], "data": [*data, None]}).to_pylist()
    assert rows[:-1] == [cells_of(row, row.path) for _, row in existing]
    assert rows[-1]["error"] == "the row 'none' contains no image. Fill in the cell"


def test_probabilities_of_all_classes_and_maps_have_columns(toy_server: TritonServer, paths: list[str]) -> None:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        expected = list(score(classifier, paths, all_probabilities=True))
        labels = classifier.labels
    scorer = BatchScorer(url=toy_server.grpc_url, model="toy", path_column="where", classes=labels, maps=True)
    rows = scorer(table(paths)).to_pylist()
    for row, local in zip(rows, expected, strict=True):
        probabilities = [row[f"probability_of_{label}"] for label in labels]
        if local.probabilities is None:
            assert probabilities == [None] * len(labels)
        else:
            assert probabilities == local.probabilities.tolist()
            assert row["map_peak_x"] is not None
    fields = [field.strip("`").partition("` " if field.startswith("`") else " ") for field in scorer.schema.split(", ")]
    assert [name for name, _, _ in fields] == list(rows[0])
    assert {name: kind for name, _, kind in fields if name in {"path", "class_1", "map_grid"}} == {
        "path": "string",
        "class_1": "int",
        "map_grid": "binary",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "toy"}, "path_column or bytes_column is required"),
        ({"model": "toy", "bytes_column": "b"}, "bytes_column requires path_column or id_column"),
        ({"path_column": "p"}, "a model or a bundle is required"),
        ({"model": "toy", "bundle": "b", "path_column": "p"}, "a model and a bundle were given"),
        ({"url": "a:1", "bundle": "b", "path_column": "p"}, "url concerns a server"),
        ({"model": "toy", "path_column": "p", "crops": 5}, "invalid type for crops"),
        ({"model": "toy", "path_column": "p", "decode_options": {}}, "invalid type for decode_options"),
        ({"model": "toy", "path_column": "p", "top": 0}, "top must be at least 1"),
        ({"model": "toy", "path_column": "p", "concurrency": 0}, "concurrency must be at least 1"),
        (
            {"model": "toy", "path_column": "p", "metrics": Metrics(CollectorRegistry())},
            "cannot be sent to other processes",
        ),
    ],
)
def test_invalid_options_are_refused_before_anything_runs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BatchScorer(**options)


def test_a_missing_column_is_named(scorer: BatchScorer) -> None:
    with pytest.raises(UsageError, match="no column 'where'; its columns are: n, uri"):
        scorer({"n": [1], "uri": ["a.jpg"]})
    with pytest.raises(UsageError, match="unsupported type of batch: int"):
        scorer(7)


def test_bytes_that_numpy_would_cut_are_refused() -> None:
    scorer = BatchScorer(model="toy", bytes_column="data", id_column="n")
    with pytest.raises(UsageError, match="loses zero bytes"):
        scorer({"n": ["a"], "data": np.array([b"image\0"])})


def test_a_process_connects_once_for_all_equal_scorers(toy_server: TritonServer, paths: list[str]) -> None:
    def opened(top: int) -> int:
        before = len(threading.enumerate())
        scorer = BatchScorer(url=toy_server.grpc_url, model="toy", path_column="where", id_column="n", top=top)
        pickle.loads(pickle.dumps(scorer))(table(paths))
        return len(threading.enumerate()) - before

    assert opened(3) > 0
    assert opened(3) == 0
    assert opened(4) > 0


def test_an_error_that_affects_every_image_is_raised() -> None:
    scorer = BatchScorer(url="127.0.0.1:9", model="toy", path_column="where", id_column="n")
    with pytest.raises(ConnectionFailedError):
        scorer(table(["a.jpg"]))
