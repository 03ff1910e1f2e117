"""The disk is full, or there are few file descriptors."""

from __future__ import annotations

import json
import subprocess

from support.scoring.faults.programs import require, run, run_limited
from support.scoring.faults.setting import Row, Setting
from support.scoring_faults import RecordWatch, score

__all__ = ["fill_disk", "limit_descriptors"]


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
