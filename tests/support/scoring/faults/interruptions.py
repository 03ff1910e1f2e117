"""The server or the scorer is killed, or ended by a signal."""

from __future__ import annotations

import json
import signal
import time
from contextlib import nullcontext
from pathlib import Path

from support.scoring.faults.programs import require, run
from support.scoring.faults.setting import MODEL, Row, Setting
from support.scoring_faults import RecordWatch, score, score_while_killed, score_while_the_server_is_killed
from support.suspending import suspended

__all__ = ["kill_scorer", "kill_server", "send_signals"]

SECONDS_TO_END = 5.0


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
                with suspended(setting.server) if hangs else nullcontext():
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
