"""Who may use a file: its owner, group, mode and access control list, which a file that replaces it is given."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Access", "give_access", "give_tree_access", "read_access"]

_ACCESS_LISTS = "system."
_KEPT_ATTRIBUTES = (_ACCESS_LISTS, "user.", "security.selinux")


@dataclass(frozen=True)
class Access:
    """Who may use a file or folder.

    Attributes:
        owner: User id.
        group: Group id.
        mode: Permissions, with the set-group-ID and the sticky bit of a folder.
        attributes: Extended attributes: access control lists, the SELinux context and those of the user.
    """

    owner: int
    group: int
    mode: int
    attributes: Mapping[str, bytes]


def read_access(path: Path) -> Access | None:
    """Return who may use a regular file or a folder; None if nothing has that name. Links are not followed.

    Raises:
        OSError: If it is neither, or cannot be examined.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        kept = 0o3777
    elif stat.S_ISREG(status.st_mode):
        kept = 0o777
    else:
        raise FileExistsError(errno.EEXIST, "it is a link, a pipe, a device or a socket", str(path))
    return Access(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode) & kept, _attributes(path))


def give_access(access: Access, file: Path | int) -> bool:
    """Give a file or folder of this process the access of the one that it replaces.

    What is not permitted, such as another owner, is left out. If the group or an access control list cannot be kept,
    the mode is narrowed, so that nobody may read the new file who could not read the old one.

    Args:
        access: From `read_access`.
        file: An open file or folder, or the path of one; links are not followed.

    Returns:
        Whether owner, group, mode and access control lists are as before.

    Raises:
        OSError: If the path cannot be opened.
    """
    descriptor = file if isinstance(file, int) else os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _give(access, descriptor)
    finally:
        if descriptor is not file:
            os.close(descriptor)


def give_tree_access(folder: Path, replaced: Path, *, file: Path) -> None:
    """Give a folder, and everything in it, the access of the folder that it replaces or succeeds.

    What has no counterpart of the same name there gets the access of that folder, or of a file.

    Args:
        folder: The new folder; its owner may still write to it and the folders in it, to rename and remove them.
        replaced: The other folder.
        file: An example for files.

    Raises:
        OSError: If a file cannot be examined or opened.
    """
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        counterparts = (replaced / path.relative_to(folder), replaced if path.is_dir() else file)
        similar = next((each for each in counterparts if _same_kind(each, path)), None)
        access = None if similar is None else read_access(similar)
        if access is not None:
            give_access(replace(access, mode=access.mode | 0o700) if path.is_dir() else access, path)


def _same_kind(path: Path, other: Path) -> bool:
    return not path.is_symlink() and (path.is_dir() if other.is_dir() else path.is_file())


def _give(access: Access, descriptor: int) -> bool:
    owned = _give_owner(access, descriptor)
    grouped = os.fstat(descriptor).st_gid == access.group
    listed = _give_attributes(access.attributes if grouped else {}, descriptor)
    mode = access.mode if grouped and listed else _narrowed(access)
    with suppress(OSError):  # a file system without modes
        os.fchmod(descriptor, mode)
    return owned and listed and stat.S_IMODE(os.fstat(descriptor).st_mode) == access.mode


def _give_owner(access: Access, descriptor: int) -> bool:
    """Change owner and group, or the group alone, and return whether both are as before."""
    for owner in (access.owner, -1):
        with suppress(OSError):
            os.fchown(descriptor, owner, access.group)
            return owner == access.owner
    return False


def _narrowed(access: Access) -> int:
    """Return the mode without what only the group, or only others, or an access control list allowed or denied."""
    common = 0 if any(map(_is_access_list, access.attributes)) else access.mode & (access.mode >> 3) & 0o7
    return (access.mode & ~0o77) | (common << 3) | common


def _give_attributes(attributes: Mapping[str, bytes], descriptor: int) -> bool:
    """Set extended attributes, remove inherited access control lists, and return whether the lists are as given."""
    given = True
    for name in _attributes(descriptor):
        if _is_access_list(name) and name not in attributes:
            with suppress(OSError):
                os.removexattr(descriptor, name)
    for name, value in attributes.items():
        try:
            os.setxattr(descriptor, name, value)
        except OSError:
            given = given and not _is_access_list(name)
    return given


def _attributes(file: Path | int) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):  # Linux only
        return {}
    follow = isinstance(file, int)
    try:
        names = os.listxattr(file, follow_symlinks=follow)
    except OSError:  # a file system without extended attributes
        return {}
    found = {}
    for name in names:
        if name.startswith(_KEPT_ATTRIBUTES):
            with suppress(OSError):
                found[name] = os.getxattr(file, name, follow_symlinks=follow)
    return found


def _is_access_list(name: str) -> bool:
    return name.startswith(_ACCESS_LISTS)
