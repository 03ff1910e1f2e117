"""A `.keras` file, looked at before Keras reads it: names and sizes of its members, its architecture, its weights."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from camserve.errors import SourceError
from camserve.export.source.architecture import check_architecture
from camserve.export.source.custom_objects import CustomObjects
from camserve.export.source.hdf5 import LARGEST_CONFIG, check_hdf5, check_size, refusal

__all__ = ["check_archive"]

_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"
_MOST_MEMBERS = 10_000
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_archive(path: Path, custom: CustomObjects | None) -> None:
    """Checks everything in the archive that Keras would read.

    Args:
        path: The file.
        custom: What the architecture may name besides Keras's own; None where only the weights will be read.

    Raises:
        SourceError: If it is no archive or only a part of one, a member is not a plain file inside the archive, its
            content would grow out of all proportion, or architecture or weights are refused.
    """
    stored = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist(), str(path), stored)
            if custom is not None:
                check_architecture(json.loads(archive.read(_CONFIG)), custom, str(path))
            check_hdf5(io.BytesIO(archive.read(_WEIGHTS)), f"{_WEIGHTS} in {path}", stored)
    except SourceError:
        raise
    except Exception as error:  # zipfile, zlib and json each raise their own
        raise SourceError(
            f"{path} is not a .keras archive, or only a part of one: {error}", hint="Get or save the file again"
        ) from error


def _check_members(members: list[zipfile.ZipInfo], name: str, stored: int) -> None:
    if len(members) > _MOST_MEMBERS:
        raise refusal(f"{name} holds {len(members):,} members")
    for member in members:
        _check_member(member, name)
    twice = [member for member, count in Counter(member.filename for member in members).items() if count > 1]
    if twice:
        raise refusal(f"{name} holds {twice[0]!r} twice")
    missing = {_CONFIG, _WEIGHTS} - {member.filename for member in members}
    if missing:
        raise SourceError(f"{name} is no Keras model: it has no {', '.join(sorted(missing))}", hint="Save it again")
    config = next(member for member in members if member.filename == _CONFIG)
    if config.file_size > LARGEST_CONFIG:
        raise refusal(f"{name} describes its network in {config.file_size:,} bytes")
    check_size(sum(member.file_size for member in members), stored, name)


def _check_member(member: zipfile.ZipInfo, name: str) -> None:
    parts = PurePosixPath(member.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in member.filename:
        raise refusal(f"{name} holds a member outside of it: {member.filename!r}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refusal(f"{name} holds a link or device: {member.filename!r}")
    if member.compress_type not in _PLAIN or member.flag_bits & 1:
        raise refusal(f"{name} holds a member that is encrypted or packed unusually: {member.filename!r}")
