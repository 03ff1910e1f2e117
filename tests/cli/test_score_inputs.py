"""`camserve score` gives an image the same row, whichever input contains it."""

from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.command_line import call, run

from camserve.bundle import Bundle

pytestmark = pytest.mark.slow

COUNT = 12


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images in `photos`, and the same images in lists, tables and an archive."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    paths = [Path("photos") / f"{number:02d}.png" for number in range(COUNT)]
    for seed, path in enumerate(paths):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    Path("list").write_text("".join(f"{path}\n" for path in paths))
    Path("list.csv").write_text("key,file\n" + "".join(f"{path.stem},{path}\n" for path in paths))
    table = {"image": [path.read_bytes() for path in paths], "key": [path.stem for path in paths]}
    pq.write_table(pa.table(table), "bytes.parquet", row_group_size=5)
    with tarfile.open("shard-00.tar", "w") as archive:
        for path in paths:
            archive.add(path, path.name)
            label = tarfile.TarInfo(f"{path.stem}.cls")
            label.size = 1
            archive.addfile(label, io.BytesIO(b"1"))
    return tmp_path


def test_every_kind_of_input_gives_the_same_answers(folder: Path, toy_bundle: Bundle) -> None:
    answers = {}
    for name, words in {
        "folder": ("photos",),
        "list": ("--files-from", "list"),
        "csv": ("list.csv", "--path-column", "file", "--id-column", "key"),
        "bytes": ("bytes.parquet", "--id-column", "key"),
        "tar": ("shard-{00..00}.tar",),
        "processes": ("bytes.parquet", "--workers", "1"),
        "url": (f"file://{folder}/photos",),
    }.items():
        result = call("score", "--bundle", toy_bundle.path, *words, "--output", f"answers-{name}.csv")
        assert result.returncode == 0, result.stderr
        with Path(f"answers-{name}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        answers[name] = [(row["sha256"], row["class_1"], row["probability_1"]) for row in rows]
        if name == "bytes":
            assert "The bytes of images are read from column 'image' of bytes.parquet" in result.stderr
            assert [(row["path"], row["id"]) for row in rows[:2]] == [
                ("bytes.parquet:1", "00"),
                ("bytes.parquet:2", "01"),
            ]
        if name == "tar":
            assert f"Left out: {COUNT} members of archives that are not images ('shard-00.tar/00.cls'" in result.stderr
            assert (rows[1]["path"], rows[1]["id"]) == ("shard-00.tar/01.png", "01")
    assert len(answers["folder"]) == COUNT
    assert {tuple(each) for each in answers.values()} == {tuple(answers["folder"])}


def test_a_list_is_read_from_standard_input(folder: Path, toy_bundle: Bundle) -> None:
    result = run("score", "--bundle", toy_bundle.path, "--files-from", "-", "--output", "a.csv", stdin=Path("list"))
    assert result.returncode == 0, result.stderr
    assert f"{COUNT} images" in result.stdout


def test_mistaken_inputs_are_wrong_usage(folder: Path, toy_bundle: Bundle) -> None:
    for words, message in (
        (("-",), "hint: Pass a list on standard input by --files-from -"),
        (("photos", "--id-column", "key"), "--id-column applies to tables, and no input is one"),
        (("list.csv", "--path-column", "path"), "there is no column 'path'; there are 'key', 'file'"),
        (("s3://bucket/photos/",), "hint: Install it: pip install s3fs"),
        (("--files-from", "nowhere"), "cannot read the list nowhere: No such file or directory"),
    ):
        result = call("score", "--bundle", toy_bundle.path, *words, "--output", "a.csv")
        assert result.returncode == 2
        assert message in result.stderr
        assert not Path("a.csv").exists()
