"""Scoring of many files."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.disposable_server import DisposableServer
from support.stream_gates import Gate
from support.stub_server import StubServer, Tensors
from support.toy import toy_contract

from camserve.bundle import Bundle
from camserve.clients import AsyncClassifier, Classifier, LeftOut, find_images, score
from camserve.errors import (
    ConnectionFailedError,
    ContractError,
    DeadlineError,
    NotLoadedError,
    RequestError,
    UsageError,
)
from camserve.serving import TritonServer, publish


@pytest.fixture
def classifier(toy_server: TritonServer) -> Iterator[Classifier]:
    with Classifier(toy_server.grpc_url, "toy") as opened:
        yield opened


def image(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_rows_are_in_order_and_equal_classify(classifier: Classifier, tmp_path: Path) -> None:
    paths = [image(tmp_path / f"{number}.png", number) for number in range(50)]
    order = [*paths[::-1], paths[7], paths[7]]
    rows = list(score(classifier, order, top=2, concurrency=4))
    assert [row.path for row in rows] == [str(path) for path in order]
    for row, path in zip(rows, order, strict=True):
        expected = classifier.classify(path, top=2).top
        assert [each.index for each in row.top] == [each.index for each in expected]
        assert row.top[0].probability == pytest.approx(expected[0].probability, abs=1e-6)
        assert row.error is None


def test_an_unreadable_image_gets_a_row_with_its_error(classifier: Classifier, tmp_path: Path) -> None:
    good = image(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    rows = list(score(classifier, [good, bad, tmp_path / "none.png", tmp_path, good]))
    assert [row.error is None for row in rows] == [True, False, False, False, True]
    assert rows[1].top == ()
    assert [(row.model, row.version) for row in rows] == [("toy", "1"), *[(None, None)] * 3, ("toy", "1")]
    for row, message in zip(rows[1:4], ("corrupt or truncated", "does not exist", "is a folder"), strict=True):
        assert row.error is not None
        assert message in row.error
        assert "\n" not in row.error


@pytest.mark.timed
def test_an_unreachable_server_ends_the_iteration(toy_repository: Path, tmp_path: Path) -> None:
    path = image(tmp_path / "one.png")
    with DisposableServer(toy_repository) as server, Classifier(server.grpc_url, "toy", retries=0) as classifier:
        rows = score(classifier, [path] * 1000, concurrency=2)
        assert next(rows).error is None
        server.stop()
        start = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            list(rows)
        assert time.monotonic() - start < 5.0


def test_a_refusal_is_a_row_while_the_model_is_served(tmp_path: Path) -> None:
    def refuse(names: Sequence[str], count: int) -> Tensors:
        raise ValueError("refused\nin two lines")

    path = image(tmp_path / "one.png")
    with StubServer(toy_contract(), refuse) as server, Classifier(server.url, "toy") as classifier:
        rows = list(score(classifier, [path, path]))
        assert [row.top for row in rows] == [(), ()]
        assert all(row.error is not None and "refused in two lines" in row.error for row in rows)
        server.ready = False
        with pytest.raises(RequestError):
            list(score(classifier, [path, path]))


@pytest.mark.parametrize("versions", ["all", "latest"])
def test_a_pinned_version_answers_all_rows_until_it_is_unloaded(
    toy_bundle: Bundle, tmp_path: Path, versions: str
) -> None:
    path, repository = image(tmp_path / "one.png"), tmp_path / "repository"
    publish(toy_bundle, repository, options={"versions": versions})
    with (
        DisposableServer(repository, model_control="explicit") as server,
        Classifier(server.grpc_url, "toy", pin_version=True) as pinned,
        Classifier(server.grpc_url, "toy") as newest,
    ):
        rows = score(pinned, [path] * 20, concurrency=1)
        assert next(rows).version == "1"
        publish(toy_bundle, repository, url=server.grpc_url)
        assert next(score(newest, [path])).version == "2"
        if versions == "all":
            assert [row.version for row in rows] == ["1"] * 19
        else:
            with pytest.raises(NotLoadedError, match=r"version 1.*Load version 1 again, or leave out --pin-version"):
                list(rows)


def test_a_version_that_is_not_reported_cannot_be_pinned() -> None:
    server = StubServer(toy_contract(), lambda names, count: {})
    server.version = ""
    with server, pytest.raises(ContractError, match="cannot be pinned: the server does not report it"):
        Classifier(server.url, "toy", pin_version=True)


def test_inputs_are_consumed_lazily(classifier: Classifier, tmp_path: Path) -> None:
    path = image(tmp_path / "one.png")
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    rows = score(classifier, endless(), concurrency=3)
    for expected in range(1, 20):
        next(rows)
        assert taken <= expected + 6
    rows.close()  # type: ignore[attr-defined]


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate(toy_contract())
    yield made
    made.open()


@pytest.mark.timed
def test_queued_images_are_not_sent_to_a_hanging_server(gate: Gate, tmp_path: Path) -> None:
    path = image(tmp_path / "one.png")
    with StubServer(toy_contract(), gate) as server, Classifier(server.url, "toy", timeout=0.5) as classifier:
        with pytest.raises(DeadlineError):
            list(score(classifier, [path] * 100, concurrency=3))
        assert 3 <= len(server.batch_sizes) <= 6  # a thread may begin another image before the first error is known


@pytest.mark.timed
def test_an_interrupt_does_not_wait_for_requests(gate: Gate, tmp_path: Path) -> None:
    path = image(tmp_path / "one.png")
    with StubServer(toy_contract(), gate) as server, Classifier(server.url, "toy") as classifier:
        rows = score(classifier, [path] * 100, concurrency=3)
        interrupt = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
        interrupt.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            list(rows)
        assert time.monotonic() - start < 2.0


@pytest.mark.parametrize(("top", "concurrency"), [(0, 8), (5, 0)])
def test_invalid_numbers_are_refused_at_the_call(classifier: Classifier, top: int, concurrency: int) -> None:
    with pytest.raises(UsageError):
        score(classifier, [], top=top, concurrency=concurrency)


def test_an_async_classifier_is_refused_at_the_call() -> None:
    with pytest.raises(UsageError, match="invalid type for classifier: AsyncClassifier"):
        score(AsyncClassifier("localhost:8001", "toy"), [])  # type: ignore[arg-type]


def test_no_inputs_give_no_rows(classifier: Classifier) -> None:
    assert list(score(classifier, [])) == []


def test_folders_are_searched_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a/z/deep.webp", "a/notes.txt", "c.gif", "b/.hidden.bmp"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "in" / "a" / "up").symlink_to(tmp_path / "in")
    odd = tmp_path / ".report.txt"  # given by name, so neither its content nor the dot counts
    left_out = LeftOut()
    found = list(find_images([odd, tmp_path / "in", str(odd)], left_out=left_out))
    names = ["a/z/deep.webp", "b/1.png", "b/2.JPG", "c.gif"]
    assert found == [odd, *(tmp_path / "in" / name for name in names), odd]
    assert left_out.counts == {"not_images": 1, "hidden_files": 1, "repeated_folders": 1}


def test_what_is_left_out_is_logged_unless_it_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "notes.txt").touch()
    list(find_images([tmp_path], left_out=LeftOut()))
    assert caplog.messages == []
    list(find_images([tmp_path]))
    assert caplog.messages == [f"left out: 1 file that is not an image ('{tmp_path / 'notes.txt'}')"]


def test_patterns_are_expanded_in_the_place_of_their_input(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.txt"):
        (tmp_path / name).touch()
    found = list(find_images([tmp_path / "c.txt", tmp_path / "*.png"]))
    assert [path.name for path in found] == ["c.txt", "a.png", "b.png"]


def test_a_path_that_is_too_long_gets_a_row(classifier: Classifier) -> None:
    endless = "x" * 5000
    (row,) = score(classifier, find_images([endless]))
    assert row.path == endless
    assert "cannot be opened: File name too long" in str(row.error)


def test_names_that_are_not_utf8_are_scored(classifier: Classifier, tmp_path: Path) -> None:
    good = image(tmp_path / "good.png")
    odd = good.rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    (row,) = score(classifier, find_images([tmp_path]))
    assert row.error is None
    assert row.path == str(odd)
    assert os.fsencode(row.path).endswith(b"caf\xe9.png")


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images found; left out: 1 empty folder") as error:
        list(find_images([tmp_path]))
    assert str(tmp_path) in error.value.message


def test_an_unreadable_folder_is_an_error(tmp_path: Path) -> None:
    image(tmp_path / "a" / "one.png")
    (tmp_path / "b").mkdir()
    found = find_images([tmp_path])
    assert next(found).name == "one.png"
    (tmp_path / "b").rmdir()
    with pytest.raises(UsageError, match=r"folder .*b cannot be read"):
        next(found)
