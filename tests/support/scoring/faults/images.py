"""Images that are damaged, have odd names, or are very many."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil

from support.scoring.faults.programs import peak_of, require, run
from support.scoring.faults.setting import Row, Setting
from support.scoring_faults import RecordWatch, draw_images, score

__all__ = ["add_bad_image", "list_many", "score_many", "use_odd_names"]

NAMES = [
    b"plain.png",
    b"comma, quote\" and 'apostrophe'.png",
    b"two\nlines.png",
    "日本.png".encode(),
    b" spaces .png",
    b"=1+1.png",
    b"caf\xe9.png",
]
MIB = 1024 * 1024


def add_bad_image(setting: Setting) -> list[Row]:
    """Score one file that is no image among all others."""
    number, table = setting.times(10_000), setting.folder / "bad.csv"
    bad = setting.files[500]
    original = bad.read_bytes()
    expected = list(csv.reader(setting.calm.decode().splitlines()))
    bad.write_bytes(original[:40])
    try:
        process = score(*setting.photos, *setting.words, "--output", table)
        printed, errors = process.communicate()
    finally:
        bad.write_bytes(original)
    require(process.returncode == 3 and json.loads(printed)["errors"] == 1, errors)
    found = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    differing = [cells for cells, calm in zip(found, expected, strict=True) if cells != calm]
    require([cells[0] for cells in differing] == [str(bad)], f"{len(differing)} rows differ")
    table.unlink()
    return [
        Row(
            "A truncated image",
            f"1 in {number:,}",
            "its row has the error, all others are those of a calm run; exit code 3",
        )
    ]


def use_odd_names(setting: Setting) -> list[Row]:
    """Score files with odd names, some of them twice, in a run that is killed and resumed."""
    folder, originals = setting.folder / "odd names", setting.files
    folder.mkdir()
    names = [folder / os.fsdecode(b"%d %s" % (number, name)) for number in range(200) for name in NAMES]
    for path, original in zip(names, originals, strict=False):
        shutil.copy(original, path)
    names = names[: len(originals)]
    listed = [*names, *random.Random(0).sample(names, 100)]
    table, source = setting.folder / "names.csv", setting.folder / "names.list"
    source.write_bytes(b"\0".join(map(os.fsencode, listed)))
    words = ("--files-from", source, *setting.words, "--output", table)
    process = score(*words, "--workers", "0", "--concurrency", "1")
    require(RecordWatch(table).wait(len(listed) // 3, process), "the run ended before it was killed")
    process.kill()
    process.communicate()
    run(*words, "--resume")
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = list(csv.DictReader(stream))
    require([row["path"] for row in rows] == [str(path) for path in listed], "a path differs")
    require(all(row["error"] == "" and row["label_1"] for row in rows), "a row has an error")
    return [
        Row(
            "Names with newlines, commas, quotes, spaces, `=`, bytes that are not UTF-8; repeated names; the run is "
            "killed and resumed",
            f"{len(listed):,} rows",
            "every path in the table is exact, and repeated images have a row each",
        )
    ]


def score_many(setting: Setting) -> list[Row]:
    """Compare the memory of small and large runs."""
    many = setting.times(100_000)
    folder = draw_images(setting.folder / "many", many)
    few = sorted(folder.iterdir())[:10]
    peaks = []
    for images in (few, [folder]):
        table = setting.folder / "many.csv"
        peak, summary = peak_of(*images, *setting.words, "--output", table, "--workers", "2")
        peaks.append(peak)
    require(summary["rows"] == many and summary["errors"] == 0, str(summary))
    require(peaks[1] - peaks[0] < 50 * MIB, f"{peaks}")
    return [
        Row(
            "Memory of all processes, at most, with 1,000 and with many drawn images",
            f"{many:,} images",
            f"{peaks[0] / MIB:.0f} MB and {peaks[1] / MIB:.0f} MB ({many / summary['seconds']:,.0f} images a second)",
        )
    ]


def list_many(setting: Setting) -> list[Row]:
    """Score a list of very many names, one in a hundred of which is an image."""
    many, source = setting.times(1_000_000), setting.folder / "many.list"
    originals = setting.files
    peaks = []
    for count in (many // 100, many):
        with source.open("w", encoding="utf-8") as stream:
            for number in range(count):
                stream.write(f"{originals[number // 100 % len(originals)] if number % 100 == 0 else number}\n")
        table = setting.folder / "listed.parquet"
        peak, summary = peak_of("--files-from", source, *setting.words, "--output", table, "--workers", "2", codes=(3,))
        peaks.append(peak)
        require(summary["rows"] == count and summary["errors"] == count - count // 100, str(summary))
    require(peaks[1] - peaks[0] < 50 * MIB, f"{peaks}")
    return [
        Row(
            "A list of names, of which one in a hundred is an image and the others are missing; memory of all "
            f"processes, at most, with {many // 100:,} and with all names",
            f"{many:,} names",
            f"{peaks[0] / MIB:.0f} MB and {peaks[1] / MIB:.0f} MB ({many / summary['seconds']:,.0f} rows a second)",
        )
    ]
