"""Score images while everything fails that can, and print what came of it.

Usage: python benchmarks/scoring_faults.py [PART ...] [--quick]

PART is one or more of: server, scorer, signals, disk, descriptors, bad, names, memory, listed (default: all). The model
is the toy model of the tests, served by the embedded Triton; images are drawn. Tables are compared byte by byte with
that of a run without a fault. It takes about 20 minutes on two busy cores; `--quick` takes a tenth of the counts.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.command_line import PROGRAM
from support.disposable_server import DisposableServer
from support.process_usage import descendants, resident
from support.scoring_faults import (
    RecordWatch,
    draw_images,
    score,
    score_while_killed,
    score_while_the_server_is_killed,
)
from support.suspending import suspended
from support.toy import write_toy_bundle

from camserve.serving import TritonServer, publish

MODEL = ("--model", "toy")
NAMES = [
    b"plain.png",
    b"comma, quote\" and 'apostrophe'.png",
    b"two\nlines.png",
    "日本.png".encode(),
    b" spaces .png",
    b"=1+1.png",
    b"caf\xe9.png",
]
SECONDS_TO_END = 5.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """A row of the printed table."""

    fault: str
    repetitions: str
    result: str


class Setting:
    """The server, the images and the tables of a calm run.

    Args:
        folder: Temporary folder.
        quick: Whether to take a tenth of the counts.
        server: The server.
        repository: Its model repository.
    """

    def __init__(self, folder: Path, server: TritonServer, repository: Path, *, quick: bool) -> None:
        self.folder, self.repository, self._quick = folder, repository, quick
        self.server = server
        self.words = (*MODEL, "--url", server.grpc_url)

    def times(self, count: int) -> int:
        """Return a count, or a tenth of it."""
        return max(1, count // 10) if self._quick else count

    @cached_property
    def photos(self) -> list[Path]:
        """Folders with 10,000 images in total."""
        return sorted(draw_images(self.folder / "photos", self.times(10_000)).iterdir())

    @cached_property
    def files(self) -> list[Path]:
        """These images."""
        return [path for folder in self.photos for path in sorted(folder.iterdir())]

    @cached_property
    def calm(self) -> bytes:
        """The table of these images."""
        table = self.folder / "calm.csv"
        run(*self.photos, *self.words, "--output", table)
        return table.read_bytes()

    def expect_calm(self, table: Path) -> None:
        """Check that a table is that of the calm run, and remove it."""
        require(table.read_bytes() == self.calm, f"{table} differs from the table of a calm run")
        require(not RecordWatch(table).path.exists(), f"the record of {table} was not removed")
        table.unlink()


def main() -> None:
    """Print a table with a row for each fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores for programs in the background
    print("| fault | repetitions | result |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="camserve-faults-") as name:
        folder = Path(name)
        repository = folder / "repository"
        publish(write_toy_bundle(folder / "bundle"), repository, options={"max_batch_size": 8})
        with DisposableServer(repository, allow_shared_memory=True) as server:
            setting = Setting(folder, server, repository, quick=arguments.quick)
            for part in arguments.parts or PARTS:
                began = time.monotonic()
                for row in PARTS[part](setting):
                    print(f"| {row.fault} | {row.repetitions} | {row.result} |", flush=True)
                print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def kill_server(setting: Setting) -> list[Row]:
    """Kill the server and start it again, while one run scores all images."""
    table, kills, rows = setting.folder / "server.csv", setting.times(50), setting.times(10_000)
    words: list[str | Path] = [*setting.photos, *MODEL, "--concurrency", "2", "--workers", "0"]
    killed, printed, _ = score_while_the_server_is_killed(words, table, setting.repository, rows=rows, kills=kills)
    require(killed == kills, f"the run ended after {killed} of {kills} kills")
    summary = json.loads(printed)
    require(summary["rows"] == rows and summary["errors"] == 0, printed)
    setting.expect_calm(table)
    return [
        Row(
            "The server is killed (SIGKILL) and started again during a run",
            f"{kills} kills in {rows:,} rows",
            f"no row lost, none twice, no error; the table of a calm run, byte for byte ({summary['seconds']:.0f} s)",
        )
    ]


def kill_scorer(setting: Setting) -> list[Row]:
    """Kill the scorer and resume it."""
    table, kills, rows = setting.folder / "scorer.csv", setting.times(50), setting.times(10_000)
    words: list[str | Path] = [*setting.photos, *setting.words, "--concurrency", "2"]
    before = set(setting.folder.iterdir())
    printed, _ = score_while_killed(words, table, rows=rows, kills=kills)
    kept = json.loads(printed)["kept"]
    require(set(setting.folder.iterdir()) == before | {table}, "something was left in the folder of the table")
    setting.expect_calm(table)
    return [
        Row(
            "The scorer is killed (SIGKILL) and resumed, with and without worker processes; after every third kill "
            "the end of the record is cut off",
            f"{kills} kills in {rows:,} rows",
            f"no row recorded twice, nothing left behind; the table of a calm run, byte for byte (the last run kept "
            f"{kept:,} rows)",
        )
    ]


def send_signals(setting: Setting) -> list[Row]:
    """End runs by signals while the server answers and while it hangs, and resume them."""
    table, slowest, runs = setting.folder / "signals.csv", 0.0, 0
    for number in (signal.SIGINT, signal.SIGTERM):
        for workers in ("0", "2"):
            for hangs in (False, True):
                process = score(*setting.photos, *setting.words, "--output", table, "--workers", workers)
                require(RecordWatch(table).wait(20, process), "the run ended before the signal")
                with suspended(setting.server) if hangs else nothing():
                    time.sleep(0.5 * hangs)
                    process.send_signal(number)
                    began = time.monotonic()
                    _, errors = process.communicate(timeout=60)
                    slowest = max(slowest, time.monotonic() - began)
                require(process.returncode == 128 + number, f"exit code {process.returncode}: {errors}")
                require("run the same command with --resume" in errors, errors)
                run(*setting.photos, *setting.words, "--output", table, "--resume")
                setting.expect_calm(table)
                runs += 1
    require(slowest < SECONDS_TO_END, f"a run ended {slowest:.1f} s after the signal")
    return [
        Row(
            "SIGINT or SIGTERM in the middle, while the server answers or hangs (SIGSTOP), with and without workers",
            f"{runs} runs",
            f"ended at most {slowest:.1f} s later with 130 or 143 and how to go on; resumed, the table of a calm run",
        )
    ]


def fill_disk(setting: Setting) -> list[Row]:
    """Let the disk be full while rows are recorded, and while the table is written."""
    table, half = setting.folder / "disk.csv", setting.photos[: len(setting.photos) // 2]
    for expected, inputs in ((f"{table}.unfinished", setting.photos), (str(table), half)):
        if inputs is half:  # they are recorded, so that only the table is written
            process = score(*setting.photos, *setting.words, "--output", table, "--workers", "0")
            require(RecordWatch(table).wait(setting.times(6_000), process), "the run ended before it was killed")
            process.kill()
            process.communicate()
        kilobytes = len(setting.calm) // 4096
        code, errors = run_limited(
            f"-f {kilobytes}", *inputs, *setting.words, "--output", table, "--workers", "0", "--resume"
        )
        require(code == 1 and f"error: {expected} cannot be written: File too large" in errors, errors)
        visible = {path.name for path in setting.folder.iterdir() if path.name.startswith((table.name, ".camserve"))}
        require(visible == {f"{table.name}.unfinished"}, f"left: {visible}")
        run(*setting.photos, *setting.words, "--output", table, "--resume")
        setting.expect_calm(table)
    return [
        Row(
            "The disk is full while rows are recorded, and while the table is written (limit of the size of files)",
            "2 runs",
            "exit code 1, the message names the file, nothing incomplete is visible; resumed, the table of a calm run",
        ),
        *fill_small_disk(setting),
    ]


def fill_small_disk(setting: Setting) -> list[Row]:
    """Score onto a file system that is too small, where this user may mount one."""
    disk = setting.folder / "disk"
    disk.mkdir()
    size = max(64, len(setting.calm) // 2048)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        return []
    try:
        table = disk / "answers.csv"
        process = score(*setting.photos, *setting.words, "--output", table)
        _, errors = process.communicate()
        require(process.returncode == 1 and "cannot be written: No space left on device" in errors, errors)
        recorded = RecordWatch(table).rows()
        require(recorded > 0 and not table.exists(), f"{recorded} rows")
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        kept = json.loads(run(*setting.photos, *setting.words, "--output", table, "--resume"))["kept"]
        require(kept == recorded, f"{kept} of {recorded} rows were kept")
        setting.expect_calm(table)
    finally:
        subprocess.run(["umount", disk], check=True)
    return [
        Row(
            f"A file system of {size} kB (tmpfs) is full",
            "1 run",
            f"exit code 1, the message names the file; enlarged, the {kept:,} recorded rows are kept: the table of a "
            "calm run",
        )
    ]


def limit_descriptors(setting: Setting) -> list[Row]:
    """Score with few file descriptors."""
    table, outcomes = setting.folder / "descriptors.csv", []
    for number, workers in ((64, "0"), (64, "2"), (14, "0")):
        code, errors = run_limited(
            f"-n {number}", *setting.photos, *setting.words, "--output", table, "--workers", workers, "--no-resume"
        )
        if code == 0:
            setting.expect_calm(table)
        else:
            require(code == 1 and "Too many open files" in errors and "Traceback" not in errors, errors)
            run(*setting.photos, *setting.words, "--output", table, "--resume")
            setting.expect_calm(table)
        outcomes.append(f"{number} with {workers} workers: {'complete' if code == 0 else 'a `ClientError`, resumable'}")
    return [Row("Few file descriptors", f"{len(outcomes)} runs", "; ".join(outcomes))]


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


PARTS: dict[str, Callable[[Setting], list[Row]]] = {
    "server": kill_server,
    "scorer": kill_scorer,
    "signals": send_signals,
    "disk": fill_disk,
    "descriptors": limit_descriptors,
    "bad": add_bad_image,
    "names": use_odd_names,
    "memory": score_many,
    "listed": list_many,
}


def run(*words: str | Path) -> str:
    """Run `camserve score`, which must succeed, and return what it prints."""
    process = score(*words)
    printed, errors = process.communicate()
    require(process.returncode == 0, f"exit code {process.returncode}: {errors}")
    return printed


def run_limited(limit: str, *words: str | Path) -> tuple[int, str]:
    """Run `camserve score` under a limit of the shell's `ulimit`, and return its exit code and stderr."""
    command = ["bash", "-c", f'ulimit {limit} && exec "$@"', "bash", PROGRAM, "score", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def peak_of(*words: str | Path, codes: tuple[int, ...] = (0,)) -> tuple[int, dict[str, float]]:
    """Run `camserve score`, and return the largest memory of all its processes at once in bytes, and what it prints."""
    process, peak = score(*words), 0
    while process.poll() is None:
        try:
            peak = max(peak, sum(resident(pid) for pid in (process.pid, *descendants(process.pid))))
        except (OSError, IndexError, ValueError):  # one of them has ended
            continue
        time.sleep(0.1)
    printed, errors = process.communicate()
    require(process.returncode in codes, f"exit code {process.returncode}: {errors}")
    return peak, json.loads(printed)


@contextmanager
def nothing() -> Iterator[None]:
    """Do nothing."""
    yield


def require(condition: bool, message: str) -> None:
    """Fail unless a condition is met."""
    if not condition:
        raise RuntimeError(message[-2000:])


if __name__ == "__main__":
    main()
