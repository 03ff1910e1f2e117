"""The progress of scoring tells how many images are done, how fast, and what limits it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from camserve.cli.scoring_progress import ScoringProgress, track_rows
from camserve.clients import ScoredRow
from camserve.clients.scoring.engine import RowsInProgress

PROGRAM = """if True:
    import time
    from camserve.cli.scoring_progress import track_rows
    from camserve.clients import ScoredRow
    from camserve.clients.scoring.engine import RowsInProgress
    def rows():
        for number in range(30):
            time.sleep(0.02)
            yield ScoredRow(str(number), error="bad" if number == 3 else None)
    for row in track_rows(RowsInProgress(rows(), lambda: "server or network"), 12345):
        pass
"""


def progress_after(rows: int, seconds: float, total: int = 10_000, limit: str | None = "decoding") -> ScoringProgress:
    now = 0.0
    progress = ScoringProgress(total, lambda: limit, lambda: now)
    for number in range(rows):
        progress.add(ScoredRow("a", error="bad" if number < 2 else None))
    now = seconds
    return progress


def test_a_line_has_rate_errors_time_left_and_limit() -> None:
    line = progress_after(1234, 2.0).line()
    assert line == "1,234 of 10,000 | 12% | 617/s | 2 errors | 0:14 left | limited by decoding"


def test_a_line_is_shortened_to_its_width() -> None:
    line = progress_after(1234, 2.0).line(60)
    assert line == "1,234/10,000  617/s  2 errors  0:14  decoding"


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = 0.0
    progress = ScoringProgress(100_000, lambda: None, lambda: now)
    for second in range(100):
        now = float(second)
        for _ in range(1000 if second < 50 else 10):
            progress.add(ScoredRow("a"))
        line = progress.line()
    assert " | 10/s | " in line


def test_no_images_are_all_of_none() -> None:
    assert progress_after(0, 1.0, total=0, limit=None).line() == "0 of 0 | 100% | 0/s | 0 errors | ? left"


def test_rows_are_passed_on() -> None:
    rows = [ScoredRow("a"), ScoredRow("b", error="bad")]
    assert list(track_rows(RowsInProgress(rows, lambda: None), 2)) == rows


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_shows_one_line_of_its_width(width: int) -> None:
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(width)}
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=child, env=environment, check=True)
    os.close(child)
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in re.split(r"[\r\n]+", shown)]
    last = [line for line in lines if "12,345" in line][-1]
    assert len(last) <= width
    assert "1 error" in last
    assert "server or network" in last
    assert ("━" in last or "     " in last) == (width == 120)
