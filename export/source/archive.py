"""A `.keras` file, looked at before Keras reads it: names and sizes of its members, and its weights."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from camserve.errors import SourceError
from camserve.export.source.hdf5 import LARGEST_CONFIG, check_hdf5, check_size, refusal

__all__ = ["architecture_in_archive", "check_archive", "is_keras_2_archive"]

_CONFIG = "config.json"
_METADATA = "metadata.json"
_WEIGHTS = "model.weights.h5"
_MOST_MEMBERS = 10_000
_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_archive(path: Path) -> None:
    """Checks the archive's members, and the weights among them; the architecture is not looked into.

    Raises:
        SourceError: If it is no archive or only a part of one, a member is not a plain file inside the archive, its
            content would grow out of all proportion, or the weights are refused.
    """
    stored = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist(), str(path), stored)
            check_hdf5(io.BytesIO(archive.read(_WEIGHTS)), f"{_WEIGHTS} in {path}", stored)
    except SourceError:
        raise
    except Exception as error:  # zipfile, zlib and json each raise their own
        raise SourceError(
            f"{path} is not a .keras archive, or only a part of one: {error}", hint="Get or save the file again"
        ) from error


def is_keras_2_archive(path: Path) -> bool:
    """Whether the archive, whose members have been checked, was written by Keras 2."""
    with zipfile.ZipFile(path) as archive:
        if _METADATA not in archive.namelist():
            return False
        return str(json.loads(archive.read(_METADATA)).get("keras_version", "")).startswith("2.")


def architecture_in_archive(path: Path) -> Any:
    """The architecture in an archive whose members have been checked.

    It is without the losses, metrics and optimizer of the whole model, which Keras drops where it does not compile.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(_CONFIG))
    if isinstance(config, dict):
        config.pop("compile_config", None)
    return config


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
    described = max(member.file_size for member in members if member.filename in (_CONFIG, _METADATA))
    if described > LARGEST_CONFIG:
        raise refusal(f"{name} describes its network in {described:,} bytes")
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
