"""The clock of the host jumps by up to a day, in both directions, hundreds of times per second."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hostile_server import HostileServer, correct_answer_to
from support.jumping_clock import TIMEOUT, classify_while_clock_jumps

pytestmark = [
    pytest.mark.timed,
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("gcc") is None, reason="a library before libc, compiled with gcc"
    ),
]


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer() as started:
        yield started


def slow(message: bytes, _: object) -> bytes:
    time.sleep(0.2)
    return correct_answer_to(message)


def late(_: bytes, __: object) -> bytes:
    time.sleep(TIMEOUT + 2)
    return b""


def test_jumps_of_the_clock_end_no_call(server: HostileServer, tmp_path: Path) -> None:
    server.reset(ModelInfer=slow)
    outcome = classify_while_clock_jumps(server.url, 20, tmp_path)
    assert outcome["jumps"] > 100
    assert (outcome["answers"], outcome["error"]) == (20, None)


def test_deadline_is_kept_while_the_clock_jumps(server: HostileServer, tmp_path: Path) -> None:
    server.reset(ModelInfer=late)
    outcome = classify_while_clock_jumps(server.url, 1, tmp_path)
    assert outcome["jumps"] > 100
    assert outcome["error"] == "DeadlineError"
    assert TIMEOUT <= outcome["seconds"] < TIMEOUT + 1
