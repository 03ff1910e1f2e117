"""Runs that are interrupted and go on: every row once, and the table that a calm run writes."""

from __future__ import annotations

import csv
import os
import resource
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.access import as_another_user, needs_root
from support.stub_server import StubServer, Tensors, correct_answer
from support.toy import toy_contract

from camserve.clients import ScoredRow, TableSummary, score_table
from camserve.errors import ClientError, ContractError, ImageError, UsageError

CONTRACT = toy_contract()
NAMES = [
    "plain.png",
    "comma, quote\" and 'apostrophe'.png",
    "two\nlines.png",
    "日本.png",
    " spaces .png",
    "=1+1.png",
    os.fsdecode(b"caf\xe9.png"),
]


def answer(names: Sequence[str], count: int) -> Tensors:
    return {name: array for name, array in correct_answer(CONTRACT, count).items() if name in names}


@pytest.fixture
def server() -> Iterator[StubServer]:
    with StubServer(CONTRACT, answer) as started:
        yield started


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Return forty images, of which the eighth is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = [folder / f"{number:02}.png" for number in range(40)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(path)
    paths[7].write_bytes(b"no image")
    return paths


class Run:
    """Runs into one table, with the same options."""

    def __init__(self, server: StubServer, output: Path, **options: Any) -> None:
        self.output, self.server = output, server
        self.record = output.with_name(f"{output.name}.unfinished")
        self._options: dict[str, Any] = {
            "model": "toy",
            "url": server.url,
            "workers": 0,
            "concurrency": 1,
            "patience": 0,
            **options,
        }

    def __call__(self, inputs: Iterable[str | Path], **options: Any) -> TableSummary:
        return score_table(inputs, self.output, **{**self._options, **options})

    def interrupt(
        self, inputs: Iterable[str | Path], after: int, error: type[BaseException] = KeyboardInterrupt
    ) -> None:
        """Run until so many rows are finished, and end by an exception."""

        def stop(rows: Iterable[ScoredRow], total: int) -> Iterator[ScoredRow]:
            for number, row in enumerate(rows, 1):
                yield row
                if number == after:
                    raise error

        with pytest.raises(error):
            self(inputs, progress=stop)

    def calm(self, inputs: Iterable[str | Path], folder: Path) -> bytes:
        """Return the table of a run that is not interrupted."""
        folder.mkdir(exist_ok=True)
        return _table_of(Run(self.server, folder / self.output.name, **self._options), inputs)

    def resume(self, inputs: Iterable[str | Path]) -> tuple[TableSummary, int]:
        """Go on with another server, and return the summary and how many images it answered."""
        with StubServer(CONTRACT, answer, labels=self.server.labels) as other:
            other.version = self.server.version
            return self(inputs, resume=True, url=other.url), sum(other.batch_sizes)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the client logged."""
    return [record.getMessage() for record in caplog.records if record.name == "camserve.clients"]


def _table_of(run: Run, inputs: Iterable[str | Path]) -> bytes:
    run(inputs)
    return run.output.read_bytes()


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_an_interrupted_run_goes_on_and_its_table_is_that_of_a_calm_run(
    server: StubServer, images: list[Path], tmp_path: Path, extension: str, error: type[BaseException]
) -> None:
    run = Run(server, tmp_path / f"answers.{extension}", all_probabilities=True, maps=True)
    expected = run.calm(images, tmp_path / "calm")
    run.interrupt(images, 20, error)
    assert not run.output.exists()
    summary, requested = run.resume(images)
    assert (summary.rows, summary.errors, summary.kept, summary.scored) == (40, 1, 19, 21)
    assert requested == 20  # without the file that is no image
    assert run.output.read_bytes() == expected
    assert not run.record.exists()


def test_how_to_go_on_is_logged(
    server: StubServer, images: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(images, 20)
    assert messages(caplog) == [
        f"20 of 40 rows are recorded in {run.record}; to go on, run the same command with --resume (in Python: "
        "resume=True)"
    ]


def test_nothing_is_left_of_a_run_that_ends_before_its_first_row(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ClientError):
        score_table(images, tmp_path / "answers.csv", model="toy", url="127.0.0.1:9")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_changed_images_and_errors_are_scored_again(server: StubServer, images: list[Path], tmp_path: Path) -> None:
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(images, 20)
    shutil.copy(images[30], images[7])
    shutil.copy(images[31], images[3])
    summary, requested = run.resume(images)
    assert (summary.errors, summary.kept, requested) == (0, 18, 22)


def test_rows_that_are_scored_for_their_overlays_are_not_kept(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    run = Run(server, tmp_path / "answers.csv", overlays=tmp_path / "overlays")
    run.interrupt(images, 20)
    (drawn,) = (tmp_path / "overlays").rglob("03.png.png")
    drawn.unlink()
    summary, requested = run.resume(images)
    assert (summary.kept, summary.scored, requested) == (18, 22, 21)  # one file is no image
    assert drawn.exists()


def test_a_recorded_row_is_kept_for_each_duplicate_of_its_image(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    run = Run(server, tmp_path / "answers.csv")
    repeated = [*images[:5], *images[:5], *images[:5]]
    run.interrupt(repeated, 7)
    summary, requested = run.resume(repeated)
    assert (summary.kept, summary.scored, requested) == (15, 0, 0)


def test_images_may_be_added_and_removed_between_runs(server: StubServer, images: list[Path], tmp_path: Path) -> None:
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(images[10:30], 15)
    summary, requested = run.resume([*images[20:], images[0]])
    assert (summary.rows, summary.kept, requested) == (21, 5, 16)


def test_rows_of_a_version_that_no_longer_answers_are_scored_again(
    server: StubServer, images: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(images, 20)
    server.version = "2"
    summary, requested = run.resume(images)
    assert (summary.versions, summary.kept, requested) == ({"2": 39}, 0, 39)
    assert messages(caplog)[1:] == ["19 rows recorded by version 1 were scored again by version 2"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"top": 2}, "top was 5 and is 2"),
        ({"all_probabilities": True}, "all-probabilities was false and is true"),
        ({"maps": True}, "maps was false and is true"),
        ({"labels": list("wxyz")}, "labels was not set and is"),
        ({"model": "other"}, 'model was "toy" and is "other"'),
    ],
)
def test_other_options_are_refused_by_name(
    server: StubServer, images: list[Path], tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(images, 20)
    before = run.record.read_bytes()
    with pytest.raises(UsageError, match=expected):
        run(images, resume=True, **options)
    assert run.record.read_bytes() == before


def test_options_that_do_not_change_rows_may_differ(server: StubServer, images: list[Path], tmp_path: Path) -> None:
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(images, 20)
    with StubServer(CONTRACT, answer) as other:
        summary = run(images, resume=True, url=other.url, concurrency=3, patience=5, spreadsheet_safe=True, timeout=9.0)
    assert summary.kept == 19


def test_rows_are_recorded_though_labels_change_under_a_table_of_all_classes(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    run = Run(server, tmp_path / "answers.csv", all_probabilities=True)

    def swap(rows: Iterable[ScoredRow], total: int) -> Iterator[ScoredRow]:
        for number, row in enumerate(rows, 1):
            yield row
            if number == 10:
                server.version, server.labels = "2", ("b", "a", "c", "d")

    with pytest.raises(ContractError, match="class 0 changes from 'a' to 'b'"):
        run(images, progress=swap)
    assert run.record.exists()
    summary = run(images, resume=True)
    assert summary.versions == {"2": 39}
    assert "probability_of_b,probability_of_a" in run.output.read_text()


def test_a_camera_submission_goes_on(server: StubServer, images: list[Path], tmp_path: Path) -> None:
    run = Run(server, tmp_path / "submission.csv", format="camera")
    expected = run.calm(images, tmp_path / "calm")
    run.interrupt(images, 20)
    assert run(images, resume=True).kept == 19
    assert run.output.read_bytes() == expected
    assert expected.decode().splitlines()[:2] == ["fname,camera", "00.png,b"]


def test_every_name_is_written_exactly_and_repeated_images_stay_repeated(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in NAMES]
    for path in paths:
        shutil.copy(images[0], path)
    listed = [*paths, paths[2], *paths]
    run = Run(server, tmp_path / "answers.csv")
    run.interrupt(listed, 5)
    assert run(listed, resume=True).rows == 15
    with run.output.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [str(path) for path in listed]
    assert {row["label_1"] for row in rows} == {"b"}


def test_records_and_leftovers_are_not_left_out_of_the_folder_that_is_scored(
    server: StubServer, images: list[Path]
) -> None:
    folder = images[0].parent
    run = Run(server, folder / "answers.csv")
    run.interrupt([folder], 20)
    leftover = folder / f".camserve-{0xFFFFFFFF:08x}-0123456789abcdef.tmp"  # of another table
    leftover.touch()
    summary = run([folder], resume=True)
    assert (summary.rows, summary.kept) == (40, 19)
    assert summary.left_out is not None
    assert summary.left_out.counts == {"hidden_files": 1}


@contextmanager
def limited_files(size: int) -> Iterator[None]:
    """Let files grow to so many bytes only: what is written beyond them fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_while_rows_are_recorded_ends_the_run_which_can_be_resumed(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    run = Run(server, tmp_path / "answers.csv")
    expected = run.calm(images, tmp_path / "calm")
    with limited_files(6000), pytest.raises(ClientError, match=r"answers\.csv\.unfinished cannot be written: File too"):
        run(images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv.unfinished", "calm", "photos"]
    assert run(images, resume=True).kept > 5
    assert run.output.read_bytes() == expected


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_disk_that_is_full_while_the_table_is_written_ends_the_run_which_can_be_resumed(
    server: StubServer, images: list[Path], tmp_path: Path, extension: str
) -> None:
    run = Run(server, tmp_path / f"answers.{extension}")
    expected = run.calm(images, tmp_path / "calm")
    run.interrupt(images, 40)
    with limited_files(1000), pytest.raises(ClientError, match=rf"answers\.{extension} cannot be written: File too"):
        run(images, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"answers.{extension}.unfinished", "calm", "photos"]
    assert run(images, resume=True).kept == 39
    assert run.output.read_bytes() == expected


def test_too_many_open_files_end_the_run_which_can_be_resumed(
    server: StubServer, images: list[Path], tmp_path: Path
) -> None:
    run = Run(server, tmp_path / "answers.csv")
    expected = run.calm(images, tmp_path / "calm")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def exhaust(rows: Iterable[ScoredRow], total: int) -> Iterator[ScoredRow]:
        for number, row in enumerate(rows, 1):
            yield row
            if number == 10:
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))

    try:
        with pytest.raises(ClientError, match=r"png cannot be opened: Too many open files\. Raise the limit") as caught:
            run(images, progress=exhaust)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not isinstance(caught.value, ImageError)
    assert run(images, resume=True).kept >= 9
    assert run.output.read_bytes() == expected


@needs_root
def test_a_folder_without_write_access_is_refused_before_anything_is_done() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)

        def refused() -> bool:
            with pytest.raises(UsageError, match="is not writable"):
                score_table([folder], folder / "answers.csv", model="toy", url="127.0.0.1:9")
            return True

        assert as_another_user(folder, refused)
        assert list(folder.iterdir()) == []


def test_a_served_model_or_a_bundle_is_required(images: list[Path], tmp_path: Path) -> None:
    for model, bundle in ((None, None), ("toy", tmp_path)):
        with pytest.raises(UsageError, match="a model"):
            score_table(images, tmp_path / "answers.csv", model=model, bundle=bundle)
    with pytest.raises(UsageError, match="pin_version concerns a server"):
        score_table(images, tmp_path / "answers.csv", bundle=tmp_path, pin_version=True)
