"""Checks of a `.keras` archive before Keras reads it: its members' names and sizes, and its weights."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from camserve.errors import SourceError
from camserve.export.source.hdf5 import check_hdf5
from camserve.export.source.limits import check_config_size, check_expansion, suspicious_file_error

__all__ = ["architecture_in_archive", "check_archive", "is_keras_2_archive"]

_CONFIG = "config.json"
_METADATA = "metadata.json"
_WEIGHTS = "model.weights.h5"
_MAX_MEMBERS = 10_000
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def check_archive(path: Path) -> None:
    """Check the members of an archive and its weights, but not its architecture.

    Raises:
        SourceError: If it is not a complete archive, a member is not a regular file inside the archive, its content
            would expand disproportionately, or the weights are refused.
    """
    stored = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist(), str(path), stored)
            check_hdf5(io.BytesIO(archive.read(_WEIGHTS)), f"{_WEIGHTS} in {path}", stored)
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001  zipfile, zlib and json raise different exceptions
        raise SourceError(
            f"{path} is not a .keras archive, or it is truncated: {error}", hint="Download or save the file again"
        ) from None


def is_keras_2_archive(path: Path) -> bool:
    """Return whether Keras 2 wrote the archive, whose members must have been checked."""
    with zipfile.ZipFile(path) as archive:
        if _METADATA not in archive.namelist():
            return False
        return str(json.loads(archive.read(_METADATA)).get("keras_version", "")).startswith("2.")


def architecture_in_archive(path: Path) -> Any:
    """Return the architecture in an archive, whose members must have been checked.

    Losses, metrics and optimizer are left out, because the model is loaded without compiling it.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(_CONFIG))
    if isinstance(config, dict):
        config.pop("compile_config", None)
    return config


def _check_members(members: list[zipfile.ZipInfo], name: str, stored: int) -> None:
    if len(members) > _MAX_MEMBERS:
        raise suspicious_file_error(f"{name} contains {len(members):,} members; the limit is {_MAX_MEMBERS:,}")
    for member in members:
        _check_member(member, name)
    repeated = [member for member, count in Counter(member.filename for member in members).items() if count > 1]
    if repeated:
        raise suspicious_file_error(f"{name} contains {repeated[0]!r} twice")
    missing = {_CONFIG, _WEIGHTS} - {member.filename for member in members}
    if missing:
        raise SourceError(
            f"{name} is not a Keras model: it has no {' and no '.join(sorted(missing))}",
            hint="Save the whole model again: model.save('model.keras')",
        )
    check_config_size(max(member.file_size for member in members if member.filename in (_CONFIG, _METADATA)), name)
    check_expansion(sum(member.file_size for member in members), stored, name)


def _check_member(member: zipfile.ZipInfo, name: str) -> None:
    parts = PurePosixPath(member.filename.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in member.filename:
        raise suspicious_file_error(f"{name} contains a member with a path outside the archive: {member.filename!r}")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise suspicious_file_error(f"{name} contains a link or device file: {member.filename!r}")
    if member.compress_type not in _COMPRESSIONS or member.flag_bits & 1:
        raise suspicious_file_error(
            f"{name} contains a member that is encrypted or uses an unsupported compression: {member.filename!r}"
        )
