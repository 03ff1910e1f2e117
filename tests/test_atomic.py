"""Files and folders that are replaced in one step."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.access import access_list, mode, needs_root

from camserve.atomic import add_file, remove_leftovers, remove_leftovers_below, replace_file, replace_folder


def write(target: Path, text: str = "new") -> bool:
    with replace_file(target) as replacement:
        replacement.stream.write(text.encode())
    return replacement.access_kept


def fail_after_writing(path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


def test_file_is_replaced_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with replace_file(target) as replacement:
        replacement.stream.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_leaves_the_file_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replace_file(target):
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [0o600, 0o640, 0o664, 0o444, 0o604])
def test_a_replacement_keeps_the_mode_and_is_private_until_then(tmp_path: Path, number: int) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    target.chmod(number)
    with replace_file(target):
        (temporary,) = set(tmp_path.iterdir()) - {target}
        assert mode(temporary) == 0o600
    assert mode(target) == number


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        assert write(tmp_path / "replaced")
        add_file(tmp_path / "added", b"")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("replaced", "added")] == [0o640, 0o640]


def test_a_mode_that_changes_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.touch()
    with replace_file(target):
        target.chmod(0o600)
    assert mode(target) == 0o600


@needs_root
def test_a_replacement_keeps_owner_and_group(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.touch(0o640)
    os.chown(target, 1234, 2345)
    assert write(target)
    status = target.stat()
    assert (status.st_uid, status.st_gid, mode(target)) == (1234, 2345, 0o640)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("missing"))


def _device_link(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [_pipe, _socket, _dangling_link, _device_link, Path.mkdir])
def test_only_regular_files_are_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    target = tmp_path / "table.csv"
    make(target)
    kind = stat.S_IFMT(target.lstat().st_mode)
    with pytest.raises((FileExistsError, IsADirectoryError)):
        write(target)
    with pytest.raises(FileExistsError):
        add_file(target, b"new")
    assert stat.S_IFMT(target.lstat().st_mode) == kind
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_that_appears_meanwhile_is_refused(tmp_path: Path) -> None:
    target, other = tmp_path / "table.csv", tmp_path / "other"
    other.write_text("other")
    with pytest.raises(FileExistsError), replace_file(target):
        target.symlink_to(other)
    assert (other.read_text(), target.is_symlink()) == ("other", True)


@pytest.mark.parametrize("linkable", [True, False])
def test_an_added_file_is_never_written_over_another(
    tmp_path: Path, linkable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # FAT

    if not linkable:
        monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "map.png"
    add_file(target, b"first")
    with pytest.raises(FileExistsError):
        add_file(target, b"second")
    assert target.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_is_replaced_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with replace_folder(target, example="old") as folder:
        (folder / "new").touch()
        assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_leaves_the_folder_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(KeyboardInterrupt), replace_folder(target, example="old") as folder:
        fail_after_writing(folder / "new")
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_failed_block_removes_the_parents_it_created(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replace_folder(tmp_path / "a" / "b" / "bundle", example="old"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_folder_with_missing_parents_is_created(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "a" / "b" / "bundle", example="old") as folder:
        (folder / "new").touch()
    assert (tmp_path / "a" / "b" / "bundle" / "new").exists()


def test_a_new_folder_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with replace_folder(tmp_path / "bundle", example="old"):
            pass
    finally:
        os.umask(before)
    assert mode(tmp_path / "bundle") == 0o700


@needs_root
def test_a_replaced_folder_keeps_modes_and_owners(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    (target / "sub").mkdir(parents=True)
    (target / "old").touch(0o600)
    (target / "sub" / "file").touch(0o640)
    (target / "sub").chmod(0o750)
    target.chmod(0o2770)
    for path in (target, target / "old"):
        os.chown(path, 1234, 2345)
    target.chmod(0o2770)
    with replace_folder(target, example="old") as folder:
        assert mode(folder) == 0o700
        (folder / "sub").mkdir()
        for name in ("old", "new", "sub/file", "sub/new"):
            (folder / name).touch()
    names = ("", "old", "new", "sub", "sub/file", "sub/new")
    assert [mode(target / name) for name in names] == [0o2770, 0o600, 0o600, 0o750, 0o640, 0o600]
    assert [(target / name).stat().st_uid for name in names] == [1234, 1234, 1234, 0, 0, 1234]


def test_an_access_list_is_kept_and_none_is_inherited(tmp_path: Path) -> None:
    listed, plain = tmp_path / "listed", tmp_path / "plain"
    for path in (listed, plain):
        path.touch()
    plain.chmod(0o640)
    access_list(listed, user=1234)
    before = os.getxattr(listed, "system.posix_acl_access")
    access_list(tmp_path, user=2345, default=True)
    assert (write(listed), write(plain)) == (True, True)
    assert os.getxattr(listed, "system.posix_acl_access") == before
    assert os.listxattr(plain) == []
    assert mode(plain) == 0o640


def test_what_killed_processes_left_is_removed_and_the_rest_remains(tmp_path: Path) -> None:
    target, folder = tmp_path / "table.csv", tmp_path / "parts"
    for write_other in (lambda: replace_file(target), lambda: replace_folder(folder, example="a")):
        pid = os.fork()
        if not pid:
            with write_other():
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    with replace_file(tmp_path / "other.csv"), replace_file(target), replace_folder(folder, example="a") as written:
        assert len(list(tmp_path.iterdir())) == 5
        remove_leftovers(target)
        assert len(list(tmp_path.iterdir())) == 4
        (tmp_path / ".parts.backup").mkdir()
        remove_leftovers(folder)
        assert len(list(tmp_path.iterdir())) == 4
        assert written.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".parts.backup", "other.csv", "parts", "table.csv"]


def test_what_killed_processes_left_below_a_folder_is_removed(tmp_path: Path) -> None:
    folder, precious = tmp_path / "overlays" / "cats", (".camserve-notes.tmp", "1.jpg.png")
    folder.mkdir(parents=True)
    for name in precious:
        (folder / name).touch()
    pid = os.fork()
    if not pid:
        with replace_file(folder / "2.jpg.png"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with replace_file(folder / "2.jpg.png"):
        assert len(list(folder.iterdir())) == 4
        remove_leftovers_below(tmp_path)
        assert len(list(folder.iterdir())) == 3
    assert sorted(path.name for path in folder.iterdir()) == sorted([*precious, "2.jpg.png"])


def test_a_retired_folder_is_removed_once_another_has_its_place(tmp_path: Path) -> None:
    target, retired = tmp_path / "answers", tmp_path / ".answers.0123abcd.old"
    retired.mkdir()
    remove_leftovers(target)  # a run was killed while it replaced the folder, so that this is the last one
    assert retired.is_dir()
    target.mkdir()
    remove_leftovers(target)
    assert list(tmp_path.iterdir()) == [target]
