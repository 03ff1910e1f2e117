"""Crashes of Triton at startup: the known one is retried once."""

from pathlib import Path

import pytest
from support.fake_triton import LOCK_CRASH, OTHER_CRASH, install_fake_triton

from camserve.errors import ServerError
from camserve.serving import TritonServer
from camserve.serving.server import startup

pytestmark = pytest.mark.slow


def test_a_lock_exception_at_startup_is_retried_once(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=1, message=LOCK_CRASH)
    with TritonServer(toy_repository, start_timeout=30) as server:
        assert server.http_url
    assert starts.read_text() == "xx"
    (record,) = (record for record in caplog.records if "server issue 8882" in record.message)
    assert (record.name, record.levelname) == ("camserve.serving", "WARNING")


@pytest.mark.parametrize(("message", "expected_starts"), [(LOCK_CRASH, 2), (OTHER_CRASH, 1)])
def test_other_and_repeated_crashes_at_startup_are_reported(
    toy_repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    message: str,
    expected_starts: int,
) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=9, message=message)
    with pytest.raises(ServerError, match="Triton ended before it was ready") as raised:
        TritonServer(toy_repository).start()
    assert raised.type is ServerError  # the command line prints the name of the type
    assert len(starts.read_text()) == expected_starts


def test_a_slow_start_is_not_retried(toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = install_fake_triton(monkeypatch, tmp_path, crashes=0, message="")
    monkeypatch.setattr(startup, "is_ready", lambda addresses: False)
    with pytest.raises(ServerError, match="was not ready within 1 s"):
        TritonServer(toy_repository, start_timeout=1).start()
    assert starts.read_text() == "x"
