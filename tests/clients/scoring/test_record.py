"""The record of an interrupted run."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.access import mode

from camserve.clients.answers.predictions import Prediction
from camserve.clients.scoring.record import Record, record_path
from camserve.clients.scoring.rows import RowMap, ScoredRow
from camserve.errors import ClientError, UsageError
from camserve.strict_json import parse_json

BEST = (Prediction(3, "tabby, cat", 0.1 + 0.2, "n01"), Prediction(0, "the 'other' \u2028 café", 1e-300))
NAMES = [
    "plain.png",
    "comma, quote\" and 'apostrophe'.png",
    "two\nlines.png",
    "日本.png",
    os.fsdecode(b"caf\xe9.png"),
    "",
]
OPTIONS: dict[str, Any] = {"model": "pets", "top": 5, "crops": None}


def answered(path: str, version: str = "1") -> ScoredRow:
    return ScoredRow(path, BEST, model="pets", version=version, id=f"id of {path}", sha256="0" * 64)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "answers.csv"


def interrupted(output: Path, *rows: ScoredRow, options: dict[str, Any] = OPTIONS) -> Path:
    """Record rows, as a run does that ends early, and return the file."""
    with Record(output, options) as record:
        for row in rows:
            record.append(row)
    return record.path


def test_every_row_is_found_as_it_was_recorded(output: Path) -> None:
    grid = np.random.default_rng(0).random((2, 3), np.float32)
    full = ScoredRow(
        "all.png",
        BEST,
        model="pets",
        version="1",
        probabilities=np.array([0.1, 1e-30, 0.9], np.float32),
        id="7",
        sha256="f" * 64,
        map=RowMap((1, 2), (3, 4, 5, 6), grid, (0, 0, 7, 8)),
    )
    error = ScoredRow(NAMES[4], error=f"{NAMES[4]} is corrupt", id="bad")
    rows = [*map(answered, NAMES), full, error]
    interrupted(output, *rows)
    with Record(output, OPTIONS, resume=True) as record:
        assert record.rows == len(rows)
        assert [record.find(row.path, row.id) for row in reversed(rows)] == rows[::-1]
        found = record.find(full.path, full.id)
        assert record.find("all.png", "8") is None
        assert record.find("none.png", "7") is None
    assert found is not None
    assert found.map is not None
    assert found.probabilities is not None
    assert np.array_equal(found.map.grid, grid)
    assert (found.probabilities.dtype, found.probabilities.tolist()) == (np.float32, full.probabilities.tolist())  # type: ignore[union-attr]


def test_the_last_row_of_an_image_counts_and_is_one_row(output: Path) -> None:
    interrupted(output, ScoredRow("a.png", error="refused"), ScoredRow("b.png", error="refused"))
    with Record(output, OPTIONS, resume=True) as record:
        record.append(ScoredRow("a.png", BEST, model="pets", version="2"), replaces=True)
        assert record.rows == 2
    with Record(output, OPTIONS, resume=True) as record:
        assert record.rows == 2
        found = record.find("a.png", "")
        assert found is not None
        assert (found.version, found.error) == ("2", None)


def test_each_line_is_strict_json_of_this_user_only(output: Path) -> None:
    path = interrupted(output, *map(answered, NAMES))
    assert mode(path) == 0o600
    for line in path.read_bytes().split(b"\n")[:-1]:
        assert parse_json(line)


def test_a_finished_or_empty_record_is_removed(output: Path) -> None:
    path = interrupted(output)
    assert not path.exists()
    with Record(output, OPTIONS) as record:
        record.append(answered("a.png"))
        record.finish()
    assert not path.exists()


@pytest.mark.parametrize("lost", [1, 20, 200])
def test_a_torn_last_line_is_cut_off_and_reported(output: Path, lost: int, caplog: pytest.LogCaptureFixture) -> None:
    path = interrupted(output, *map(answered, "abc"))
    complete = path.read_bytes()
    path.write_bytes(complete[:-lost])
    last = len(complete) - len(b"\n".join(complete.split(b"\n")[:-2])) - 1
    with Record(output, OPTIONS, resume=True) as record:
        assert record.find("c", "id of c") is None
        assert record.find("b", "id of b") == answered("b")
        record.append(answered("c"))
        assert record.rows == 3
    assert f"ended with {last - lost} bytes of an incomplete row" in caplog.text
    assert path.read_bytes() == complete


def test_a_record_cut_anywhere_can_be_resumed(output: Path) -> None:
    path = interrupted(output, answered("a"), answered("b"))
    complete = path.read_bytes()
    lines = [line + b"\n" for line in complete.split(b"\n")[:-1]]
    for length in range(0, len(complete) + 1, 3):
        path.write_bytes(complete[:length])
        kept = sum(length >= len(b"".join(lines[: number + 1])) for number in range(1, len(lines)))
        with Record(output, OPTIONS, resume=True) as record:
            assert record.rows == kept
            for name in ("a", "b")[kept:]:
                record.append(answered(name))
        assert path.read_bytes() == complete


def test_a_damaged_row_is_not_used_and_reported(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = interrupted(output, answered("a"), answered("b"))
    path.write_bytes(path.read_bytes().replace(b"0.30000000000000004", b"0.30000000000000005", 1))
    with Record(output, OPTIONS, resume=True) as record:
        assert record.find("a", "id of a") is None
        assert record.find("b", "id of b") == answered("b")
    assert "1 line is damaged" in caplog.text


def test_rows_of_an_interrupted_run_are_neither_lost_nor_used_unasked(output: Path) -> None:
    path = interrupted(output, answered("a"))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"csv.unfinished contains 1 row of an interrupted run.*--resume.*--no-resume"):
        Record(output, OPTIONS)
    with Record(output, OPTIONS, resume=False):
        assert path.read_bytes() == before  # until the first new row
    assert path.read_bytes() == before
    with Record(output, OPTIONS, resume=False) as record:
        record.append(answered("b"))
        assert record.find("a", "id of a") is None
        assert record.rows == 1
    with Record(output, OPTIONS, resume=True) as record:
        assert record.find("a", "id of a") is None
        assert record.find("b", "id of b") is not None


def test_other_options_are_refused_by_name(output: Path) -> None:
    path = interrupted(output, answered("a"))
    with pytest.raises(UsageError, match=r"options: top was 5 and is 3, crops was not set and is 10\. Pass") as caught:
        Record(output, {"model": "pets", "top": 3, "crops": 10}, resume=True)
    assert "model" not in caught.value.message
    text = path.read_text().split("\n", 1)
    assert '"camserve": ' in text[0]


def test_nothing_to_resume_is_reported(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Record(output, OPTIONS, resume=True) as record:
        assert record.rows == 0
    assert "no row of" in caplog.text


@pytest.mark.parametrize("content", [b"my notes", b'{"crc32":"00000000","record":1}\n', b"\0" * 4096])
def test_another_file_of_that_name_is_not_overwritten(output: Path, content: bytes) -> None:
    path = record_path(output)
    path.write_bytes(content)
    for resume in (None, True):
        with pytest.raises(UsageError, match="is not the record of an interrupted run"):
            Record(output, OPTIONS, resume=resume)
    assert path.read_bytes() == content


def test_a_link_in_place_of_the_record_is_not_followed(output: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    record_path(output).symlink_to(other)
    with pytest.raises(UsageError, match="it is a link"):
        Record(output, OPTIONS)
    assert not other.exists()


def test_two_runs_into_one_output_are_refused(output: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(output)
    with Record(output, OPTIONS):
        for same in (output, link):
            with pytest.raises(ClientError, match=r"another run writes .*answers\.csv"):
                Record(same, OPTIONS, resume=True)
    with Record(link, OPTIONS) as record:
        record.append(answered("a"))


def test_the_lock_ends_with_a_killed_process(output: Path) -> None:
    code = (
        "import sys\nfrom camserve.clients.scoring.record import Record\nfrom camserve.clients import ScoredRow\n"
        "record = Record(sys.argv[1], {'top': 1})\nrecord.append(ScoredRow('a'))\nprint('ready', flush=True)\ninput()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(output)], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(ClientError, match="another run"):
            Record(output, {"top": 1}, resume=True)
        process.send_signal(signal.SIGKILL)
    with Record(output, {"top": 1}, resume=True) as record:
        assert record.find("a", "") is not None


def test_a_full_disk_names_the_file_and_keeps_the_complete_rows(output: Path) -> None:
    """The limit of a file's size fails as a full disk does, in the middle of a line."""
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            with Record(output, OPTIONS) as record:
                for number in range(100):
                    record.append(answered(str(number)))
        except ClientError as error:
            os._exit(0 if "answers.csv.unfinished cannot be written: File too large" in error.message else 1)
        os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    with Record(output, OPTIONS, resume=True) as record:
        assert record.rows >= 2
        assert all(record.find(str(n), f"id of {n}") == answered(str(n)) for n in range(record.rows))


def test_rows_of_images_with_one_key_are_told_apart(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camserve.clients.scoring.record_lines.key_of", lambda path, id_: 7)
    monkeypatch.setattr("camserve.clients.scoring.record.key_of", lambda path, id_: 7)
    interrupted(output, answered("a"), answered("b"), answered("a"))
    with Record(output, OPTIONS, resume=True) as record:
        assert [record.find(name, f"id of {name}") for name in "abc"] == [answered("a"), answered("b"), None]


def test_the_index_needs_16_bytes_a_row(output: Path) -> None:
    code = (
        "import sys, tracemalloc\nfrom camserve.clients.scoring.record import Record\n"
        "tracemalloc.start()\nrecord = Record(sys.argv[1], {'top': 1}, resume=True)\n"
        "print(tracemalloc.get_traced_memory()[0], record.rows)"
    )
    with Record(output, {"top": 1}) as record:
        for number in range(20_000):
            record.append(ScoredRow(f"folder/{number}.png", error="it is corrupt"))
    printed = subprocess.run(
        [sys.executable, "-c", code, str(output)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(printed[1]) == 20_000
    assert int(printed[0]) < 16 * 20_000 + 1_500_000  # the buffer of the file, and imports


def test_the_header_names_what_the_rows_depend_on(output: Path) -> None:
    first = interrupted(output, answered("a")).read_text().split("\n")[0]
    assert json.loads(first)["options"] == OPTIONS
