"""The manifest: the SHA-256 of every file of a folder, so that a change of any of them is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from camserve.errors import BundleError

__all__ = ["MANIFEST_NAME", "file_digest", "manifest_faults", "verify_manifest", "write_manifest"]

MANIFEST_NAME = "manifest.json"
_BLOCK = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path) -> dict[str, str]:
    """Writes `manifest.json` over every file of the folder and returns what it says.

    Law: `verify_manifest(folder)` succeeds right after, and fails once any file is changed, added or removed.

    Raises:
        BundleError: If something in it is no plain file and no folder.
    """
    for name in _odd(folder):
        raise BundleError(f"{folder / name} is neither a plain file nor a folder", hint=_REPLACE)
    files = _digests(folder)
    (folder / MANIFEST_NAME).write_text(_text(files), encoding="utf-8")
    return files


def verify_manifest(folder: Path) -> dict[str, str]:
    """Compares every file of the folder with its manifest and returns the digests by relative path.

    Raises:
        BundleError: If there is no manifest, or a file is missing, altered or not listed; the message names each.
    """
    odd = list(_odd(folder))
    if odd:
        raise BundleError(f"{folder / odd[0]} is neither a plain file nor a folder", hint=_REPLACE)
    if not (folder / MANIFEST_NAME).exists():
        raise BundleError(f"{folder} has no {MANIFEST_NAME}", hint="Is it a folder that camserve wrote?")
    listed, found = _listed(folder), _digests(folder)
    faults = list(_differences(listed, found))
    if faults:
        raise BundleError(f"{folder} does not match its manifest: {', '.join(faults)}", hint="Export it again")
    return found


def manifest_faults(folder: Path) -> tuple[str, ...]:
    """Everything in which a folder is not as its manifest says, each in a few words; nothing is raised."""
    odd = [f"{name} is neither a plain file nor a folder" for name in _odd(folder)]
    if not (folder / MANIFEST_NAME).exists():
        return (*odd, f"{MANIFEST_NAME} is missing")
    try:
        listed = _listed(folder)
        return (*odd, *_differences(listed, _digests(folder)))
    except BundleError as error:
        return (*odd, error.message)
    except OSError as error:
        return (*odd, f"{error.filename or folder} cannot be read: {error.strerror}")


_REPLACE = "Replace it with the file itself"


def _text(files: Mapping[str, str]) -> str:
    return json.dumps({"version": 1, "files": files}, indent=2, sort_keys=True) + "\n"


def _listed(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST_NAME
    try:
        content = path.read_bytes().decode("utf-8")
        files: dict[str, str] = json.loads(content)["files"]
        # It has no hash of its own; but there is only one way to write it.
        if content != _text(files):
            raise BundleError(f"{MANIFEST_NAME} of {folder} was altered", hint="Export it again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    return files


def _differences(listed: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in sorted(listed.keys() - found.keys()))
    yield from (f"{name} is not listed" for name in sorted(found.keys() - listed.keys()))
    yield from (f"{name} was altered" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name])


def _odd(folder: Path) -> Iterator[str]:
    """Links, pipes and devices; told by their kind alone, since opening one may wait for ever."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield path.relative_to(folder).as_posix()


def _digests(folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and name != MANIFEST_NAME:
            files[name] = file_digest(path)
    return files
