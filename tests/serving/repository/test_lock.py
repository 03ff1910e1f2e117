"""The repository's lock."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from camserve.bundle import Bundle
from camserve.errors import RepositoryError
from camserve.serving import list_models, publish
from camserve.serving.repository.lock import LOCK_NAME, locked

HOLDER = """
import sys, time
from pathlib import Path
from camserve.serving.repository.lock import locked
with locked(Path(sys.argv[1]), "testing the lock"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_two_threads_never_hold_the_lock_at_once(tmp_path: Path) -> None:
    inside: list[int] = []
    seen: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            with locked(tmp_path, "working"):
                inside.append(number)
                seen.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80


def test_a_waiting_publisher_reports_the_holder_and_gives_up(toy_bundle: Bundle, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        reported: list[str] = []
        with pytest.raises(
            RepositoryError,
            match=rf"still locked after 1\.5 s by process {holder.pid} on .* \(testing the lock since .*\)",
        ):
            publish(toy_bundle, tmp_path, wait=1.5, progress=reported.append)
        assert len(reported) == 1
        assert reported[0].startswith(f"wait for process {holder.pid}")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        # The kernel releases the lock of a dead process.
        assert publish(toy_bundle, tmp_path, wait=1.5).version == 1


def test_listing_needs_no_lock(toy_bundle: Bundle, tmp_path: Path) -> None:
    publish(toy_bundle, tmp_path)
    with locked(tmp_path, "working"):
        assert [model.name for model in list_models(tmp_path)] == ["toy"]


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / LOCK_NAME).symlink_to(tmp_path / "outside")
    with pytest.raises(RepositoryError, match="cannot lock the repository"), locked(tmp_path / "repository", "working"):
        pass
    assert (tmp_path / "outside").read_text() == "kept"


def test_a_deleted_lock_file_is_created_again(tmp_path: Path) -> None:
    with locked(tmp_path, "working"):
        (tmp_path / LOCK_NAME).unlink()
        with locked(tmp_path, "working too", wait=1):
            assert (tmp_path / LOCK_NAME).exists()
