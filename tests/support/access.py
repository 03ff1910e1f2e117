"""Owners, modes and access control lists of test files."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["access_list", "as_another_user", "mode", "needs_root"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")

_OWNER, _USER, _GROUP, _MASK, _OTHERS, _NOBODY = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF


def mode(path: Path) -> int:
    """Return the permissions of a file, without following a link."""
    return stat.S_IMODE(path.lstat().st_mode)


def access_list(path: Path, *, user: int, default: bool = False) -> None:
    """Let one more user read a file, or with `default` every file that is created in a folder; see acl(5)."""
    entries = ((_OWNER, 6, _NOBODY), (_USER, 4, user), (_GROUP, 0, _NOBODY), (_MASK, 4, _NOBODY), (_OTHERS, 0, _NOBODY))
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, f"system.posix_acl_{'default' if default else 'access'}", value)
    except OSError:
        pytest.skip("the file system has no access control lists")


def as_another_user(folder: Path, action: Callable[[], bool], *, user: int = 4321, group: int = 5432) -> bool:
    """Run an action in a process of another user, in a folder, and return its result."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            os.chdir(folder)
            os.setgroups([])
            os.setgid(group)
            os.setuid(user)
            code = int(action())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 1)
    return bool(code)
