"""Chunks of items become rows: one request for all, and no image disturbs another."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import toy_contract

from camserve.clients import Classifier, Crops, DecodeOptions, Prediction, ScoredRow
from camserve.clients.scoring.chunk_scorer import ChunkScorer
from camserve.clients.scoring.inputs.sources import BytesSource
from camserve.clients.scoring.items import Item, item_of_file
from camserve.clients.scoring.patience import Patience
from camserve.clients.scoring.row_options import RowOptions
from camserve.clients.scoring.served_answerer import ServedAnswerer
from camserve.errors import RequestError
from camserve.serving import TritonServer

CONTRACT = toy_contract()


def png(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def items(count: int) -> list[Item]:
    names = [f"shard.tar/{place}.png" for place in range(count)]
    return [Item(name, name.rpartition("/")[2], BytesSource(name, png(place))) for place, name in enumerate(names)]


def answer(_: Sequence[str], count: int) -> Tensors:
    return correct_answer(CONTRACT, count)


def scored(
    given: Sequence[Item], reply: Callable[[Sequence[str], int], Tensors] = answer, options: RowOptions | None = None
) -> tuple[list[ScoredRow], list[int]]:
    def requested(names: Sequence[str], count: int) -> Tensors:
        return {name: array for name, array in reply(names, count).items() if name in names}

    with StubServer(CONTRACT, requested) as server, Classifier(server.url, "toy") as classifier:
        answerer = ServedAnswerer(classifier)
        rows = ChunkScorer(answerer, options or RowOptions())(given)
        answerer.close()
    return rows, server.batch_sizes


def test_a_chunk_is_one_request() -> None:
    given = items(5)
    rows, batch_sizes = scored(given)
    assert batch_sizes == [5]
    assert [(row.path, row.id, row.error, row.top[0].index) for row in rows] == [
        (item.path, item.id, None, 1) for item in given
    ]
    assert [row.sha256 for row in rows] == [hashlib.sha256(png(place)).hexdigest() for place in range(5)]


def test_a_request_that_times_out_is_sent_in_parts() -> None:
    def slow(names: Sequence[str], count: int) -> Tensors:
        time.sleep(1.5 if count > 2 else 0.0)
        return {name: array for name, array in answer(names, count).items() if name in names}

    with StubServer(CONTRACT, slow) as server, Classifier(server.url, "toy", timeout=0.5) as classifier:
        answerer = ServedAnswerer(classifier)
        rows = ChunkScorer(answerer, RowOptions(), Patience(30))(items(5))
        answerer.close()
    assert [row.error for row in rows] == [None] * 5
    assert max(server.batch_sizes[1:]) <= 4


def test_rows_equal_those_of_single_images(toy_server: TritonServer) -> None:
    with Classifier(toy_server.grpc_url, "toy") as classifier:
        answerer = ServedAnswerer(classifier)
        rows = ChunkScorer(answerer, RowOptions(top=4, all_probabilities=True))(items(8))
        for place, row in enumerate(rows):
            expected = classifier.classify(png(place), top=4)
            assert [each.index for each in row.top] == [each.index for each in expected.top]
            assert row.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
        answerer.close()


def test_bad_images_do_not_disturb_their_neighbors() -> None:
    given = items(6)
    given[1] = replace(given[1], source=BytesSource("image", b"no image"))
    given[2] = replace(given[2], source=BytesSource("image", png()[:-40]))
    given[4] = replace(given[4], source=BytesSource("image", b""))
    rows, batch_sizes = scored(given)
    assert batch_sizes == [3]
    assert [row.error is None for row in rows] == [True, False, False, True, False, True]
    assert str(rows[1].error).startswith("shard.tar/1.png is not an image")
    assert str(rows[2].error).startswith("shard.tar/2.png is corrupt or truncated")
    assert (rows[4].error, rows[4].sha256, rows[4].id) == (
        "image is empty. Get it again from its source",
        None,
        "4.png",
    )
    assert rows[2].sha256 == hashlib.sha256(png()[:-40]).hexdigest()


def test_a_chunk_without_any_image_sends_no_request() -> None:
    rows, batch_sizes = scored([replace(each, source=BytesSource("image", png()[:-40])) for each in items(2)])
    assert batch_sizes == []
    assert all("corrupt" in str(row.error) for row in rows)


def test_spaces_in_a_name_are_kept_in_its_error() -> None:
    (row,), _ = scored([item_of_file("no/such  file .png")])
    assert (
        row.error == "no/such  file .png does not exist. Check the path; ~ is not expanded, and only score reads URLs"
    )


def test_nan_is_the_error_of_its_image() -> None:
    def nan_in_the_second(_: Sequence[str], count: int) -> Tensors:
        tensors = {name: array.copy() for name, array in correct_answer(CONTRACT, count).items()}
        tensors["probabilities"][1] = np.nan
        return tensors

    rows, batch_sizes = scored(items(3), nan_in_the_second)
    assert batch_sizes == [3]
    assert [row.error is None for row in rows] == [True, False, True]
    assert "NaN" in str(rows[1].error)


def test_a_refused_request_is_sent_again_in_halves() -> None:
    def refuse_several(_: Sequence[str], count: int) -> Tensors:
        if count > 1:
            raise ValueError("too many")
        return correct_answer(CONTRACT, count)

    rows, batch_sizes = scored(items(3), refuse_several)
    assert batch_sizes == [3, 2, 1, 1, 1]
    assert [row.error for row in rows] == [None] * 3


def test_requests_stay_small_after_a_server_has_refused_large_ones(caplog: pytest.LogCaptureFixture) -> None:
    def refuse_large(names: Sequence[str], count: int) -> Tensors:
        if count > 2:
            raise ValueError("message larger than max")
        return {name: array for name, array in correct_answer(CONTRACT, count).items() if name in names}

    with StubServer(CONTRACT, refuse_large) as server, Classifier(server.url, "toy") as classifier:
        answerer = ServedAnswerer(classifier)
        scorer = ChunkScorer(answerer, RowOptions())
        for _ in range(2):
            assert [row.error for row in scorer(items(8))] == [None] * 8
        answerer.close()
    assert server.batch_sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]
    (warning,) = [each.message for each in caplog.records if "from now on" in each.message]
    assert warning.startswith("requests of 4 images were refused, whose halves were not: they have at most 2")


def test_images_are_decoded_again_for_a_model_that_is_swapped_during_the_request() -> None:
    def swap(names: Sequence[str], count: int) -> Tensors:
        if count > 4:
            server.version, server.max_batch_size = "2", 4
            raise ValueError("batch size must be <= 4")
        return {name: array for name, array in correct_answer(CONTRACT, count).items() if name in names}

    given = items(6)
    given[1] = replace(given[1], source=BytesSource("image", png()[:-40]))
    with StubServer(CONTRACT, swap) as server, Classifier(server.url, "toy") as classifier:
        answerer = ServedAnswerer(classifier)
        rows = ChunkScorer(answerer, RowOptions())(given)
        answerer.close()
    assert server.batch_sizes == [5, 4, 1]
    assert [row.version for row in rows] == ["2", None, "2", "2", "2", "2"]
    assert "corrupt" in str(rows[1].error)


def test_a_recorded_row_is_the_result_while_the_bytes_are_the_same() -> None:
    given = items(4)
    known = ScoredRow("old", (Prediction(3, "d", 0.5),), model="toy", version="1", sha256=_sha256(given[0]))
    given[0] = given[0].with_record(known)
    given[1] = given[1].with_record(known)
    given[2] = given[2].with_record(replace(known, sha256=_sha256(given[2]), error="failed"))
    rows, batch_sizes = scored(given)
    assert rows[0] is known
    assert [row.top[0].index for row in rows[1:]] == [1, 1, 1]
    assert batch_sizes == [3]


def test_each_image_with_crops_is_a_request() -> None:
    rows, batch_sizes = scored(items(3), options=RowOptions(crops=Crops(count=4)))
    assert batch_sizes == [4, 4, 4]
    assert [row.top[0].index for row in rows] == [1, 1, 1]


def test_large_files_are_not_in_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.clients.scoring.chunk_scorer._BATCH_FILE_BYTES", 2 * len(png()))
    given = [replace(each, source=BytesSource("image", png())) for each in items(5)]
    rows, batch_sizes = scored(given)
    assert batch_sizes == [2, 2, 1]
    assert [row.path for row in rows] == [each.path for each in given]


def test_files_above_the_limit_are_errors() -> None:
    rows, _ = scored(items(2), options=RowOptions(decode_options=DecodeOptions(max_bytes=100)))
    assert all("shard.tar" in str(row.error) and "more than 100 bytes" in str(row.error) for row in rows)


def test_an_error_of_every_image_is_raised() -> None:
    def refuse(_: Sequence[str], count: int) -> Tensors:
        raise ValueError("refused")

    with StubServer(CONTRACT, refuse) as server, Classifier(server.url, "toy") as classifier:
        server.ready = False
        answerer = ServedAnswerer(classifier)
        with pytest.raises(RequestError, match="refused"):
            ChunkScorer(answerer, RowOptions())(items(3))
        answerer.close()


def _sha256(item: Item) -> str:
    return hashlib.sha256(item.source.read(1_000_000)).hexdigest()
