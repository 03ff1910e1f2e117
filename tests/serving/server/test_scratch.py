"""Scratch folders and shared memory: what killed servers left is removed, what is in use stays."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disposable_server import DisposableServer

from camserve.serving.server.scratch import Scratch, create_scratch, remove_leftovers

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The TMPDIR of one test; its servers leave nothing in shared memory."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = set(SHARED_MEMORY.glob("camserve-triton-*"))
    yield folder
    names = {entry.name for entry in folder.iterdir()}
    left = [path for path in set(SHARED_MEMORY.glob("camserve-triton-*")) - before if path.name[:24] in names]
    for path in left:
        path.unlink()
    assert not left


def _segments(scratch: Scratch) -> list[Path]:
    return sorted(SHARED_MEMORY.glob(f"{scratch.name}*"))


def _abandon(scratch: Scratch) -> None:
    for lock in scratch.locks:
        os.close(lock)


def test_what_a_dead_owner_left_is_removed(temporary: Path) -> None:
    scratch = create_scratch()
    (SHARED_MEMORY / f"{scratch.name}-segment").touch()
    (scratch.folder / "file").touch()
    assert len(_segments(scratch)) == 2
    remove_leftovers()
    assert scratch.folder.exists()
    assert len(_segments(scratch)) == 2
    _abandon(scratch)
    remove_leftovers()
    assert list(temporary.iterdir()) == []
    assert _segments(scratch) == []


def test_a_lock_held_by_another_process_keeps_both(temporary: Path) -> None:
    scratch = create_scratch()
    with subprocess.Popen(["sleep", "60"], pass_fds=scratch.locks) as holder:
        _abandon(scratch)
        remove_leftovers()
        assert scratch.folder.exists()
        assert len(_segments(scratch)) == 1
        holder.kill()
    remove_leftovers()
    assert list(temporary.iterdir()) == []
    assert _segments(scratch) == []


@pytest.mark.parametrize("held", [0, 1])
def test_folder_and_segments_are_removed_independently(held: int) -> None:
    scratch = create_scratch()  # containers can share TMPDIR without /dev/shm, and the reverse
    os.close(scratch.locks[1 - held])
    remove_leftovers()
    assert (scratch.folder.exists(), bool(_segments(scratch))) == (held == 0, held == 1)
    os.close(scratch.locks[held])
    remove_leftovers()


def test_folders_of_others_are_kept(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "lock").touch()
    (temporary / "camserve-triton-abcdefgh").symlink_to(precious)
    (temporary / "camserve-triton-*").mkdir()
    (temporary / "camserve-triton-*" / "lock").touch()
    (temporary / "camserve-triton-unlocked").mkdir()
    remove_leftovers()
    assert len(list(temporary.iterdir())) == 3
    assert (precious / "lock").exists()


def test_folders_of_another_user_are_kept() -> None:
    if os.geteuid():
        pytest.skip("requires root")
    scratch = create_scratch()
    for path in (scratch.folder, scratch.folder / "lock", *_segments(scratch)):
        os.chown(path, 12345, 12345)
    _abandon(scratch)
    remove_leftovers()
    assert scratch.folder.exists()
    assert len(_segments(scratch)) == 1
    for path in (scratch.folder, scratch.folder / "lock", *_segments(scratch)):
        os.chown(path, 0, 0)
    remove_leftovers()


@pytest.mark.slow
def test_the_next_start_removes_what_a_killed_server_left(toy_repository: Path, temporary: Path) -> None:
    program = (
        "import os, sys, time\nfrom camserve.serving import TritonServer\n"
        "server = TritonServer(sys.argv[1])\nserver.start()\n"
        "print(server.pid, os.getpgid(server.pid), flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(toy_repository)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        server, group = map(int, parent.stdout.readline().split())
        (left,) = temporary.iterdir()
        segments = list(SHARED_MEMORY.glob(f"{left.name}*"))
        parent.send_signal(signal.SIGSTOP)
        os.kill(group, signal.SIGKILL)  # the guard
        deadline = time.monotonic() + 30
        while _exists(server) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _exists(server)
        parent.kill()
    assert left.exists()
    assert len(segments) == 2
    with DisposableServer(toy_repository):
        assert not left.exists()
        assert not any(segment.exists() for segment in segments)
        assert len(list(temporary.iterdir())) == 1


def _exists(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_folder_that_its_server_removes_meanwhile_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vanished = tmp_path / "camserve-triton-vanished"
    monkeypatch.setattr("camserve.serving.server.scratch._named", lambda *_: [vanished])
    remove_leftovers()
