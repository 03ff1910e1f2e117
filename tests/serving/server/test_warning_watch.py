"""Warnings of backends in the log of a running server."""

import logging
import time
from pathlib import Path

import pytest

from camserve.serving.server import warning_watch
from camserve.serving.server.warning_watch import WarningWatch

LINE = 'W1126 23:42:04.8 1 instance.py:56] "camserve: model {}: is slow"\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text(LINE.format("before"))
    return path


def _append(log: Path, text: str) -> None:
    with log.open("a") as stream:
        stream.write(text)


def test_each_warning_of_a_run_is_logged_once(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = WarningWatch(log, log.stat().st_size)
    _append(log, LINE.format("a") * 2 + LINE.format("b")[:20])
    watch.read()
    assert caplog.messages == ["model a: is slow"]
    _append(log, LINE.format("b")[20:] + LINE.format("a"))
    watch.read()
    assert caplog.messages == ["model a: is slow", "model b: is slow"]
    assert watch.found == ("model a: is slow", "model b: is slow")


def test_a_rotated_or_missing_log_is_read_from_its_start(log: Path) -> None:
    watch = WarningWatch(log, log.stat().st_size)
    log.unlink()
    watch.read()
    log.write_text(LINE.format("a")[:-5] + '"\n')
    watch.read()
    assert watch.found == ("model a: is s",)


def test_a_followed_log_is_read_until_the_end(
    log: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warning_watch, "_POLL_SECONDS", 0.01)
    watch = WarningWatch(log, log.stat().st_size)
    with caplog.at_level(logging.WARNING):
        watch.follow()
        _append(log, LINE.format("a"))
        deadline = time.monotonic() + 10
        while not watch.found:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    watch.end()
    assert caplog.messages == ["model a: is slow"]
