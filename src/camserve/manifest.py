"""The manifest: the SHA-256 of every file of a folder, so that a change of any of them is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from camserve.errors import BundleError

__all__ = ["MANIFEST_NAME", "file_digest", "verify_manifest", "write_manifest"]

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
    """
    files = _digests(folder)
    text = json.dumps({"version": 1, "files": files}, indent=2, sort_keys=True)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
    return files


def verify_manifest(folder: Path) -> dict[str, str]:
    """Compares every file of the folder with its manifest and returns the digests by relative path.

    Raises:
        BundleError: If there is no manifest, or a file is missing, altered or not listed; the message names each.
    """
    path = folder / MANIFEST_NAME
    try:
        listed: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        raise BundleError(f"{folder} has no {MANIFEST_NAME}", hint="Is it a folder that camserve wrote?") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    found = _digests(folder)
    faults = [f"{name} is missing" for name in sorted(listed.keys() - found.keys())]
    faults += [f"{name} is not listed" for name in sorted(found.keys() - listed.keys())]
    faults += [f"{name} was altered" for name in sorted(listed.keys() & found.keys()) if listed[name] != found[name]]
    if faults:
        raise BundleError(f"{folder} does not match its manifest: {', '.join(faults)}", hint="Export it again")
    return found


def _digests(folder: Path) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BundleError(f"{path} is neither a plain file nor a folder", hint="Replace it with the file itself")
        if path.is_file() and name != MANIFEST_NAME:
            files[name] = file_digest(path)
    return files
