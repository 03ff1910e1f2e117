"""What a process of a cluster keeps open between the chunks that it scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from support.scoring.batches import closed_scorers, mixed_files

from camserve.bundle import Bundle
from camserve.clients import ScoredRow
from camserve.clients.scoring.bundle_answerer import BundleOptions
from camserve.clients.scoring.cluster import process_scorer
from camserve.clients.scoring.cluster.process_scorer import ProcessScorer
from camserve.clients.scoring.items import item_of_file
from camserve.clients.scoring.row_options import RowOptions


@pytest.fixture(autouse=True)
def own_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with closed_scorers(monkeypatch):
        yield


@pytest.fixture
def scorer(toy_bundle: Bundle) -> ProcessScorer:
    return ProcessScorer(BundleOptions(toy_bundle.path), RowOptions(top=2))


def test_a_process_closes_what_an_earlier_run_opened(scorer: ProcessScorer, tmp_path: Path) -> None:
    items = [item_of_file(path) for path in mixed_files(tmp_path, 3)]

    def rows(of: ProcessScorer) -> list[ScoredRow]:
        return list(chain.from_iterable(each.rows for each in of.score([items])))

    first, second = replace(scorer, run="1"), replace(scorer, run="2")
    expected = rows(scorer)
    assert expected[0].error is None
    assert rows(first) == rows(first) == expected
    assert len(process_scorer._opened) == 2
    earlier = [each.answerer for each in process_scorer._opened.values() if each.run]
    assert rows(second) == expected
    assert [each.run for each in process_scorer._opened.values()] == ["", "2"]
    assert [each._session for each in earlier] == [None]  # type: ignore[attr-defined]
    assert rows(first) == expected, "it is opened again"
