"""The manifest: the SHA-256 of every file of a folder, which makes any change detectable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from camserve.errors import BundleError
from camserve.regular_file import open_regular_file, read_regular_file
from camserve.strict_json import parse_json
from camserve.text import reason

__all__ = ["MANIFEST_NAME", "file_digest", "manifest_faults", "verify_manifest", "write_manifest"]

MANIFEST_NAME = "manifest.json"
_CACHE = "__pycache__"
_BLOCK_BYTES = 1 << 20
_REPLACE = "Replace it with the file itself"
_EXPORT_AGAIN = "Export the model again"


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular_file(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path) -> dict[str, str]:
    """Write `manifest.json` for every file of a folder and return the checksums by relative path.

    Law: `verify_manifest(folder)` succeeds right after, and fails once any file is changed, added or removed.

    Raises:
        BundleError: If the folder contains anything but regular files and folders.
    """
    _refuse_special_files(folder)
    files = _digests(folder)
    (folder / MANIFEST_NAME).write_text(_render(files), encoding="utf-8")
    return files


def verify_manifest(folder: Path) -> dict[str, str]:
    """Verify every file of a folder against its manifest and return the checksums by relative path.

    Raises:
        BundleError: If the manifest is missing, or files are missing, changed or not listed; the message names each.
    """
    _refuse_special_files(folder)
    if not (folder / MANIFEST_NAME).exists():
        raise BundleError(f"{folder} has no {MANIFEST_NAME}", hint="Use a folder that 'camserve export' wrote")
    listed, found = _read_manifest(folder), _digests(folder)
    faults = list(_differences(listed, found))
    if faults:
        raise BundleError(f"{folder} does not match its manifest: {', '.join(faults)}", hint=_EXPORT_AGAIN)
    return found


def manifest_faults(folder: Path) -> tuple[str, ...]:
    """List the differences between a folder and its manifest in words, without raising."""
    special = [f"{name} is not a regular file or folder" for name in _special_files(folder)]
    if not (folder / MANIFEST_NAME).exists():
        return (*special, f"{MANIFEST_NAME} is missing")
    try:
        return (*special, *_differences(_read_manifest(folder), _digests(folder)))
    except BundleError as error:
        return (*special, error.message)
    except OSError as error:
        return (*special, f"{error.filename or folder} cannot be read: {error.strerror}")


def _refuse_special_files(folder: Path) -> None:
    for name in _special_files(folder):
        raise BundleError(f"{folder / name} is not a regular file or folder", hint=_REPLACE)


def _render(files: Mapping[str, str]) -> str:
    return json.dumps({"version": 1, "files": files}, indent=2, sort_keys=True) + "\n"


def _read_manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST_NAME
    try:
        content = read_regular_file(path)
        files: dict[str, str] = dict(parse_json(content)["files"])
        # The manifest has no checksum of its own, but there is only one valid way to write it.
        if content != _render(files).encode():
            raise BundleError(f"{MANIFEST_NAME} of {folder} was changed", hint=_EXPORT_AGAIN)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"cannot read {path}: {reason(error, path)}", hint=_EXPORT_AGAIN) from None
    return files


def _differences(listed: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in sorted(listed.keys() - found.keys()))
    yield from (f"{name} is not listed" for name in sorted(found.keys() - listed.keys()))
    yield from (f"{name} was changed" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name])


def _special_files(folder: Path) -> Iterator[str]:
    """Find links, pipes and devices, by their type alone: opening a pipe can block forever."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield path.relative_to(folder).as_posix()


def _digests(folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        # Triton's Python backend writes a cache beside the program of a model.
        if path.is_file() and not path.is_symlink() and name != MANIFEST_NAME and path.parent.name != _CACHE:
            files[name] = file_digest(path)
    return files
