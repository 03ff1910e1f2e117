"""Tables that a bundle answers, from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.toy import write_toy_bundle

from camserve.bundle import Bundle
from camserve.clients import ScoredRow, score_table
from camserve.clients.scoring.bundle_answerer import BundleOptions
from camserve.errors import BundleError, UsageError

IMAGES, FINISHED = 20, 8


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02}.png")
    return tmp_path / "photos"


class InterruptedRunError(Exception):
    """Ends a run."""


def interrupt(rows: Iterable[ScoredRow], total: int) -> Iterator[ScoredRow]:
    for number, row in enumerate(rows):
        if number == FINISHED:
            raise InterruptedRunError
        yield row


def test_a_run_is_resumed_with_the_same_bundle_and_begins_again_with_another(
    photos: Path, toy_bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calm, table = tmp_path / "calm.csv", tmp_path / "answers.csv"
    score_table([photos], calm, bundle=toy_bundle.path)
    for bundle, kept in ((toy_bundle, FINISHED), (write_toy_bundle(tmp_path / "other", seed=1), 0)):
        with pytest.raises(InterruptedRunError):
            score_table([photos], table, bundle=toy_bundle.path, progress=interrupt)
        caplog.clear()
        summary = score_table([photos], table, bundle=bundle.path, resume=True)
        assert (summary.rows, summary.errors) == (IMAGES, 0)
        assert summary.kept >= kept if kept else summary.kept == 0
        assert list(summary.versions) == [BundleOptions(bundle.path).open().model.version]
        assert (table.read_bytes() == calm.read_bytes()) == (bundle is toy_bundle)
    assert any("scored again by version bundle-" in message for message in caplog.messages)


def test_the_record_is_no_input_of_a_pattern_that_matches_it(photos: Path, toy_bundle: Bundle) -> None:
    table = photos / "answers.csv"
    with pytest.raises(InterruptedRunError):
        score_table([f"{photos}/*"], table, bundle=toy_bundle.path, progress=interrupt)
    record = f"{table}.unfinished"  # as a pattern that the shell expands
    summary = score_table([f"{photos}/*", record], table, bundle=toy_bundle.path, resume=True)
    assert (summary.rows, summary.errors) == (IMAGES, 0)
    assert summary.left_out is not None
    assert not summary.left_out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a model or a bundle is required"),
        ({"bundle": "B", "model": "toy"}, "a model and a bundle were given"),
        ({"bundle": "B", "url": "localhost:8001"}, "url concerns a server"),
        ({"bundle": "B", "timeout": 3.0}, "timeout concerns a server"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    photos: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        score_table([photos], tmp_path / "answers.csv", **arguments)


def test_workers_refuse_another_bundle_than_that_of_their_coordinator(toy_bundle: Bundle, tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / "bundle")
    options = BundleOptions(bundle.path).for_workers(BundleOptions(bundle.path).open().model)
    options.open()
    write_toy_bundle(tmp_path / "bundle", seed=1)
    with pytest.raises(BundleError, match=r"was replaced: its version is bundle-.*, and was bundle-"):
        options.open()


def test_what_answers_is_reported(photos: Path, toy_bundle: Bundle, tmp_path: Path) -> None:
    notes: list[str] = []
    score_table([photos], tmp_path / "answers.csv", bundle=toy_bundle.path, report=notes.append)
    assert notes == [f"{toy_bundle.path} answers on the CPU of this host, through ONNX Runtime"]
